"""Intervals and tests of the difference of two means, and what several tests at once make of their p."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean, variance
from typing import Any, Literal

Test = Literal["welch", "permutation", "paired"]

CONFIDENCE = 0.95
FEWEST: dict[Test, int] = {"welch": 2, "permutation": 2, "paired": 8}  # values of each side that a test needs
RESAMPLES = 20_000  # of a permutation test, which up to 8 against 8 goes through all there are


@dataclass(frozen=True)
class Interval:
    """A mean with the half-width of its t interval; None where fewer than two values give none."""

    mean: float
    half_width: float | None


@dataclass(frozen=True)
class Difference:
    """A difference of means with its t interval and two-sided p; None where seeds are too few, p alone if none vary."""

    mean: float
    half_width: float | None
    p: float | None


def t_interval(values: Sequence[float]) -> Interval:
    """Mean and half-width of the 95 % t interval over seeds.

    Args:
        values: one per seed.
    """
    if len(values) < 2:
        return Interval(values[0], None)
    return Interval(fmean(values), _quantile(len(values) - 1) * math.sqrt(variance(values) / len(values)))


def welch(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Difference of two means without assuming equal variances: Welch 1947.

    .. math:: t = \\frac{\\bar a - \\bar b}{s}, \\quad s^2 = \\frac{s_a^2}{n_a} + \\frac{s_b^2}{n_b}, \\quad
        \\nu = \\frac{s^4}{\\frac{(s_a^2 / n_a)^2}{n_a - 1} + \\frac{(s_b^2 / n_b)^2}{n_b - 1}}

    Args:
        a, b: one value per seed. Where either has fewer than two, or neither varies, there is no test.
    """
    difference = fmean(a) - fmean(b)
    if not math.isfinite(difference):
        return Difference(math.nan, None, None)
    if min(len(a), len(b)) < FEWEST["welch"]:
        return Difference(difference, None, None)
    parts = [variance(sample) / len(sample) for sample in (a, b)]
    squared = sum(parts)
    if squared == 0:
        return Difference(difference, 0.0, None)
    freedom = squared**2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (a, b), strict=True))
    return by_t(difference, math.sqrt(squared), freedom)


def permutation(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Difference of two means, its p the share of ways to deal the values out to two sides that part them as far.

    Fisher 1935; two-sided as scipy has it, twice the smaller tail. Up to 8 values against 8 every way is gone through,
    and beyond that as many as ``RESAMPLES``, the same ones each time. The interval is Welch's.

    Args:
        a, b: one value per seed; they need not vary.

    What is tested is that the two sides are dealt from one source: unlike Welch's test it needs no normal values, and
    it takes another spread, too, for a difference. Few values leave few ways (:func:`smallest_p`).
    """
    difference = welch(a, b)
    if difference.half_width is None:
        return difference
    from scipy.stats import permutation_test

    found = permutation_test((a, b), _gap, n_resamples=RESAMPLES, vectorized=True, rng=0)
    return replace(difference, p=float(found.pvalue))


def smallest_p(a: int, b: int) -> float:
    """The smallest p that a permutation test of so many values can come to: 0.1 for 3 against 3."""
    return max(2 / math.comb(a + b, a), 2 / (RESAMPLES + 1))


def paired(a: Sequence[float], b: Sequence[float]) -> Difference:
    """Mean difference of pairs, by Student's t over the differences.

    Args:
        a, b: one value per pair, in the same order. Fewer than eight pairs, or differences that do not vary, give no
            test: with few pairs the freedom that pairing costs is more than it gains.
    """
    gaps = [x - y for x, y in zip(a, b, strict=True)]
    mean = fmean(gaps)
    if not math.isfinite(mean):
        return Difference(math.nan, None, None)
    if len(gaps) < FEWEST["paired"]:
        return Difference(mean, None, None)
    error = math.sqrt(variance(gaps) / len(gaps))
    return by_t(mean, error, len(gaps) - 1) if error else Difference(mean, 0.0, None)


def equivalence(a: Sequence[float], b: Sequence[float], margin: float, test: Test) -> float | None:
    """The p of two one-sided tests that the means differ by less than a margin: Schuirmann 1987.

    Args:
        a, b: one value per seed.
        margin: in units of the values.
        test: ``paired`` for t over differences; otherwise Welch's, beside a permutation test too.

    Returns:
        The larger of the two p; None where a test has too few values, or none that vary.
    """
    import numpy as np
    from statsmodels.stats.weightstats import ttost_ind, ttost_paired

    difference = (paired if test == "paired" else welch)(a, b)
    if difference.p is None:
        return None
    sides = np.asarray(a, dtype=float), np.asarray(b, dtype=float)
    if test == "paired":
        return float(ttost_paired(*sides, -margin, margin)[0])
    return float(ttost_ind(*sides, -margin, margin, usevar="unequal")[0])


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction (Holm 1979) over the tests that there are; None stays None."""
    from statsmodels.stats.multitest import multipletests

    given = [p for p in p_values if p is not None]
    corrected = iter(multipletests(given, method="holm")[1].tolist() if given else [])
    return [None if p is None else next(corrected) for p in p_values]


def by_t(mean: float, error: float, freedom: float) -> Difference:
    """A difference with its interval and p by Student's distribution.

    Args:
        mean: the difference.
        error: its standard error.
        freedom: degrees of freedom of that.
    """
    from scipy.stats import t

    return Difference(mean, _quantile(freedom) * error, float(2 * t.sf(abs(mean) / error, freedom)))


def _gap(a: Any, b: Any, axis: int) -> Any:
    return a.mean(axis=axis) - b.mean(axis=axis)


def _quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))
