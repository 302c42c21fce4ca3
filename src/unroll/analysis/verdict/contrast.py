"""Contrasts: weighted sums of several means, with a test."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean

from unroll.analysis.verdict.difference import Difference, by_t


def contrast(groups: Sequence[Sequence[float]], weights: Sequence[float]) -> Difference:
    """A weighted sum of the means of groups, with its t interval and two-sided p.

    .. math:: t = \\frac{\\sum_i w_i \\bar y_i}{s \\sqrt{\\sum_i w_i^2 / n_i}}, \\quad
        s^2 = \\frac{\\sum_i \\sum_j (y_{ij} - \\bar y_i)^2}{\\nu}, \\quad \\nu = \\sum_i (n_i - 1)

    Args:
        groups: values of each group. A group may have a single value if others have more.
        weights: weight of each group's mean; they sum to 0.

    Groups are assumed to have equal variances, so that groups of one value can be included. If no group has two values,
    or none varies, there is no test.
    """
    means = [fmean(values) for values in groups]
    total = sum(weight * mean for weight, mean in zip(weights, means, strict=True))
    freedom = sum(len(values) - 1 for values in groups)
    if freedom < 1:
        return Difference(total, None, None)
    squares = sum((value - mean) ** 2 for values, mean in zip(groups, means, strict=True) for value in values)
    scale = sum(weight**2 / len(values) for weight, values in zip(weights, groups, strict=True))
    error = math.sqrt(squares / freedom * scale)
    return by_t(total, error, freedom) if error else Difference(total, 0.0, None)
