"""What each task reports: which way a figure is better, and the scale on which it is compared.

A scale is where differences of a figure mean the same everywhere. On it stand order, mean, interval, test and axis:

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from unroll.errors import BadInput

Scale = Literal["ratio", "difference", "log-odds"]
AXES: dict[Scale, Literal["log", "linear", "logit"]] = {"ratio": "log", "difference": "linear", "log-odds": "logit"}
DECIMALS = 12  # more than these are written as an exponent
FEW_ITEMS = 2000  # scored items below which the test set is a source of doubt that seeds do not show


@dataclass(frozen=True)
class Metric:
    """A metric.

    Args:
        name: as it is reported.
        scale: on which it is compared.
        lower: whether less of it is better.
        top: the greatest value that it can have.
        items: of a proportion, how many items it was counted over; None where that is not known.
    """

    name: str
    scale: Scale
    lower: bool
    top: float = math.inf
    items: int | None = None

    @property
    def axis(self) -> Literal["log", "linear", "logit"]:
        """Scale of a figure's axis, in matplotlib's words."""
        return AXES[self.scale]

    def onto(self, value: float) -> float:
        """Place of a figure on the scale: NaN where it has none, infinite at an end that lies nowhere."""
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
        """The figure at a place on the scale, within what the metric can be."""
        if math.isnan(place):
            return place
        if self.scale == "difference":
            return place if math.isinf(self.top) else min(self.top, max(0.0, place))
        if self.scale == "ratio":
            return exp(place)
        share = 1 / (1 + exp(-place))
        if self.items is None:
            return share
        return min(1.0, max(0.0, (share * (self.items + 1) - 0.5) / self.items))

    def grain(self, place: float) -> float:
        """Least variance of seeds on the scale: that of one item more or less; 0 of what is not counted.

        Of few items, several seeds have the same count by chance, most often where all items are right. Their spread
        would be taken for 0, and the next architecture for worse.
        """
        if self.scale != "log-odds" or self.items is None or not math.isfinite(place):
            return 0.0
        share, half = self.back(place), 0.5 / self.items
        return (self.onto(min(1.0, share + half)) - self.onto(max(0.0, share - half))) ** 2

    def mean(self, values: Sequence[float]) -> float:
        """Mean on the scale, as a figure: of a ratio the geometric one."""
        return self.back(mean_place([self.onto(value) for value in values]))

    def rank(self, values: Sequence[float]) -> tuple[bool, float]:
        """By which the better of two groups of figures comes first; one without a mean comes last."""
        place = mean_place([self.onto(value) for value in values])
        return math.isnan(place), place if self.lower else -place


def mean_place(places: Sequence[float]) -> float:
    """Mean of places on a scale; NaN where both of its ends are among them."""
    return math.nan if {math.inf, -math.inf} <= set(places) else fmean(places)


def digits(value: float) -> int:
    """Decimals with which a figure of this size is written: three digits that mean something of a small one."""
    if 0 < abs(value) < 0.01:
        return 2 - math.floor(math.log10(abs(value)))
    return 4 if abs(value) < 1.5 else 2 if abs(value) < 100 else 1


def shown(value: float) -> str:
    """A figure on its own: four decimals, more where these would be zeros, an exponent where there were too many."""
    places = max(4, digits(value))
    return f"{value:.{places}f}" if places <= DECIMALS else f"{value:.3g}"


def exp(place: float) -> float:
    """e to a power, or infinity where that is too large."""
    return math.exp(place) if place < 700 else math.inf


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


NATS = Metric("loss", "difference", lower=True)
KNOWN = Metric("loss_known", "difference", lower=True)
ACCURACY = Metric("accuracy", "log-odds", lower=False, top=1)
ACCURACY_BY_GROUP = replace(ACCURACY, name="accuracy/")  # and the name of the group
TOKENS_PER_SECOND = Metric("tokens/s", "ratio", lower=False)


@dataclass(frozen=True)
class Solved:
    """What an experiment declares, before it is run, to be a solution.

    Args:
        metric: that decides.
        bound: that it must not exceed, or where more of it is better not fall short of.
    """

    metric: Metric
    bound: float

    def is_met(self, value: float) -> bool:
        """Whether a figure is a solution; one of a run that diverged is not."""
        return value <= self.bound if self.metric.lower else value >= self.bound

    def __str__(self) -> str:
        return f"{self.metric.name} {'≤' if self.metric.lower else '≥'} {self.bound:g}"


def parse_solved(text: str, metric_named: Callable[[str], Metric], headline: str) -> Solved:
    """Read a declaration such as ``loss <= 0.01``.

    Args:
        text: the declaration.
        metric_named: gives a metric of the task, or refuses it.
        headline: metric of the task, for an example.

    Raises:
        BadInput: it is not of that form, of no metric of the task, of the wrong direction, or out of reach.
    """
    found = re.fullmatch(r"\s*(\S.*?)\s*([<>]=|[≤≥])\s*(\S+)\s*", text)
    bound = _number(found[3]) if found else math.nan
    if found is None or not math.isfinite(bound):
        example = f"{headline} {_sign(metric_named(headline))} 0.5"
        raise BadInput(f"solved={text!r} is not of the form METRIC <= NUMBER, or >= where more is better; write for "
                       f"example solved: {example}")  # fmt: skip
    try:
        metric = metric_named(found[1])
    except BadInput as error:
        raise BadInput(f"solved={text!r}: {str(error).rstrip('.')}") from None
    if (found[2] in ("<=", "≤")) != metric.lower:
        raise BadInput(f"solved={text!r} is met by the worse figures: {'less' if metric.lower else 'more'} of "
                       f"{metric.name} is better; write {_sign(metric)}")  # fmt: skip
    if (metric.scale != "difference" and bound <= 0) or bound > metric.top:
        reach = "above 0" if math.isinf(metric.top) else f"between 0 and {metric.top:g}"
        raise BadInput(f"solved={text!r}: {metric.name} is {reach}; choose a bound there")
    return Solved(metric, bound)


def _sign(metric: Metric) -> str:
    return "<=" if metric.lower else ">="


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
