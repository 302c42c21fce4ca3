"""The interface that training requires of a module in addition to Lightning's."""

from __future__ import annotations

from typing import Any, Protocol, cast

from lightning.pytorch import LightningModule
from torch import Tensor


class Trainable(Protocol):
    """A module that counts the tokens it reads.

    Args:
        budget: training budget in tokens.
        tokens_seen: tokens read so far in all processes.
        nominal: constant by which the loss of each batch, a sum, is divided.
        monitor: the monitored metric.
    """

    budget: int
    tokens_seen: int
    nominal: float
    monitor: str

    def take_sums(self) -> Tensor:
        """Sum and number of the losses of this process since the last call, for one optimizer step: [2]."""

    def discard_state(self) -> None:
        """Discard the state of a non-finite step."""

    def process_state(self) -> dict[str, Any]:
        """State of this process other than the weights, as plain tensors and numbers."""

    def restore(self, states: list[dict[str, Any]], rank: int, world: int) -> None:
        """Resume from the states of all processes, whose number may have changed."""


def trainable(module: LightningModule) -> Trainable:
    """The module, typed as :class:`Trainable`."""
    return cast("Trainable", module)
