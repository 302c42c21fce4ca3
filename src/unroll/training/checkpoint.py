"""Checkpoints from which a killed run resumes bit for bit."""

from __future__ import annotations

import signal
import time
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from unroll.errors import Interrupted
from unroll.interruption import Interruption
from unroll.outputs import move, sync
from unroll.terminal import say
from unroll.training.exchange import gathered
from unroll.training.trainable import Trainable, trainable

torch.serialization.add_safe_globals(
    [EarlyStoppingReason]
)  # part of the state of early stopping; everything else is plain
LAST, PREVIOUS = "last.ckpt", "previous.ckpt"
FORMAT = 2  # version of what is added to Lightning's checkpoint


@dataclass(frozen=True)
class Identity:
    """Identity of the run that a checkpoint belongs to.

    Args:
        settings, data, code: digests.
        arithmetic: other factors that affect the bits of a result; see :func:`~unroll.training.precision.arithmetic`.
    """

    settings: str
    data: str
    code: str
    arithmetic: dict[str, str]

    @classmethod
    def read(cls, content: Any) -> Identity:
        """Restore an identity from the result of :func:`~dataclasses.asdict`.

        Raises:
            ValueError: the content is invalid, or from another version.
        """
        names = set(cls.__annotations__)
        if not isinstance(content, dict) or not names <= set(content) or not isinstance(content["arithmetic"], dict):
            raise ValueError("it is of another version of unroll")
        return cls(**{name: content[name] for name in names})

    def parts(self) -> dict[str, str]:
        """All parts by name."""
        return {"settings": self.settings, "data": self.data, "code": self.code, **self.arithmetic}

    def differences(self, now: Identity) -> dict[str, str]:
        """Parts that differ from those of another identity, with their values in this one."""
        then = self.parts()
        return {name: then.get(name, "none") for name in then | now.parts() if then.get(name) != now.parts().get(name)}


def acceptable(differences: dict[str, str]) -> bool:
    """Whether the differences may be accepted on request: settings and data must be equal."""
    return not {"settings", "data"} & set(differences)


def described(differences: dict[str, str], now: Identity) -> str:
    """Describe differences, as in ``code and torch (2.12, now 2.13)``."""
    parts = now.parts()
    words = [name if name in ("settings", "data", "code") else f"{name} ({then}, now {parts.get(name, 'none')})"
             for name, then in differences.items()]  # fmt: skip
    hint = "; to resume from it anyway, use --accept-code-change" if acceptable(differences) else ""
    return " and ".join(words) + hint


class Resume(Callback):
    """Saves checkpoints at an interval and on interruption, and restores the state that Lightning does not.

    No checkpoint is saved right before a validation, which Lightning would skip on resuming, but after it; none between
    batches of accumulated gradients, which checkpoints do not contain; and none at the end of the training.

    Args:
        folder: folder of ``last.ckpt`` and its predecessor ``previous.ckpt``, both written atomically.
        identity: identity of the run.
        before: parts of the identity that differed when the run started, with their values.
        seconds: interval between checkpoints.
        interruption: pending Ctrl-C or SIGTERM, which stops the training after a checkpoint.
        name: name of the run for messages; None for no messages.
        clock: returns the time in seconds.
    """

    def __init__(
        self, folder: Path, identity: Identity, before: dict[str, str], seconds: float, interruption: Interruption,
        name: str | None, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self.folder, self.identity, self.before = folder, identity, before
        self.seconds, self.interruption, self.name, self.clock = seconds, interruption, name, clock
        self.saved_at = clock()
        self.started = False  # until then, a failure is one of restoring the checkpoint
        self.kept: list[dict[str, Any]] = []  # state of each process from the checkpoint

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.kept:  # before other callbacks start to measure
            trainable(pl_module).tokens_seen = self.kept[0]["module"]["tokens_seen"]

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.kept:
            self._restore(trainer, pl_module)
            if trainer.is_global_zero and self.name is not None:
                say(f"{self.name} resumes from {_place(trainable(pl_module))}.")
        self.started = True

    def _restore(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero and len(self.kept) != trainer.world_size:
            say(f"unroll: the run resumes in {trainer.world_size} processes; it had {len(self.kept)} before.")
        if trainer.global_rank < len(self.kept):
            restore_random(self.kept[trainer.global_rank]["random"])
        trainable(pl_module).restore([part["module"] for part in self.kept], trainer.global_rank, trainer.world_size)
        self.kept = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        loop = trainer.fit_loop.epoch_loop
        assert isinstance(trainer.val_check_batch, int)
        if (loop.total_batch_idx + 1) % trainer.val_check_batch:  # no validation is due
            self._save_if_due(trainer, trainable(pl_module))

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save_if_due(trainer, trainable(pl_module))

    def _save_if_due(self, trainer: Trainer, module: Trainable) -> None:
        """Save a checkpoint if the last one is old, or to stop."""
        if trainer.should_stop or trainer.fit_loop.epoch_loop._should_accumulate():
            return
        # clocks and signals differ between processes, but all must decide alike
        agreed = partial(trainer.strategy.reduce_boolean_decision, all=False)
        asked = self.interruption.asked
        if not agreed(asked or self.clock() - self.saved_at >= self.seconds):
            return
        self.save(trainer)
        self.saved_at = self.clock()
        if agreed(asked):
            raise Interrupted(
                self.interruption.number or signal.SIGINT,
                f"{self.name or 'the run'} stopped at {_place(module)}; the same command resumes from there.",
            )

    def save(self, trainer: Trainer) -> None:
        """Write a checkpoint to a temporary file, and move it into place when it is complete."""
        last, written = self.folder / LAST, self.folder / f"{LAST}.part"
        trainer.save_checkpoint(written, weights_only=False)
        if trainer.is_global_zero:
            sync(written)
            if last.exists():
                move(last, self.folder / PREVIOUS)
            move(written, last)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        checkpoint["format"] = FORMAT
        checkpoint["identity"] = asdict(self.identity)
        checkpoint["before"] = self.before
        checkpoint["kept"] = gathered({"random": random_states(), "module": trainable(pl_module).process_state()})

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.kept = checkpoint["kept"]


def _place(module: Trainable) -> str:
    """How far a run is."""
    return f"{module.tokens_seen:,} of {module.budget:,} tokens"


def random_states() -> dict[str, Any]:
    """States of torch's generators."""
    return {"cpu": torch.get_rng_state(), "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []}


def restore_random(states: dict[str, Any]) -> None:
    """Restore the states from :func:`random_states`."""
    torch.set_rng_state(states["cpu"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


class Found(NamedTuple):
    """A checkpoint to resume from, and the parts of the run's identity that differed when it started."""

    path: Path
    before: dict[str, str]


def usable(folder: Path, identity: Identity, accept_code_change: bool = False) -> Found | None:
    """The latest intact checkpoint in a folder that belongs to the run; None if there is none."""
    for path in (folder / LAST, folder / PREVIOUS):
        if not path.exists():
            continue
        try:
            found, before = _read(path)
        except Exception as error:  # torch reports a damaged file in many ways
            say(f"unroll: {path} is not used: it is damaged ({' '.join(str(error).split())[:80]}).")
            continue
        differences = found.differences(identity)
        if not differences or (accept_code_change and acceptable(differences)):
            return Found(path, differences | before)
        say(f"unroll: {path} is not used: it is of other {described(differences, identity)}.")
    return None


def _read(path: Path) -> tuple[Identity, dict[str, str]]:
    """Read the identity of a checkpoint and its earlier differences, after verifying its checksums."""
    with zipfile.ZipFile(path) as archive:  # torch does not verify checksums
        if bad := archive.testzip():
            raise ValueError(f"{bad} has a wrong checksum")
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    if content.get("format") != FORMAT:
        raise ValueError("it is of another version of unroll")
    return Identity.read(content["identity"]), dict(content["before"])
