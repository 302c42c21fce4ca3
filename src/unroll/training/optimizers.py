"""Optimizers and schedules by name."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from unroll.errors import BadInput

SCHEDULES: dict[str, Callable[[float], float]] = {  # fraction of the budget → factor of the learning rate
    "constant": lambda _: 1.0,
    "linear": lambda share: 1.0 - share,
    "cosine": lambda share: 0.5 * (1.0 + math.cos(math.pi * share)),
}


def optimizer_factory(
    name: str, learning_rate: float, weight_decay: float, momentum: float, schedule: str, warmup: float
) -> Callable[[Iterator[nn.Parameter], Callable[[], float]], dict[str, Any]]:
    """Create the function that builds the optimizer from the parameters and progress of a task.

    Args:
        name: ``adamw`` (Loshchilov and Hutter 2019) or ``sgd``.
        learning_rate: peak learning rate of the schedule.
        weight_decay: decoupled for AdamW, L2 for SGD; see :func:`decayed`.
        momentum: momentum factor of SGD.
        schedule: ``constant``, ``linear`` or ``cosine``, over the budget after the warm-up.
        warmup: fraction of the budget over which the rate increases linearly from 0, in [0, 1).

    Raises:
        BadInput: a name is unknown.
    """
    if schedule not in SCHEDULES:
        raise BadInput(f"There is no schedule {schedule!r}; choose one of {', '.join(SCHEDULES)}.")

    def factor(share: float) -> float:
        if share < warmup:
            # not 0, or the first step would have no effect
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
    """Parameter groups with and without weight decay.

    Weight decay applies to matrices only. Vectors (biases, gains of layer norms, peepholes and learned initial states)
    are excluded, since they do not scale products, and decay would shift a bias.
    """
    kept = list(parameters)
    matrices, vectors = ([p for p in kept if (p.dim() > 1) == wanted] for wanted in (True, False))
    return [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
