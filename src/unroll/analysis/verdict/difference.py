"""Intervals and tests of a difference, and the correction of p-values for multiple comparisons.

Everything is computed on the scale of a metric (:mod:`unroll.metrics`); ``places`` are figures on that scale.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from statistics import variance
from typing import Any, Literal

from unroll.metrics import Metric, mean_place

Test = Literal["welch", "permutation", "paired"]
Method = Literal["welch", "permutation", "paired", "constant", "boschloo"]

CONFIDENCE = 0.95
FEWEST: dict[Method, int] = {  # seeds per side that a test needs: with 2 against 10, Welch's error rate is 6 to 10 %
    "welch": 3, "permutation": 3, "paired": 8, "constant": 3, "boschloo": 3,
}  # fmt: skip
CLAIM = 5  # seeds per side below which neither side is called better
RESAMPLES = 20_000  # of a permutation test; up to 8 against 8, all permutations are enumerated


@dataclass(frozen=True)
class Interval:
    """A mean with the limits of its 95 % t interval, as figures; no limits for a single value."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of means on the metric's scale, with the half-width of its t interval and its two-sided p-value.

    ``half_width`` is None if there are too few seeds, and 0 if none vary. ``freedom`` is the degrees of freedom of the
    t test, None if there is no test.
    """

    mean: float
    half_width: float | None
    p: float | None
    freedom: float | None = None


def interval(values: Sequence[float], metric: Metric) -> Interval:
    """Mean and 95 % t interval over seeds, computed on the metric's scale, and so within the metric's range.

    Args:
        values: figures, one per seed.
        metric: the metric of the figures.
    """
    places = [metric.onto(value) for value in values]
    mean = mean_place(places)
    if len(places) < 2 or not math.isfinite(mean):
        return Interval(values[0] if len(values) == 1 else metric.back(mean), None, None)
    squared = max(variance(places), metric.grain(mean))
    middle = values[0] if len(set(values)) == 1 else metric.back(mean)  # logarithms would round equal values
    if squared == 0:
        return Interval(middle, middle, middle)
    half_width = _quantile(len(places) - 1) * math.sqrt(squared / len(places))
    return Interval(middle, metric.back(mean - half_width), metric.back(mean + half_width))


def welch(a: Sequence[float], b: Sequence[float], grains: tuple[float, float] = (0.0, 0.0)) -> Difference:
    """Difference of two means without assuming equal variances: Welch 1947.

    .. math:: t = \\frac{\\bar a - \\bar b}{s}, \\quad s^2 = \\frac{s_a^2}{n_a} + \\frac{s_b^2}{n_b}, \\quad
        \\nu = \\frac{s^4}{\\frac{(s_a^2 / n_a)^2}{n_a - 1} + \\frac{(s_b^2 / n_b)^2}{n_b - 1}}

    Args:
        a, b: one place per seed. If either has too few (:data:`FEWEST`), or neither varies, there is no test.
        grains: minimum variance of each side; for figures that are counts, the variance of one item.
    """
    means, variances = zip(*(_moments(tuple(sample)) for sample in (a, b)), strict=True)
    difference = means[0] - means[1]
    if not math.isfinite(difference):
        return Difference(math.nan, None, None)
    if min(len(a), len(b)) < FEWEST["welch"]:
        return Difference(difference, None, None)
    parts = [max(spread, grain) / len(sample) for spread, grain, sample in zip(variances, grains, (a, b), strict=True)]
    squared = sum(parts)
    if squared == 0:
        return Difference(difference, 0.0, None)
    freedom = squared**2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (a, b), strict=True))
    return by_t(difference, math.sqrt(squared), freedom)


@lru_cache(maxsize=1024)
def _moments(places: tuple[float, ...]) -> tuple[float, float]:
    """Mean and variance, cached because each side is part of several pairs."""
    mean = mean_place(places)
    return mean, variance(places) if len(places) > 1 and math.isfinite(mean) else math.nan


def permutation(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Permutation test of whether two sides have the same distribution: Fisher 1935.

    The p-value is the share of permutations whose means differ at least as much; as in scipy, it is twice the smaller
    tail. Up to 8 against 8 values, all permutations are enumerated; beyond that, ``RESAMPLES`` are drawn with a fixed
    seed. The interval is Welch's.

    Args:
        a, b: one place per seed; they need not vary.

    A small p-value means that the distributions differ in mean or in spread: with equal means and unequal spreads, p is
    below 0.05 in 8 to 18 % of cases. With few values, p cannot be small (:func:`smallest_p`).
    """
    difference = welch(a, b)
    if difference.half_width is None:
        return difference
    from scipy.stats import permutation_test

    found = permutation_test((a, b), _gap, n_resamples=RESAMPLES, vectorized=True, rng=0)
    return replace(difference, p=float(found.pvalue))


def smallest_p(a: int, b: int) -> float:
    """The smallest p-value that a permutation test of ``a`` against ``b`` values can reach: 0.1 for 3 against 3."""
    return max(2 / math.comb(a + b, a), 2 / (RESAMPLES + 1))


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Mean difference of pairs, by Student's t over the differences.

    Args:
        a, b: one place per pair, in the same order. There is no test for fewer than eight pairs, because pairing then
            costs more degrees of freedom than it gains, or if the differences do not vary.
    """
    return _by_gaps([x - y for x, y in zip(a, b, strict=True)], FEWEST["paired"])


def constant(a: Sequence[float], b: float) -> Difference:
    """Difference between a mean and a constant, by a one-sample t test.

    Args:
        a: one place per seed.
        b: the constant, as a place.
    """
    return _by_gaps([x - b for x in a], FEWEST["constant"])


def _by_gaps(gaps: Sequence[float], fewest: int) -> Difference:
    mean = mean_place(gaps)
    if not math.isfinite(mean):
        return Difference(math.nan, None, None)
    if len(gaps) < fewest:
        return Difference(mean, None, None)
    error = math.sqrt(variance(gaps) / len(gaps))
    return by_t(mean, error, len(gaps) - 1) if error else Difference(mean, 0.0, None)


@lru_cache(maxsize=4096)
def boschloo(solved_a: int, a: int, solved_b: int, b: int) -> float:
    """Two-sided p-value of Boschloo's exact test that two sides solve a problem equally often: Boschloo 1970.

    Args:
        solved_a, solved_b: seeds of each side that solve the problem.
        a, b: seeds of each side.

    Like Fisher's test it is exact, but it is more powerful, since it does not condition on the total number solved: 5
    of 5 against 0 of 5 gives 0.002 instead of 0.008.
    """
    from scipy.stats import boschloo_exact

    if (solved_a, solved_b) in ((0, 0), (a, b)):  # scipy returns NaN here
        return 1.0
    return min(1.0, float(boschloo_exact([[solved_a, solved_b], [a - solved_a, b - solved_b]]).pvalue))


def equivalence(difference: Difference, margin: float) -> float | None:
    """Test of equivalence within a margin, by two one-sided t tests: Schuirmann 1987.

    Args:
        difference: result of a t test.
        margin: margin on the metric's scale.

    Returns:
        The larger of the two p-values; None if there are too few values, or none vary.
    """
    if not difference.half_width or difference.freedom is None:
        return None
    error = difference.half_width / _quantile(difference.freedom)
    return _tail((margin - abs(difference.mean)) / error, difference.freedom)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction (Holm 1979) over all tests; None, for no test, stays None."""
    given = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for before, (p, place) in enumerate(given):
        largest = max(largest, min(1.0, (len(given) - before) * p))
        corrected[place] = largest
    return corrected


def by_t(mean: float, error: float, freedom: float) -> Difference:
    """A difference with its interval and p-value by Student's t distribution.

    Args:
        mean: the difference.
        error: its standard error.
        freedom: its degrees of freedom.
    """
    return Difference(mean, _quantile(freedom) * error, 2 * _tail(abs(mean) / error, freedom), freedom)


def _gap(a: Any, b: Any, axis: int) -> Any:
    return a.mean(axis=axis) - b.mean(axis=axis)


def _tail(t: float, freedom: float) -> float:
    """Upper tail probability of t by Student's distribution."""
    from scipy.special import stdtr  # scipy.stats takes a second to import

    return float(stdtr(freedom, -t))


def _quantile(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
