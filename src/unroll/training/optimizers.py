"""Optimizers and schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from unroll.errors import BadInput

SCHEDULES: dict[str, Callable[[float], float]] = {  # share of the budget → factor of the learning rate
    "constant": lambda _: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}


def optimizer_factory(
    name: str, learning_rate: float, weight_decay: float, momentum: float, schedule: str, warmup: float
) -> Callable[[Iterator[nn.Parameter], Callable[[], float]], dict[str, Any]]:
    """Make what a task calls with its parameters and its progress.

    Args:
        name: ``adamw`` (Loshchilov and Hutter 2019) or ``sgd``.
        learning_rate: at the peak of the schedule.
        weight_decay: decoupled for AdamW, L2 for SGD; see :func:`decayed`.
        momentum: of SGD.
        schedule: ``constant``, ``linear`` or ``cosine``, over what the warm-up leaves of the budget.
        warmup: share of the budget over which the rate rises from 0, in [0, 1).

    Raises:
        BadInput: a name is unknown.
    """
    if schedule not in SCHEDULES:
        raise BadInput(f"There is no schedule {schedule!r}; choose one of {', '.join(SCHEDULES)}.")

    def factor(share: float) -> float:
        if share < warmup:
            # not 0 at the first step, which would be lost
            return max(share / warmup, 0.01)
        return max(SCHEDULES[schedule]((share - warmup) / (1 - warmup)), 1e-3)

    def make(parameters: Iterator[nn.Parameter], progress: Callable[[], float]) -> dict[str, Any]:
        optimizer: Optimizer
        groups = decayed(parameters, weight_decay)
        if name == "adamw":
            optimizer = AdamW(groups, learning_rate)
        elif name == "sgd":
            optimizer = SGD(groups, learning_rate, momentum)
        else:
            raise BadInput(f"There is no optimizer {name!r}; choose adamw or sgd.")
        scheduler = LambdaLR(optimizer, lambda _: factor(progress()))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    return make


def decayed(parameters: Iterator[nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    """Groups of parameters with and without decay.

    Matrices decay. Vectors do not: biases, gains of normalised layers, peepholes and learned first states have no
    products to keep small, and a decayed bias is a skewed threshold.
    """
    kept = list(parameters)
    matrices, vectors = ([p for p in kept if (p.dim() > 1) == wanted] for wanted in (True, False))
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
