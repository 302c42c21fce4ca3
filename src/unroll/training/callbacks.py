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
from unroll.tracking.tracker import Tracker


class TokenBudget(Callback):
    """Stops when the budget of tokens has been read; Lightning then validates a last time."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(pl_module, Task)
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


class History(Callback):
    """Writes the curves on a token axis, ``tokens, metric, value``, and passes them to the tracker.

    The training loss is summed on the device and read once per validation: reading it at every step would make the
    device wait.

    Args:
        path: CSV file to write.
        tracker: gets every point too.
        points: points of the training curve between two validations.
        steps: steps between two validations.
    """

    def __init__(self, path: Path, tracker: Tracker, points: int, steps: int) -> None:
        self.path, self.tracker = path, tracker
        self.every = max(1, steps // points)
        self.losses: list[torch.Tensor] = []
        self.file: IO[str] | None = None

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.file = self.path.open("w", encoding="utf-8", newline="")
        self.rows = csv.writer(self.file, lineterminator="\n")
        self.rows.writerow(["tokens", "metric", "value"])

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.losses.append(outputs["loss"])
        if len(self.losses) == self.every:
            self._flush(trainer, pl_module)

    def _flush(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.losses:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            loss = float(torch.stack(self.losses).mean())
            self._write(pl_module, {"train/loss": loss, "train/learning_rate": rate})
        self.losses = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._flush(trainer, pl_module)
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._write(pl_module, {name: value for name, value in figures.items() if name.startswith("val/")})

    def _write(self, pl_module: LightningModule, values: dict[str, float]) -> None:
        assert self.file is not None and isinstance(pl_module, Task)
        self.rows.writerows([pl_module.tokens_seen, name, repr(value)] for name, value in values.items())
        self.tracker.log_metrics(values, pl_module.tokens_seen)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._close()

    def _close(self) -> None:
        if self.file is not None:
            self.file.close()


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
