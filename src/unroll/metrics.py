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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Literal

from unroll.errors import BadInput, nearest

Scale = Literal["ratio", "difference", "log-odds"]
AXES: dict[Scale, Literal["log", "linear", "logit"]] = {"ratio": "log", "difference": "linear", "log-odds": "logit"}


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
        if self.scale == "difference" or math.isnan(place):
            return place
        if self.scale == "ratio":
            return exp(place)
        share = 1 / (1 + exp(-place))
        if self.items is None:
            return share
        return min(1.0, max(0.0, (share * (self.items + 1) - 0.5) / self.items))

    def mean(self, values: Sequence[float]) -> float:
        """Mean on the scale, as a figure: of a ratio the geometric one."""
        return self.back(fmean(map(self.onto, values)))

    def rank(self, values: Sequence[float]) -> tuple[bool, float]:
        """By which the better of two groups of figures comes first; one without a mean comes last."""
        place = fmean(map(self.onto, values))
        return math.isnan(place), place if self.lower else -place


def exp(place: float) -> float:
    """e to a power, or infinity where that is too large."""
    return math.exp(place) if place < 700 else math.inf


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


NATS = Metric("loss", "difference", lower=True)
KNOWN = Metric("loss_known", "difference", lower=True)
ACCURACY = Metric("accuracy", "log-odds", lower=False, top=1)
SPEED = Metric("tokens/s", "ratio", lower=False)


def _by_name(*metrics: Metric) -> dict[str, Metric]:
    return {metric.name: metric for metric in metrics}


TASKS: Mapping[str, Mapping[str, Metric]] = {
    "language_model": _by_name(
        Metric("perplexity", "ratio", lower=True), Metric("perplexity_known", "ratio", lower=True), NATS, KNOWN,
        Metric("bits_per_character", "difference", lower=True), ACCURACY,
    ),
    "cloze": _by_name(Metric("pseudo_perplexity", "ratio", lower=True), NATS, ACCURACY),
    "tagger": _by_name(
        *(Metric(name, "difference", lower=False, top=1) for name in ("f1", "precision", "recall")), ACCURACY, NATS,
    ),
    "regressor": _by_name(Metric("loss", "ratio", lower=True)),
}  # fmt: skip
HEADLINES: Mapping[str, Sequence[str]] = {
    "language_model": ("perplexity",), "cloze": ("pseudo_perplexity",), "tagger": ("f1", "accuracy"),
    "regressor": ("loss",),
}  # fmt: skip


def metric_of(task: str, name: str) -> Metric:
    """The metric of a name that a task reports, that of one group of probed tokens too, such as ``accuracy/8``.

    Raises:
        BadInput: there is no such task, or it reports no such metric.
    """
    if task not in TASKS:
        raise BadInput(f"There is no task {task!r}{nearest(task, TASKS)}.")
    kind, slash, _ = name.partition("/")
    if kind not in TASKS[task] or (slash and kind != "accuracy"):
        raise BadInput(f"task={task} reports no metric {name!r}{nearest(name, TASKS[task])}.")
    return replace(TASKS[task][kind], name=name)


def task_of(headline: str) -> str:
    """The task whose runs are compared by a metric, for figures that were written before they named their task.

    Raises:
        BadInput: no task's are.
    """
    for task, headlines in HEADLINES.items():
        if headline in headlines:
            return task
    raise BadInput(f"The scale of {headline!r} is not known: no task's runs are compared by it.")
