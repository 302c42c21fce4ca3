"""Metrics: their direction, and the scale on which they are compared.

On its scale, equal differences of a metric have equal meaning. Order, mean, interval, test and axis use it:

==========  =====================================  ==========================================  ====================
scale       figures                                place on the scale                          a difference is read
==========  =====================================  ==========================================  ====================
ratio       above 0: squared errors, speeds        :math:`\\ln y`                              as a factor
difference  nats, bits, F1                         :math:`y`                                   as it is
log-odds    proportions, k of n items              :math:`\\ln (k + ½) - \\ln (n - k + ½)`     as a factor of odds
==========  =====================================  ==========================================  ====================

Perplexity is on the scale ``ratio``: its logarithm is the loss in nats, so that both give the same verdict.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from unroll.errors import BadInput

Scale = Literal["ratio", "difference", "log-odds"]
AXES: dict[Scale, Literal["log", "linear", "logit"]] = {"ratio": "log", "difference": "linear", "log-odds": "logit"}
DECIMALS = 12  # beyond this, exponential notation is used
ON_KNOWN = "_known"  # end of the name of a figure on known tokens only
ROUNDING = 1e-9  # below this number of items, a count is 0, which rounding has changed
FEW_ITEMS = 2000  # below this number of scored items, the test set adds uncertainty that seeds do not show


@dataclass(frozen=True)
class Metric:
    """A metric.

    Args:
        name: name in reports.
        scale: scale of comparison.
        lower: whether lower is better.
        bottom: minimum value. On the scale ``ratio``, it is not reached if it is 0.
        top: maximum value.
        items: number of items of a proportion; None if unknown.
    """

    name: str
    scale: Scale
    lower: bool
    bottom: float = 0.0
    top: float = math.inf
    items: int | None = None

    @property
    def axis(self) -> Literal["log", "linear", "logit"]:
        """Name of the axis scale in matplotlib."""
        return AXES[self.scale]

    def onto(self, value: float) -> float:
        """Transform a value to the scale: NaN outside the domain, infinite at its ends."""
        if self.scale == "difference":
            return value
        if math.isnan(value) or value < 0 or value > self.top:
            return math.nan
        if self.scale == "ratio":
            return _log(value)
        if self.items is None:
            return _log(value) - _log(1 - value)
        return math.log(value * self.items + 0.5) - math.log((1 - value) * self.items + 0.5)

    def back(self, place: float) -> float:
        """Transform a place on the scale back to a value, within the range of the metric."""
        if math.isnan(place):
            return place
        if self.scale != "log-odds":
            return min(self.top, max(self.bottom, exp(place) if self.scale == "ratio" else place))
        share = 1 / (1 + exp(-place))
        if self.items is None:
            return share
        count = share * (self.items + 1) - 0.5
        return min(1.0, count / self.items) if count > ROUNDING else 0.0

    def fault(self, bound: float) -> str:
        """Why a bound is not one that some values meet and others do not; empty if it is."""
        reach = f"between {self.bottom:g} and {self.top:g}"
        is_open = self.scale == "ratio" and self.bottom == 0
        if math.isinf(self.top):
            reach = f"above {self.bottom:g}" if is_open else f"at least {self.bottom:g}"
        is_trivial = bound == (self.top if self.lower else self.bottom)
        if self.bottom <= bound <= self.top and not (is_open and bound == 0) and not is_trivial:
            return ""
        return f"{self.name} is {reach}; choose a bound in this range{' that not every figure meets' * is_trivial}"

    def grain(self, place: float) -> float:
        """Minimum variance between seeds on the scale: that of one item; 0 if items are not counted.

        With few items, several seeds may have the same count by chance, most often when all items are correct. Their
        variance would be 0, and any other architecture would seem worse.
        """
        if self.scale != "log-odds" or self.items is None or not math.isfinite(place):
            return 0.0
        share = self.back(place)
        half = 0.5 / self.items
        return (self.onto(min(1.0, share + half)) - self.onto(max(0.0, share - half))) ** 2

    def mean(self, values: Sequence[float]) -> float:
        """Mean on the scale, transformed back; for ratios the geometric mean."""
        return self.back(mean_place([self.onto(value) for value in values]))

    def rank(self, values: Sequence[float]) -> tuple[bool, float]:
        """Sort key of groups of values, best first; a group without a mean comes last."""
        place = mean_place([self.onto(value) for value in values])
        return math.isnan(place), place if self.lower else -place


def mean_place(places: Sequence[float]) -> float:
    """Mean of places on a scale; NaN if both infinities occur."""
    return math.nan if {math.inf, -math.inf} <= set(places) else fmean(places)


def digits(value: float) -> int:
    """Number of decimals for a value of this size; three significant digits for small values."""
    if 0 < abs(value) < 0.01:
        return 2 - math.floor(math.log10(abs(value)))
    return 4 if abs(value) < 1.5 else 2 if abs(value) < 100 else 1


def shown(value: float) -> str:
    """Format a single value: four decimals, more for small values, exponential notation for tiny ones."""
    places = max(4, digits(value))
    return f"{value:.{places}f}" if places <= DECIMALS else f"{value:.3g}"


def without_twins(figures: Mapping[str, float]) -> dict[str, float]:
    """Figures as people read them: without those on known tokens that repeat the figure on all, since none is unknown.

    Args:
        figures: figures by name; the name of one on known tokens is that of its twin and ``_known``.
    """
    return {name: value for name, value in figures.items() if not _repeats(value, figures.get(twin_of(name)))}


def twin_of(name: str) -> str:
    """Name of the figure on all tokens, given that of the one on known tokens; empty for any other figure."""
    return name.removesuffix(ON_KNOWN) if name.endswith(ON_KNOWN) else ""


def _repeats(value: float, twin: float | None) -> bool:
    return twin is not None and (value == twin or (math.isnan(value) and math.isnan(twin)))


def exp(place: float) -> float:
    """The exponential function, infinite on overflow."""
    return math.exp(place) if place < 700 else math.inf


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


NATS = Metric("loss", "difference", lower=True)
KNOWN = Metric("loss_known", "difference", lower=True)
ACCURACY = Metric("accuracy", "log-odds", lower=False, top=1)
ACCURACY_BY_GROUP = replace(ACCURACY, name="accuracy/")  # followed by the name of the group
TOKENS_PER_SECOND = Metric("tokens/s", "ratio", lower=False)


@dataclass(frozen=True)
class Solved:
    """The criterion for a solution, declared before training.

    Args:
        metric: the metric of the criterion.
        bound: upper bound, or lower bound if higher is better; inclusive.
    """

    metric: Metric
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether a value meets the criterion; that of a diverged run does not."""
        return value <= self.bound if self.metric.lower else value >= self.bound

    def __str__(self) -> str:
        return f"{self.metric.name} {'≤' if self.metric.lower else '≥'} {self.bound:g}"


def parse_solved(text: str, metric_named: Callable[[str], Metric], headline: str) -> Solved:
    """Parse a criterion such as ``loss <= 0.01``.

    Args:
        text: the criterion.
        metric_named: returns a metric of the task by name, or refuses it.
        headline: headline metric of the task, for an example.

    Raises:
        BadInput: the form, the metric or the direction is wrong, or the bound is out of range.
    """
    found = re.fullmatch(r"\s*(\S.*?)\s*([<>]=|[≤≥])\s*(\S+)\s*", text)
    bound = _number(found[3]) if found else math.nan
    if found is None or not math.isfinite(bound):
        known = metric_named(headline)
        example = f"{headline} {_sign(known)} {max(known.bottom, 0) + 0.5:g}"
        raise BadInput(f"solved={text!r} is not of the form METRIC <= NUMBER, or >= if higher is better; for example, "
                       f"solved: {example}")  # fmt: skip
    try:
        metric = metric_named(found[1])
    except BadInput as error:
        raise BadInput(f"solved={text!r}: {str(error).rstrip('.')}") from None
    if (found[2] in ("<=", "≤")) != metric.lower:
        raise BadInput(f"solved={text!r} has the wrong direction: {'lower' if metric.lower else 'higher'} "
                       f"{metric.name} is better; write {_sign(metric)}")  # fmt: skip
    if reason := metric.fault(bound):
        raise BadInput(f"solved={text!r}: {reason}")
    return Solved(metric, bound)


def _sign(metric: Metric) -> str:
    return "<=" if metric.lower else ">="


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
