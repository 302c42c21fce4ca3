"""Callbacks: token budget, history, pruning and progress."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer

from unroll.history import HistoryFile
from unroll.metrics import shown, without_twins
from unroll.terminal import Progress, say
from unroll.training.gradients import Gradients
from unroll.training.trainable import Trainable, trainable


class TokenBudget(Callback):
    """Stops training when the token budget is used up; Lightning then validates once more."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        if not trainer.fit_loop.epoch_loop._should_accumulate():  # no accumulated gradient is lost
            module = trainable(pl_module)
            trainer.should_stop = trainer.should_stop or module.tokens_seen >= module.budget


class Best(Callback):
    """Keeps the weights of the best validation as part of the checkpoint, so they are never newer than it.

    Args:
        monitor: the monitored metric.
        mode: ``min`` or ``max``.
        tie: metric whose lower value decides between equal values of the monitored one; None to keep the first.
    """

    def __init__(self, monitor: str, mode: str, tie: str | None = None) -> None:
        self.monitor, self.mode, self.tie = monitor, mode, tie
        self.value: float | None = None
        self.tied = math.inf  # value of the metric that decides
        self.weights: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        value = float(trainer.callback_metrics[self.monitor])
        known = self.value
        better = math.isfinite(value) and (known is None or (value < known if self.mode == "min" else value > known))
        tied = float(trainer.callback_metrics[self.tie]) if self.tie else math.inf
        if better or not self.weights or (value == known and tied < self.tied):
            self.value = value if math.isfinite(value) else None
            self.tied = tied
            self.weights = {name: part.detach().cpu().clone() for name, part in pl_module.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "tied": self.tied, "weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.value, self.weights = state_dict["value"], state_dict["weights"]
        self.tied = state_dict.get("tied", math.inf)  # absent from checkpoints of older versions


class History(Callback):
    """Writes curves over tokens to a file, one line per point, immediately.

    The points are also part of the checkpoint. A resumed run starts from the points of its checkpoint, whatever has
    happened to the file: later points are dropped and written again, and lost ones are restored.

    Args:
        file: the history file, written by one process.
        gradients: the callback that measures steps.
        points: number of points of the training curve between two validations.
        steps: number of batches between two validations.
    """

    def __init__(self, file: HistoryFile, gradients: Gradients, points: int, steps: int) -> None:
        self.file, self.gradients = file, gradients
        self.every = max(1, steps // points)
        self.batches = 0  # read since the last point
        self.rows: list[list[str]] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.file.replace(self.rows)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self.batches += 1
        if self.batches == self.every:
            self._point(trainer, trainable(pl_module))

    def _point(self, trainer: Trainer, module: Trainable) -> None:
        self.batches = 0
        measured = {f"train/{name}": value for name, value in self.gradients.take_measured().items()}
        if measured:
            rate = trainer.optimizers[0].param_groups[0]["lr"]
            self._write(trainer, module, {**measured, "train/learning_rate": rate})

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = trainable(pl_module)
        self._point(trainer, module)
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._write(trainer, module, {name: value for name, value in figures.items() if name.startswith("val/")})

    def _write(self, trainer: Trainer, module: Trainable, values: dict[str, float]) -> None:
        if not trainer.is_global_zero:
            return
        now = str(int(time.time() * 1000))
        rows = [[str(module.tokens_seen), name, repr(value), now] for name, value in values.items()]
        self.rows += rows
        self.file.append(rows)

    def state_dict(self) -> dict[str, Any]:
        return {"batches": self.batches, "rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.batches, self.rows = state_dict["batches"], state_dict["rows"]


class Watched(Callback):
    """Reports each validation, and stops training in all processes if the report returns True.

    Args:
        validations: number of validations over the budget, evenly spaced. Validations are reported at these nominal
            numbers of tokens, so that runs with different batches are comparable. The actual number at the n-th
            validation is lower by less than n batches.
        report: called in the first process with tokens, the monitored metric and the tokens per second so far.
        everywhere: broadcasts the result of a function of the first process.
    """

    def __init__(
        self, validations: int, report: Callable[[int, float, float], bool],
        everywhere: Callable[[Callable[[], bool]], bool],
    ) -> None:  # fmt: skip
        self.validations, self.report, self.everywhere = validations, report, everywhere
        self.ended = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = time.perf_counter()
        self.begin = trainable(pl_module).tokens_seen

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = trainable(pl_module)
        number = round(module.tokens_seen * self.validations / module.budget)
        speed = (module.tokens_seen - self.begin) / (time.perf_counter() - self.start)
        value = float(trainer.callback_metrics[module.monitor])
        self.ended = self.everywhere(lambda: self.report(number * module.budget // self.validations, value, speed))
        trainer.should_stop = trainer.should_stop or self.ended


class Clock(Callback):
    """Measures tokens and seconds of training in this process, including validations."""

    def __init__(self) -> None:
        self.tokens = 0
        self.seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.start = time.perf_counter()
        self.begin = trainable(pl_module).tokens_seen

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.tokens = trainable(pl_module).tokens_seen - self.begin
        self.seconds = time.perf_counter() - self.start


class Display(Callback):
    """Shows the progress: one line that is redrawn on a terminal, one line per validation elsewhere.

    Args:
        name: name of the run, which lines have that are not redrawn.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.validated = ""  # the monitored metric of the last validation

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = trainable(pl_module)
        self.start = time.perf_counter()
        self.begin = module.tokens_seen
        self.progress = Progress(module.budget, "tokens", module.tokens_seen)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        self._draw(trainable(pl_module))

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        self._draw(trainable(pl_module), "validating")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        module = trainable(pl_module)
        self.validated = f"{module.monitor} {shown(float(trainer.callback_metrics[module.monitor]))}"
        if self.progress.line.terminal:
            return
        metrics = {name: value for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
        figures = {name: float(value) for name, value in metrics.items() if name.count("/") == 1}
        text = "  ".join(f"{name} {shown(value)}" for name, value in without_twins(figures).items())
        say(f"{self.name}  {module.tokens_seen:,} tokens  {text}  {self._speed(module)}")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.progress.line.terminal:
            module = trainable(pl_module)
            self.progress.keep(module.tokens_seen, self.validated, self._speed(module))

    def _draw(self, module: Trainable, *doing: str) -> None:
        if self.progress.line.terminal:
            self.progress.show(module.tokens_seen, *doing, self.validated, self._speed(module))

    def _speed(self, module: Trainable) -> str:
        return f"{(module.tokens_seen - self.begin) / (time.perf_counter() - self.start):,.0f} tokens/s"
