"""What training asks of a module beside what Lightning does."""

from __future__ import annotations

from typing import Any, Protocol, cast

from lightning.pytorch import LightningModule
from torch import Tensor


class Trainable(Protocol):
    """A module that counts what it reads.

    Args:
        budget: tokens to be read in training.
        tokens_seen: tokens that were read, in all processes.
        nominal: number by which the loss of a batch, a sum, is divided, whatever the batch has.
        monitor: metric by which a validation is judged.
    """

    budget: int
    tokens_seen: int
    nominal: float
    monitor: str

    def take_sums(self) -> Tensor:
        """Sum of the losses of this process since the last call, and their number: of one optimizer step: [2]."""

    def forget(self) -> None:
        """Leave nothing behind of a step that was not finite."""

    def kept(self) -> dict[str, Any]:
        """What this process goes on from beside the weights, as plain tensors and numbers."""

    def go_on(self, kept: list[dict[str, Any]], rank: int, world: int) -> None:
        """Go on from what all processes kept, of which there may have been another number."""


def trainable(module: LightningModule) -> Trainable:
    """The same module, seen as what it must be."""
    return cast("Trainable", module)
