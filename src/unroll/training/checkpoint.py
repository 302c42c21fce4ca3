"""Checkpoints from which a killed run goes on as if nothing had happened, bit for bit."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from unroll.training.exchange import gathered
from unroll.training.trainable import trainable

torch.serialization.add_safe_globals([EarlyStoppingReason])  # in the state of early stopping; all else is plain
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to: digests of settings, data and code, and torch's version."""

    settings: str
    data: str
    code: str
    torch: str

    def differences(self, other: Identity) -> list[str]:
        """Names of what is not the same."""
        return [name for name, value in asdict(self).items() if getattr(other, name) != value]


class Resume(Callback):
    """Saves all that training goes on from, every so many seconds, and puts back what Lightning does not.

    No checkpoint is taken where a validation is due, which Lightning would leave out when it goes on from there, nor
    between batches whose gradients are being accumulated, which are in no checkpoint.

    Args:
        folder: gets ``last.ckpt`` and the one before it, ``previous.ckpt``, each whole or not at all.
        identity: what the run is.
        seconds: between two checkpoints.
        clock: tells the time in seconds.
    """

    def __init__(
        self, folder: Path, identity: Identity, seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.folder, self.identity, self.seconds, self.clock = folder, identity, seconds, clock
        self.saved_at = clock()
        self.kept: list[dict[str, Any]] = []  # of every process, from a checkpoint

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.kept:
            return
        if trainer.is_global_zero and len(self.kept) != trainer.world_size:
            print(f"unroll: the run goes on in {trainer.world_size} processes; before there were {len(self.kept)}.",
                  file=sys.stderr)  # fmt: skip
        if trainer.global_rank < len(self.kept):
            restore_random(self.kept[trainer.global_rank]["random"])
        trainable(pl_module).go_on([part["module"] for part in self.kept], trainer.global_rank, trainer.world_size)
        self.kept = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop.epoch_loop
        assert isinstance(trainer.val_check_batch, int)
        validation_due = (loop.total_batch_idx + 1) % trainer.val_check_batch == 0
        if validation_due or trainer.should_stop or loop._should_accumulate():
            return
        # clocks differ, and all processes must agree
        if trainer.strategy.reduce_boolean_decision(self.clock() - self.saved_at >= self.seconds, all=False):
            self.save(trainer)
            self.saved_at = self.clock()

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint beside the last one, and put it in its place when it is whole."""
        last, written = self.folder / LAST, self.folder / f"{LAST}.part"
        trainer.save_checkpoint(written, weights_only=False)
        if trainer.is_global_zero:
            with written.open("rb") as file:
                os.fsync(file.fileno())
            if last.exists():
                last.replace(self.folder / PREVIOUS)
            written.replace(last)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["identity"] = asdict(self.identity)
        checkpoint["kept"] = gathered({"random": random_states(), "module": trainable(pl_module).kept()})

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.kept = checkpoint["kept"]


def random_states() -> dict[str, Any]:
    """States of torch's generators."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def restore_random(states: dict[str, Any]) -> None:
    """Put back what :func:`random_states` gave."""
    torch.set_rng_state(states["cpu"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


class Found(NamedTuple):
    """A checkpoint to go on from, and what differs of its identity: name → value of then."""

    path: Path
    before: dict[str, str]


def usable(folder: Path, identity: Identity, accept_code_change: bool = False) -> Found | None:
    """The last checkpoint in a folder that is whole and belongs to the run; the one before it if need be; or None."""
    accepted = {"code", "torch"} if accept_code_change else set()
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            found = Identity(**torch.load(path, map_location="cpu", weights_only=True)["identity"])
        except Exception as error:  # torch tells a damaged file in many ways
            print(f"unroll: {path} is not used: it is damaged ({' '.join(str(error).split())[:80]}).", file=sys.stderr)
            continue
        differences = found.differences(identity)
        if set(differences) <= accepted:
            return Found(path, {name: getattr(found, name) for name in differences})
        hint = "; to go on from it all the same, use --accept-code-change" * (set(differences) <= {"code", "torch"})
        print(f"unroll: {path} is not used: it is of other {' and '.join(differences)}{hint}.", file=sys.stderr)
    return None
