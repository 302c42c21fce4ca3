"""How large a difference is, how many seeds would show it, and what a best of several is worth.

Differences are measured in places on the scale of a metric, as in :mod:`unroll.analysis.verdict.difference`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from unroll.analysis.verdict.difference import CLAIM, CONFIDENCE, FEWEST, Method

POWER = 0.8  # chance to show a difference that is there
FAR = 1_000.0  # a t so large that the limits of its noncentrality are those of a spread
MOST = 10_000  # seeds of each side; nobody would look for a difference that needs more


@dataclass(frozen=True)
class Effect:
    """A difference in standard deviations, with the limits of its 95 % interval."""

    size: float
    low: float
    high: float


def hedges(a: Sequence[float], b: Sequence[float]) -> Effect | None:
    """Hedges' g, a difference of means in pooled standard deviations, without the bias of few values: Hedges 1981.

    .. math:: g = J(\\nu) \\, \\frac{\\bar a - \\bar b}{s_p}, \\quad
        s_p^2 = \\frac{(n_a - 1) s_a^2 + (n_b - 1) s_b^2}{\\nu}, \\quad \\nu = n_a + n_b - 2, \\quad
        J(\\nu) = \\frac{\\Gamma(\\nu / 2)}{\\sqrt{\\nu / 2} \\, \\Gamma((\\nu - 1) / 2)}

    The interval is that of the noncentral t distribution, which takes the two variances for equal.

    Args:
        a, b: one place per seed, at least two of each.

    Returns:
        None where neither side varies.
    """
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * variance(a) + (len(b) - 1) * variance(b)) / freedom
    return _effect(fmean(a) - fmean(b), pooled, freedom, math.sqrt(1 / len(a) + 1 / len(b)))


def hedges_of_constant(a: Sequence[float], b: float) -> Effect | None:
    """The same against a number that does not vary, in standard deviations of the side that does.

    Args:
        a: one place per seed, at least three.
        b: the place that does not vary.
    """
    return _effect(fmean(a) - b, variance(a), len(a) - 1, math.sqrt(1 / len(a)))


def _effect(gap: float, squared: float, freedom: int, scale: float) -> Effect | None:
    """An effect and its limits, from a gap, a variance with its freedom, and the standard error of a gap in them."""
    if squared == 0:
        return None
    size = gap / math.sqrt(squared)
    low, high = (limit * scale for limit in _noncentrality(size / scale, freedom))
    return Effect(*(_unbiased(freedom) * value for value in (size, low, high)))


def _noncentrality(t: float, freedom: int) -> tuple[float, float]:
    """Limits of the noncentrality of which a t was seen."""
    from scipy.special import nctdtrinc
    from scipy.stats import chi2

    tails = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
    if abs(t) <= FAR:
        low, high = (float(nctdtrinc(freedom, tail, t)) for tail in tails)
        return low, high
    # beyond, scipy's inverse does not end; but there the spread alone is uncertain, and the means are not
    near, far = (t * math.sqrt(chi2.isf(tail, freedom) / freedom) for tail in tails)
    return min(near, far), max(near, far)


def improvement(a: Sequence[float], b: Sequence[float]) -> float:
    """Probability that a run of ``a`` has a larger value than one of ``b``; a tie counts half.

    The statistic of Mann and Whitney 1947 as a share of all pairs; the name is that of Agarwal et al. 2021.

    Args:
        a, b: one value per seed.
    """
    return fmean((x > y) + (x == y) / 2 for x in a for y in b)


def seeds_needed(a: Sequence[float], b: Sequence[float], method: Method, level: float) -> int | None:
    """Seeds of each side with which a difference like the one that was found would be shown four times in five.

    Args:
        a, b: one place per seed, at least two of each; of a constant as many as of the other side.
        method: ``paired`` and ``constant`` for t over differences; otherwise Welch's test, whose power stands in for
            that of a permutation test.
        level: of the test, two-sided.

    Returns:
        None for more than ``MOST``.

    Difference and variances are taken as they were found, without the bias of few values: the true ones may be others,
    so that this number is a guess, and the guess is bad with few seeds.
    """
    power = (_power_of_pairs if method in ("paired", "constant") else _power_of_welch)(a, b, level)
    fewest = max(FEWEST[method], CLAIM)
    needed = fewest + bisect_left(range(fewest, MOST + 1), POWER, key=power)
    return needed if needed <= MOST else None


def _power_of_welch(a: Sequence[float], b: Sequence[float], level: float) -> Callable[[int], float]:
    """Power of Welch's test with so many seeds of each side."""
    first, second, gap = variance(a), variance(b), abs(fmean(a) - fmean(b))
    if first + second == 0:
        return lambda _: float(gap > 0)
    size = _unbiased(len(a) + len(b) - 2) * gap / math.sqrt((first + second) / 2)
    share = (first + second) ** 2 / (first**2 + second**2)  # freedom of Welch's test is this times n - 1
    return lambda count: _power(size, count, level, share * (count - 1))


def _power(size: float, count: int, level: float, freedom: float) -> float:
    from scipy.stats import chi2, t
    from statsmodels.stats.power import TTestIndPower

    found = float(TTestIndPower().power(size, count, level, df=freedom))
    if not math.isnan(found):
        return found
    # scipy's noncentral t fails far out, where the spread alone is uncertain, and the means are not
    ratio = size * math.sqrt(count / 2) / t.isf(level / 2, freedom)
    return float(chi2.cdf(freedom * ratio**2, freedom))


def _power_of_pairs(a: Sequence[float], b: Sequence[float], level: float) -> Callable[[int], float]:
    """Power of a paired t test with so many pairs."""
    from statsmodels.stats.power import TTestPower

    gaps = [x - y for x, y in zip(a, b, strict=True)]
    mean, spread = abs(fmean(gaps)), math.sqrt(variance(gaps))
    if spread == 0:
        return lambda _: float(mean > 0)
    size = _unbiased(len(gaps) - 1) * mean / spread if len(gaps) > 2 else mean / spread
    return lambda count: float(TTestPower().power(size, count, level))


def _unbiased(freedom: int) -> float:
    """Hedges' J: what a mean over an estimated standard deviation is to be multiplied by."""
    return math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)


def expected_best(values: Sequence[float], lower: bool) -> list[float]:
    """What the best of 1, 2, … n trials is expected to be: Dodge, Gururangan, Card, Schwartz and Smith 2019.

    .. math:: E[v^*_k] = \\sum_{i=1}^{n} v_{(i)} \\left( \\left( \\tfrac{i}{n} \\right)^k -
        \\left( \\tfrac{i - 1}{n} \\right)^k \\right), \\quad v_{(1)} \\text{ the worst}

    Args:
        values: validation figures of all n trials that were made.
        lower: whether a lower figure is the better one.

    Trials are drawn with replacement from those that were made, as in the paper; so the last figure is a little worse
    than the best trial, which is itself the best of n by luck.
    """
    count, worst_first = len(values), sorted(values, reverse=lower)
    return [
        sum(value * ((i / count) ** k - ((i - 1) / count) ** k) for i, value in enumerate(worst_first, start=1))
        for k in range(1, count + 1)
    ]
