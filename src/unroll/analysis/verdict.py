"""All statistics: intervals over seeds, Welch's test, Holm's correction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, variance

CONFIDENCE = 0.95


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
    from scipy.stats import t

    difference = fmean(a) - fmean(b)
    if not math.isfinite(difference):
        return Difference(math.nan, None, None)
    if min(len(a), len(b)) < 2:
        return Difference(difference, None, None)
    parts = [variance(sample) / len(sample) for sample in (a, b)]
    squared = sum(parts)
    if squared == 0:
        return Difference(difference, 0.0, None)
    freedom = squared**2 / sum(part**2 / (len(sample) - 1) for part, sample in zip(parts, (a, b), strict=True))
    error = math.sqrt(squared)
    return Difference(difference, _quantile(freedom) * error, float(2 * t.sf(abs(difference) / error, freedom)))


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's correction (Holm 1979) over the tests that there are; None stays None."""
    from statsmodels.stats.multitest import multipletests

    given = [p for p in p_values if p is not None]
    corrected = iter(multipletests(given, method="holm")[1].tolist() if given else [])
    return [None if p is None else next(corrected) for p in p_values]


def sentence(best: str, other: str, difference: Difference, p: float | None, digits: int) -> str:
    """What may be said of two architectures, in one sentence.

    Args:
        best: the one with the better mean.
        other: the one it is compared with.
        difference: between their means.
        p: corrected for all comparisons of the experiment; None where there was no test.
        digits: decimals of the difference.
    """
    size = f"{abs(difference.mean):.{digits}f}"
    if math.isnan(difference.mean):
        return f"A run of {best} or {other} diverged, so there is no difference to tell."
    if difference.half_width is None:
        return f"{best} and {other} differ by {size}; too few seeds for a test."
    if p is None:
        return f"{best} and {other} differ by {size} on every seed alike, which leaves nothing to test."
    size += f" ± {difference.half_width:.{digits}f}"
    if p < 1 - CONFIDENCE:
        return f"{best} is better than {other} by {size} ({_p(p)})."
    return f"No evidence of a difference between {best} and {other} ({size}, {_p(p)})."


def _p(p: float) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _quantile(freedom: float) -> float:
    from scipy.stats import t

    return float(t.ppf((1 + CONFIDENCE) / 2, freedom))
