"""Effect sizes, the number of seeds needed to show a difference, and the expected best of n trials.

Differences are on the scale of a metric, as in :mod:`unroll.analysis.verdict.difference`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean, variance

from unroll.analysis.verdict.difference import CLAIM, CONFIDENCE, FEWEST, Method

POWER = 0.8  # probability of detecting a true difference
FAR = 1_000.0  # a t above which only the uncertainty of the variance matters for the limits of its noncentrality
MOST = 10_000  # seeds per side above which no number is reported


@dataclass(frozen=True)
class Effect:
    """A difference in standard deviations, with the limits of its 95 % interval."""

    size: float
    low: float
    high: float


def hedges(a: Sequence[float], b: Sequence[float]) -> Effect | None:
    """Hedges' g, a difference of means in pooled standard deviations, with small-sample correction: Hedges 1981.

    .. math:: g = J(\\nu) \\, \\frac{\\bar a - \\bar b}{s_p}, \\quad
        s_p^2 = \\frac{(n_a - 1) s_a^2 + (n_b - 1) s_b^2}{\\nu}, \\quad \\nu = n_a + n_b - 2, \\quad
        J(\\nu) = \\frac{\\Gamma(\\nu / 2)}{\\sqrt{\\nu / 2} \\, \\Gamma((\\nu - 1) / 2)}

    The interval is based on the noncentral t distribution, which assumes equal variances.

    Args:
        a, b: one place per seed, at least two per side.

    Returns:
        None if neither side varies.
    """
    freedom = len(a) + len(b) - 2
    pooled = ((len(a) - 1) * variance(a) + (len(b) - 1) * variance(b)) / freedom
    return _effect(fmean(a) - fmean(b), pooled, freedom, math.sqrt(1 / len(a) + 1 / len(b)))


def hedges_of_constant(a: Sequence[float], b: float) -> Effect | None:
    """Hedges' g against a constant, in standard deviations of the side that varies.

    Args:
        a: one place per seed, at least three.
        b: the constant, as a place.
    """
    return _effect(fmean(a) - b, variance(a), len(a) - 1, math.sqrt(1 / len(a)))


def _effect(gap: float, squared: float, freedom: int, scale: float) -> Effect | None:
    """An effect size and its limits, from the difference, the variance and its freedom, and the scale of the error."""
    if squared == 0:
        return None
    size = gap / math.sqrt(squared)
    low, high = (limit * scale for limit in _noncentrality(size / scale, freedom))
    return Effect(*(_unbiased(freedom) * value for value in (size, low, high)))


def _noncentrality(t: float, freedom: int) -> tuple[float, float]:
    """95 % limits of the noncentrality parameter for an observed t."""
    from scipy.special import nctdtrinc
    from scipy.stats import chi2

    tails = (1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2
    if abs(t) <= FAR:
        low, high = (float(nctdtrinc(freedom, tail, t)) for tail in tails)
        return low, high
    # beyond this, scipy's inverse does not terminate; but there, only the variance is uncertain, not the means
    near, far = (t * math.sqrt(chi2.isf(tail, freedom) / freedom) for tail in tails)
    return min(near, far), max(near, far)


def improvement(a: Sequence[float], b: Sequence[float]) -> float:
    """Probability of improvement (Agarwal et al. 2021): that a run of ``a`` has a larger value than one of ``b``.

    It is the statistic of Mann and Whitney 1947 as a share of all pairs. A tie counts half.

    Args:
        a, b: one value per seed.
    """
    return fmean((x > y) + (x == y) / 2 for x in a for y in b)


def seeds_needed(a: Sequence[float], b: Sequence[float], method: Method, level: float) -> int | None:
    """Seeds per side needed to detect the observed difference with a power of :data:`POWER`.

    Args:
        a, b: one place per seed, at least two per side; a constant is repeated for every seed of the other side.
        method: for ``paired`` and ``constant``, a t test of differences; otherwise Welch's test, whose power also
            stands in for that of a permutation test.
        level: two-sided significance level.

    Returns:
        None for more than ``MOST``.

    The observed difference and variances, with small-sample correction, are taken as the true ones. With few seeds, the
    result is a rough estimate.
    """
    power = (_power_of_pairs if method in ("paired", "constant") else _power_of_welch)(a, b, level)
    fewest = max(FEWEST[method], CLAIM)
    needed = fewest + bisect_left(range(fewest, MOST + 1), POWER, key=power)
    return needed if needed <= MOST else None


def _power_of_welch(a: Sequence[float], b: Sequence[float], level: float) -> Callable[[int], float]:
    """Power of Welch's test as a function of the number of seeds per side."""
    first = variance(a)
    second = variance(b)
    gap = abs(fmean(a) - fmean(b))
    if first + second == 0:
        return lambda _: float(gap > 0)
    size = _unbiased(len(a) + len(b) - 2) * gap / math.sqrt((first + second) / 2)
    share = (first + second) ** 2 / (first**2 + second**2)  # times n - 1, this is the freedom of Welch's test
    return lambda count: _power(size, count, level, share * (count - 1))


def _power(size: float, count: int, level: float, freedom: float) -> float:
    from scipy.stats import chi2, t
    from statsmodels.stats.power import TTestIndPower

    found = float(TTestIndPower().power(size, count, level, df=freedom))
    if not math.isnan(found):
        return found
    # scipy's noncentral t fails for large effects, where only the variance is uncertain, not the means
    ratio = size * math.sqrt(count / 2) / t.isf(level / 2, freedom)
    return float(chi2.cdf(freedom * ratio**2, freedom))


def _power_of_pairs(a: Sequence[float], b: Sequence[float], level: float) -> Callable[[int], float]:
    """Power of a paired t test as a function of the number of pairs."""
    from statsmodels.stats.power import TTestPower

    gaps = [x - y for x, y in zip(a, b, strict=True)]
    mean = abs(fmean(gaps))
    spread = math.sqrt(variance(gaps))
    if spread == 0:
        return lambda _: float(mean > 0)
    size = _unbiased(len(gaps) - 1) * mean / spread if len(gaps) > 2 else mean / spread
    return lambda count: float(TTestPower().power(size, count, level))


def _unbiased(freedom: int) -> float:
    """Hedges' J, the small-sample correction of a standardized mean difference."""
    return math.exp(math.lgamma(freedom / 2) - math.lgamma((freedom - 1) / 2)) / math.sqrt(freedom / 2)


def expected_best(values: Sequence[float], lower: bool) -> list[float]:
    """Expected best of 1, 2, … n trials: Dodge, Gururangan, Card, Schwartz and Smith 2019.

    .. math:: E[v^*_k] = \\sum_{i=1}^{n} v_{(i)} \\left( \\left( \\tfrac{i}{n} \\right)^k -
        \\left( \\tfrac{i - 1}{n} \\right)^k \\right), \\quad v_{(1)} \\text{ the worst}

    Args:
        values: validation figures of all n trials.
        lower: whether lower is better.

    As in the paper, trials are drawn with replacement, so the last figure is slightly worse than the best trial.
    """
    count = len(values)
    worst_first = sorted(values, reverse=lower)
    return [
        sum(value * ((i / count) ** k - ((i - 1) / count) ** k) for i, value in enumerate(worst_first, start=1))
        for k in range(1, count + 1)
    ]
