"""Intervals over the items of a small test set: how much the figures would vary with another sample of items.

Intervals over seeds do not cover this, because all seeds are evaluated on the same items.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from unroll.analysis.rows import Entry, Row
from unroll.analysis.verdict import Judgement, decimals, plain, significant
from unroll.metrics import FEW_ITEMS, Metric, exp

FEWEST = 10  # sequences; with fewer, a bootstrap is unreliable
RESAMPLES = 2000
TAILS = (2.5, 97.5)  # percent
Z = 1.959963984540054  # the normal quantile of 97.5 %
DERIVED: dict[str, tuple[str, Callable[[float], float]]] = {  # figure → the mean that it is computed from, and how
    "perplexity": ("loss", exp), "perplexity_known": ("loss_known", exp), "pseudo_perplexity": ("loss", exp),
    "bits_per_character": ("loss", lambda nats: nats / math.log(2)),
}  # fmt: skip

Runs = Sequence[Entry]  # of one architecture, as written by ``evaluate``


@dataclass(frozen=True)
class ItemInterval:
    """A 95 % interval over items.

    Args:
        low, high: its limits; for a difference, in the form in which it is reported.
        items: number of scored items.
        method: how it was computed, in words.
    """

    low: float
    high: float
    items: int
    method: str

    @property
    def basis(self) -> str:
        """Number of items and method, in words."""
        return f"{self.items:,} scored items, {self.method}"


def item_interval(runs: Runs, metric: Metric) -> ItemInterval | None:
    """Interval over items of one architecture's mean over seeds.

    Wilson's interval (1927) for a proportion; otherwise a bootstrap over sequences, since the tokens of a sequence are
    not independent.

    Args:
        runs: runs of the architecture.
        metric: with its number of items, if recorded.

    Returns:
        None if the test set is large, or if there are too few sequences or they were not recorded.
    """
    items = metric.items
    if items is None or not 0 < items < FEW_ITEMS:
        return None
    if metric.scale == "log-odds":
        mean = metric.mean([run["test"][metric.name] for run in runs])
        return None if math.isnan(mean) else ItemInterval(*wilson(mean * items, items), items, "Wilson")
    drawn = _resampled([runs], metric)
    if drawn is None:
        return None
    return _limits(
        [metric.back(place) for place in drawn.places[0]], items, f"bootstrap over {drawn.count:,} sequences"
    )


def item_difference(a: Runs, b: Runs, metric: Metric) -> ItemInterval | None:
    """Interval over items of the difference between a and b, by a paired bootstrap over sequences.

    Args:
        a, b: two sets of runs, evaluated on the same split.
        metric: with its number of items. The difference is a factor unless the metric's scale is ``difference``.

    Returns:
        None if the test set is large, or if there are too few sequences or they were not recorded.
    """
    items = metric.items
    drawn = _resampled([a, b], metric) if items is not None and 0 < items < FEW_ITEMS else None
    if items is None or drawn is None:
        return None
    gaps = [one - other for one, other in zip(*drawn.places, strict=True)]
    reported = gaps if metric.scale == "difference" else list(map(exp, gaps))
    return _limits(reported, items, f"paired bootstrap over {drawn.count:,} sequences")


def over_items(runs: Runs, best: Runs, metric: Metric, judged: Judgement | None, places: int) -> Row:
    """Columns of a comparison row that hold the intervals over items.

    Args:
        runs: runs of the row's architecture.
        best: runs of the best architecture.
        metric: see :func:`item_interval`.
        judged: the difference over seeds; None for the best itself.
        places: decimals of a figure.
    """
    mean = item_interval(runs, metric)
    difference = item_difference(runs, best, metric) if judged else None
    return {
        "items": metric.items, "items_low": mean and mean.low, "items_high": mean and mean.high,
        "difference_items_low": difference and difference.low, "difference_items_high": difference and difference.high,
        "over_items": mean and f"over items: {limits(mean, places)} ({mean.basis})",
        "difference_over_items": difference and _to_the_first(difference, metric, places),
        "doubt": judged and doubt(difference, judged, places),
    }  # fmt: skip


def _to_the_first(found: ItemInterval, metric: Metric, places: int) -> str:
    """The difference to the best, as text in the direction of the verdict, whose factors are above 1."""
    if metric.scale != "log-odds" or found.low <= 0:
        return f"difference to the first over items: {gap(found, metric, places)}, {found.method}"
    inverse = replace(found, low=1 / found.high, high=1 / found.low)
    return f"over items, the odds of the first are {limits(inverse, 2)} times as high, {found.method}"


def limits(found: ItemInterval, places: int) -> str:
    """The limits of an interval as text.

    Args:
        found: the interval.
        places: decimals of a figure.
    """
    places = decimals(places, found.high - found.low)
    return " to ".join(plain(end, significant(end, places)) for end in (found.low, found.high))


def gap(found: ItemInterval, metric: Metric, places: int) -> str:
    """The limits of a difference as text, as factors unless the metric's scale is ``difference``."""
    if metric.scale == "difference":
        return limits(found, places)
    return f"{limits(found, 2)} times{' the odds' if metric.scale == 'log-odds' else ''}"


def doubt(found: ItemInterval | None, judged: Judgement, places: int) -> str | None:
    """A warning if seeds show a difference that another sample of items might not show; None otherwise.

    Args:
        found: interval of the difference over items.
        judged: the difference over seeds.
        places: decimals of a figure.
    """
    nothing = 0.0 if judged.metric.scale == "difference" else 1.0
    if found is None or judged.better is None or not found.low <= nothing <= found.high:
        return None
    return (f"the test set is small: with other items the difference might be nothing, as its interval over items is "
            f"{gap(found, judged.metric, places)}")  # fmt: skip


def wilson(successes: float, count: int) -> tuple[float, float]:
    """The 95 % score interval of a proportion (Wilson 1927), which has a width even at 0 and 1.

    Args:
        successes: number of correct items, averaged over seeds.
        count: number of items.
    """
    share, square = successes / count, Z**2
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = Z * math.sqrt(share * (1 - share) / count + square / (4 * count**2)) / (1 + square / count)
    return max(0.0, middle - half) if successes else 0.0, min(1.0, middle + half)


@dataclass(frozen=True)
class _Drawn:
    """Mean over seeds in every resample, for each set of runs, and the number of sequences resampled."""

    places: list[list[float]]
    count: int


def _resampled(sides: Sequence[Runs], metric: Metric) -> _Drawn | None:
    """Means of each set of runs over the same resamples; None if sequences are too few or were not recorded."""
    name, derive = DERIVED.get(metric.name, (metric.name, float))
    tables = [[run.get("sequences", {}).get(name) for run in runs] for runs in sides]
    if any(table is None for runs in tables for table in runs):
        return None
    numbers = sorted({number for runs in tables for table in runs for number in table["numbers"]})
    if len(numbers) < FEWEST:
        return None
    index = {number: place for place, number in enumerate(numbers)}
    places = [np.mean([[metric.onto(derive(value)) for value in _figures(table, index)] for table in runs], axis=0)
              for runs in tables]  # fmt: skip
    return _Drawn([side.tolist() for side in places], len(numbers))


def _figures(table: Mapping[str, Sequence[float]], index: Mapping[int, int]) -> list[float]:
    """A run's figure in every resample; 0 where the count is 0, as in evaluation."""
    parts = np.zeros((2, len(index)))
    places = [index[int(number)] for number in table["numbers"]]
    parts[0, places] = [math.nan if value is None else value for value in table["sums"]]
    parts[1, places] = table["counts"]
    sums, counts = parts @ _weights(len(index)).T
    values: list[float] = np.divide(sums, counts, out=np.zeros(RESAMPLES), where=counts > 0).tolist()
    return values


@lru_cache(maxsize=2)
def _weights(count: int) -> np.ndarray:
    """How often each sequence occurs in each resample, with a fixed seed: [RESAMPLES, count]."""
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    return draws.astype(np.float64)


def _limits(values: Sequence[float], items: int, method: str) -> ItemInterval | None:
    """The central 95 % of resampled figures; None if a run diverged."""
    if not all(map(math.isfinite, values)):
        return None
    # rounded, because the last digits depend on the order of additions, and equal figures must give equal bytes
    low, high = (float(f"{limit:.9g}") for limit in np.percentile(values, TAILS))
    return ItemInterval(low, high, items, method)
