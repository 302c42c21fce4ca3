"""Speed of training, measured in a separate pass."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import torch

from unroll.data.batch import Batch
from unroll.training.precision import autocast

if TYPE_CHECKING:
    from unroll.tasks.base import Task

WARM_UP = 3  # steps that are not measured


def tokens_per_second(task: Task, batches: Iterable[Batch], precision: str, seconds: float) -> Iterator[float]:
    """Real tokens per second of forward and backward passes, one measurement after another.

    Args:
        task: a new task; its weights are not updated.
        batches: endless batches of training; each measurement continues where the previous one stopped.
        precision: one of :data:`~unroll.training.precision.PRECISIONS`.
        seconds: duration of one measurement, which takes at least one step.
    """
    numbered = enumerate(batches)
    for index, batch in islice(numbered, WARM_UP):
        _step(task, batch, index, precision)
    while True:
        start = time.perf_counter()
        tokens = 0
        elapsed = 0.0
        while elapsed <= seconds:
            index, batch = next(numbered)
            _step(task, batch, index, precision)
            tokens += int(batch.mask.sum())
            elapsed = time.perf_counter() - start
        yield tokens / elapsed


def _step(task: Task, batch: Batch, index: int, precision: str) -> None:
    task.zero_grad()
    with autocast(precision):
        loss = task.training_step(task.network.precise(batch), index)
    torch.autograd.backward(loss)
