"""What happens beside the steps: budget, history, lines or a bar on the terminal."""

from __future__ import annotations

import csv
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import RichProgressBar

from unroll.tasks.base import Task
from unroll.training.gradients import Gradients


class TokenBudget(Callback):
    """Stops when the budget of tokens has been read; Lightning then validates a last time."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
        if not trainer.fit_loop.epoch_loop._should_accumulate():  # no gradient is left behind
            trainer.should_stop = trainer.should_stop or pl_module.tokens_seen >= pl_module.budget


class Interruption(Callback):
    """While it is entered, Ctrl-C ends training when the batch at hand is done; pressed again, at once.

    Python would raise KeyboardInterrupt wherever it happens to be: in a callback of the garbage collector, where
    MLflow's libraries leave many, it would be printed and lost.
    """

    def __enter__(self) -> Interruption:
        self.asked, self.handler = False, None
        if threading.current_thread() is threading.main_thread():
            self.handler = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.asked:
            raise KeyboardInterrupt

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        if self.asked:
            raise KeyboardInterrupt


class Best(Callback):
    """Keeps the weights of the best validation; they are part of a checkpoint, and so never newer than it.

    Args:
        monitor: metric by which a validation is better.
        mode: ``min`` or ``max``.
    """

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor, self.mode = monitor, mode
        self.value: float | None = None
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = float(trainer.callback_metrics[self.monitor])
        if self.value is None or (value < self.value if self.mode == "min" else value > self.value):
            self.value = value
            self.weights = {name: part.detach().cpu().clone() for name, part in pl_module.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.value, self.weights = state_dict["value"], state_dict["weights"]


class History(Callback):
    """Writes the curves on a token axis, as ``tokens, metric, value, milliseconds``: one line per point, flushed.

    Sums are kept on the device and read once per point: reading them at every step would make the device wait. A run
    that goes on from a checkpoint finds the points that it had written after it, and makes them anew: those are held
    against what it makes, and stay as they are, so that a point is written once.

    Args:
        path: file to write.
        gradients: whose measures are written too.
        points: points of the training curve between two validations.
        steps: batches between two validations.
    """

    def __init__(self, path: Path, gradients: Gradients, points: int, steps: int) -> None:
        self.path, self.gradients = path, gradients
        self.every = max(1, steps // points)
        self.batches = self.rows = 0  # read since the last point; written
        self.ahead: list[list[str]] = []  # points that were written after the checkpoint
        self.file: IO[str] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        kept = whole_rows(self.path)
        self.ahead = kept[self.rows :]
        self.file = self.path.open("w", encoding="utf-8", newline="")
        self.out = csv.writer(self.file, lineterminator="\n")
        self.out.writerows(kept)
        self.file.flush()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.batches += 1
        if self.batches == self.every:
            self._point(trainer, pl_module)

    def _point(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        self.batches = 0
        total, count = trainer.strategy.reduce(pl_module.take_loss(), reduce_op="sum").tolist()
        if count:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            measured = {f"train/{name}": value for name, value in self.gradients.take_measured().items()}
            self._write(pl_module, {"train/loss": total / count, "train/learning_rate": rate, **measured})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._point(trainer, pl_module)
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._write(pl_module, {name: value for name, value in figures.items() if name.startswith("val/")})

    def _write(self, pl_module: LightningModule, values: dict[str, float]) -> None:
        assert self.file is not None and isinstance(pl_module, Task)
        now = int(time.time() * 1000)
        for name, value in values.items():
            self.rows += 1
            row = [str(pl_module.tokens_seen), name, repr(value)]
            if self.ahead:
                if self.ahead[0][:3] == row:
                    self.ahead.pop(0)
                    continue
                self._cut()  # what is made now differs from what was made then, by other code
            self.out.writerow([*row, now])
        self.file.flush()

    def _cut(self) -> None:
        """Leave out the points that are not made again."""
        assert self.file is not None
        kept, self.ahead = whole_rows(self.path)[: self.rows - 1], []
        self.file.seek(0)
        self.file.truncate()
        self.out.writerows(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches, self.rows = state_dict["batches"], state_dict["rows"]

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.file is not None:
            self.file.close()


def whole_rows(path: Path) -> list[list[str]]:
    """Points of a history; a last line that was not written to its end is left out."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    return list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))


class Lines(Callback):
    """One quiet line per validation, for logs and pipes."""

    def __init__(self, name: str) -> None:
        self.name = name

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, Task)
        seconds = time.perf_counter() - self.start
        figures = {name: float(value) for name, value in trainer.callback_metrics.items() if name.count("/") == 1}
        text = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name.startswith("val/"))
        rate = pl_module.tokens_seen / seconds
        print(f"{self.name}  {pl_module.tokens_seen:,} tokens  {text}  {rate:,.0f} tokens/s", file=sys.stderr)


class TokenBar(RichProgressBar):
    """Progress bar for a terminal, with tokens per second and the last validation."""

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        assert isinstance(pl_module, Task)
        self.started = getattr(self, "started", None) or time.perf_counter()
        rate = pl_module.tokens_seen / max(time.perf_counter() - self.started, 1e-9)
        monitored = trainer.callback_metrics.get(pl_module.monitor)
        share = min(1.0, pl_module.tokens_seen / pl_module.budget)
        shown: dict[str, Any] = {"budget": f"{share:.0%}", "tokens/s": f"{rate:,.0f}"}
        return shown | ({} if monitored is None else {pl_module.monitor: f"{float(monitored):.4f}"})

    def _get_train_description(self, current_epoch: int) -> str:
        # Lightning would tell the epoch of −2: the budget is in tokens, and how many epochs it takes is not set
        return f"epoch {current_epoch + 1}"
