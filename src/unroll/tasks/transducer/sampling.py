"""Scheduled sampling: how often, and where, a decoder reads its own predictions in training."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

DECAY = 1e-2  # ε at the end of the exponential schedule, before it is scaled
STEEPNESS = 12.0  # of the inverse sigmoid, over the budget
FACTORS = (-4658895280553007687, -7723592293110705685)  # of splitmix64, as signed numbers

# share of the budget → share of the final probability
SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda share: share,
    "exponential": lambda share: (1 - DECAY**share) / (1 - DECAY),
    "inverse_sigmoid": lambda share: _scaled(_sigmoid, share),
}


def probability(final: float, schedule: str, share: float) -> float:
    """Probability of reading an own prediction: Bengio, Vinyals, Jaitly, Shazeer, NeurIPS 2015, section 2.4.

    .. math::
        p(x) = p_1\\, \\frac{f(x) - f(0)}{f(1) - f(0)}, \\qquad
        f(x) = x, \\quad 1 - k^x \\quad\\text{or}\\quad \\sigma(a (x - 1/2))

    Args:
        final: p₁, the probability at the end of training.
        schedule: one of :data:`SCHEDULES`.
        share: x, the fraction of the budget that has been read.

    The paper counts steps, with constants that depend on their number; here each schedule covers the budget.
    """
    return final * SCHEDULES[schedule](min(1.0, share))


def coins(seed: int, step: int, targets: Tensor, mask: Tensor, share: float) -> Tensor:
    """A coin for each symbol, true with a given probability: [B, T] bool.

    Args:
        seed: random seed of the run.
        step: number that differs from step to step, such as the tokens read before.
        targets: the targets of the batch.
        mask: true for real symbols.
        share: the probability.

    Shapes:
        targets, mask: [B, T]

    A coin is a hash of seed, step, target and place. So it does not depend on the other rows of the batch, padding and
    processes, and is the same if a run is resumed. Equal targets of one batch have equal coins.
    """
    places = torch.arange(1, targets.shape[1] + 1, device=targets.device)
    start = mixed(torch.tensor([seed], device=targets.device) + step * 1_000_003)
    keys = (mixed(targets * 1_000_003 + places) * mask).sum(dim=1)  # [B]
    hashed = mixed(mixed(keys + start)[:, None] + places)  # [B, T]
    uniform: Tensor = ((hashed >> 11) & (2**53 - 1)).double() / 2**53
    return uniform < share


def mixed(numbers: Tensor) -> Tensor:
    """Well mixed 64-bit hashes of integers: splitmix64 of Steele, Lea, Flood, OOPSLA 2014."""
    first, second = FACTORS
    numbers = (numbers ^ _shifted(numbers, 30)) * first
    numbers = (numbers ^ _shifted(numbers, 27)) * second
    return numbers ^ _shifted(numbers, 31)


def _shifted(numbers: Tensor, places: int) -> Tensor:
    """Shift to the right, with zeros from the left."""
    shifted: Tensor = (numbers >> places) & (2 ** (64 - places) - 1)
    return shifted


def _sigmoid(share: float) -> float:
    return 1 / (1 + math.exp(-STEEPNESS * (share - 0.5)))


def _scaled(function: Callable[[float], float], share: float) -> float:
    """A function scaled to run from 0 to 1."""
    return (function(share) - function(0.0)) / (function(1.0) - function(0.0))
