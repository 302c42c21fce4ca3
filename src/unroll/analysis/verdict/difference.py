"""Intervals and tests of a difference, and what several tests at once make of their p.

All of it is computed on the scale of a metric (:mod:`unroll.metrics`): ``places`` are figures moved onto it.
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
FEWEST: dict[Method, int] = {  # seeds of each side that a test needs: Welch's errs in 6 to 10 % at 2, against 10
    "welch": 3, "permutation": 3, "paired": 8, "constant": 3, "boschloo": 3,
}  # fmt: skip
CLAIM = 5  # seeds of each side below which neither is called better
RESAMPLES = 20_000  # of a permutation test, which up to 8 against 8 goes through all there are


@dataclass(frozen=True)
class Interval:
    """A mean with the limits of its 95 % t interval, as figures; without limits where a single value gives none."""

    mean: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of mean places with the half-width of its t interval and its two-sided p.

    Without an interval seeds are too few; with one of no width none vary. ``freedom`` is that of the t test, None
    without one.
    """

    mean: float
    half_width: float | None
    p: float | None
    freedom: float | None = None


def interval(values: Sequence[float], metric: Metric) -> Interval:
    """Mean and 95 % t interval over seeds, formed on the scale of the metric and so within what it can be.

    Args:
        values: figures, one per seed.
        metric: of which they are.
    """
    places = [metric.onto(value) for value in values]
    mean = mean_place(places)
    if len(places) < 2 or not math.isfinite(mean):
        return Interval(values[0] if len(values) == 1 else metric.back(mean), None, None)
    squared = max(variance(places), metric.grain(mean))
    middle = values[0] if len(set(values)) == 1 else metric.back(mean)  # which logarithms would round
    if squared == 0:
        return Interval(middle, middle, middle)
    half_width = _quantile(len(places) - 1) * math.sqrt(squared / len(places))
    return Interval(middle, metric.back(mean - half_width), metric.back(mean + half_width))


def welch(a: Sequence[float], b: Sequence[float], grains: tuple[float, float] = (0.0, 0.0)) -> Difference:
    """Difference of two means without assuming equal variances: Welch 1947.

    .. math:: t = \\frac{\\bar a - \\bar b}{s}, \\quad s^2 = \\frac{s_a^2}{n_a} + \\frac{s_b^2}{n_b}, \\quad
        \\nu = \\frac{s^4}{\\frac{(s_a^2 / n_a)^2}{n_a - 1} + \\frac{(s_b^2 / n_b)^2}{n_b - 1}}

    Args:
        a, b: one place per seed. With too few of either (:data:`FEWEST`), or where neither varies, there is no test.
        grains: least variance of each side: where figures are counts, that of one item.
    """
    means, variances = zip(*(_moments(tuple(sample)) for sample in (a, b)), strict=True)
    difference = means[0] - means[1]
    if not math.isfinite(difference):
        return Difference(math.nan, None, None)
    if min(len(a), len(b)) < FEWEST["welch"]:
        return Difference(difference, None, None)
    parts = [max(spread, grain) / len(sample)
             for spread, grain, sample in zip(variances, grains, (a, b), strict=True)]  # fmt: skip
    squared = sum(parts)
    if squared == 0:
        return Difference(difference, 0.0, None)
    freedom = squared**2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (a, b), strict=True))
    return by_t(difference, math.sqrt(squared), freedom)


@lru_cache(maxsize=1024)
def _moments(places: tuple[float, ...]) -> tuple[float, float]:
    """Mean and variance, which every pair that a side is in asks for."""
    mean = mean_place(places)
    return mean, variance(places) if len(places) > 1 and math.isfinite(mean) else math.nan


def permutation(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Whether two sides come from one distribution: Fisher 1935.

    p is the share of ways to divide the values among two sides whose means differ as much; two-sided as in scipy, twice
    the smaller tail. Up to 8 values against 8 every way is tried, and beyond that as many as ``RESAMPLES``, the
    same ones each time. The interval is Welch's.

    Args:
        a, b: one place per seed; they need not vary.

    A small p says that the distributions differ, in their means or in their spread: with another spread and equal
    means it is too small in 8 to 18 % of cases. Few values leave few ways (:func:`smallest_p`).
    """
    difference = welch(a, b)
    if difference.half_width is None:
        return difference
    from scipy.stats import permutation_test

    found = permutation_test((a, b), _gap, n_resamples=RESAMPLES, vectorized=True, rng=0)
    return replace(difference, p=float(found.pvalue))


def smallest_p(a: int, b: int) -> float:
    """The smallest p that a permutation test of so many values can reach: 0.1 for 3 against 3."""
    return max(2 / math.comb(a + b, a), 2 / (RESAMPLES + 1))


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Mean difference of pairs, by Student's t over the differences.

    Args:
        a, b: one place per pair, in the same order. Fewer than eight pairs, or differences that do not vary, give no
            test: with few pairs the freedom that pairing costs is more than it gains.
    """
    return _by_gaps([x - y for x, y in zip(a, b, strict=True)], FEWEST["paired"])


def constant(a: Sequence[float], b: float) -> Difference:
    """Difference of a mean and a number that no seed changes, by Student's t over one sample.

    Args:
        a: one place per seed.
        b: the place that does not vary.
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
    """The two-sided p that two sides solve a problem equally often: Boschloo 1970.

    Args:
        solved_a, solved_b: seeds of each side that solve it.
        a, b: seeds of each side.

    It is exact as Fisher's test is, and more powerful, since it does not fix how many are solved in all: 5 of 5 against
    0 of 5 gives 0.002 and not 0.008.
    """
    from scipy.stats import boschloo_exact

    if (solved_a, solved_b) in ((0, 0), (a, b)):  # scipy has no p there
        return 1.0
    return min(1.0, float(boschloo_exact([[solved_a, solved_b], [a - solved_a, b - solved_b]]).pvalue))


def equivalence(difference: Difference, margin: float) -> float | None:
    """The p of two one-sided tests that the means differ by less than a margin: Schuirmann 1987.

    Args:
        difference: by a t test.
        margin: in places.

    Returns:
        The larger of the two p; None where a test has too few values, or none that vary.
    """
    if not difference.half_width or difference.freedom is None:
        return None
    error = difference.half_width / _quantile(difference.freedom)
    return _tail((margin - abs(difference.mean)) / error, difference.freedom)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction (Holm 1979) over the tests that there are; None stays None."""
    given = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    corrected: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for before, (p, place) in enumerate(given):
        largest = max(largest, min(1.0, (len(given) - before) * p))
        corrected[place] = largest
    return corrected


def by_t(mean: float, error: float, freedom: float) -> Difference:
    """A difference with its interval and p by Student's distribution.

    Args:
        mean: the difference.
        error: its standard error.
        freedom: degrees of freedom of that.
    """
    return Difference(mean, _quantile(freedom) * error, 2 * _tail(abs(mean) / error, freedom), freedom)


def _gap(a: Any, b: Any, axis: int) -> Any:
    return a.mean(axis=axis) - b.mean(axis=axis)


def _tail(t: float, freedom: float) -> float:
    """Probability of more than t by Student's distribution."""
    from scipy.special import stdtr  # scipy.stats takes a second to import

    return float(stdtr(freedom, -t))


def _quantile(freedom: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
