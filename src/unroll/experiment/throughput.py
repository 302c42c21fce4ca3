"""Speed of training, measured apart from training, where nothing else runs."""

from __future__ import annotations

import time
from collections.abc import Iterable

import torch

from unroll.data.batch import Batch
from unroll.tasks.base import Task
from unroll.training.precision import as_precise, autocast

WARM_UP = 3  # steps that are not counted


def tokens_per_second(task: Task, loader: Iterable[Batch], precision: str, seconds: float) -> float:
    """Real tokens per second of forward and backward passes.

    Args:
        task: a fresh task; its weights are not moved.
        loader: training batches.
        precision: one of :data:`~unroll.training.precision.PRECISIONS`.
        seconds: for how long to measure.
    """
    start, tokens, elapsed = time.perf_counter(), 0, 0.0
    for index, batch in enumerate(loader):
        if index == WARM_UP:
            start, tokens = time.perf_counter(), 0
        task.zero_grad()
        with autocast(precision):
            loss = task.training_step(as_precise(batch, task), index)
        torch.autograd.backward(loss)
        tokens += int(batch.mask.sum())
        elapsed = time.perf_counter() - start
        if index > WARM_UP and elapsed > seconds:
            break
    return tokens / elapsed
