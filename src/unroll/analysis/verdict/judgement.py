"""Judgements: everything that is reported on the difference of two samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import NamedTuple

from unroll.analysis.verdict.difference import (
    CLAIM,
    CONFIDENCE,
    FEWEST,
    Difference,
    Interval,
    Method,
    Test,
    boschloo,
    constant,
    equivalence,
    holm,
    interval,
    paired,
    permutation,
    smallest_p,
    welch,
)
from unroll.analysis.verdict.effect import Effect, hedges, hedges_of_constant, improvement, seeds_needed
from unroll.metrics import Metric, mean_place


class Places(NamedTuple):
    """A sample on the scale of its metric: the place of each value, and the minimum variance of such figures."""

    values: tuple[float, ...]
    grain: float
    is_constant: bool


LEVEL = 1 - CONFIDENCE
TESTS: dict[Method, Callable[[Sequence[float], Sequence[float]], Difference]] = {
    "permutation": permutation,
    "paired": paired,
}


@dataclass(frozen=True)
class Sample:
    """Figures of one architecture.

    Args:
        values: one per seed; a single one for a deterministic network.
        solved: number of seeds that solve the problem; None if the experiment does not declare what solved means.
        is_constant: whether the network is deterministic, so that all seeds are one measurement.
    """

    values: Sequence[float]
    solved: int | None = None
    is_constant: bool = False

    @property
    def share(self) -> float:
        """Share of seeds that solve the problem; 0 if the experiment does not declare what solved means."""
        return (self.solved or 0) / len(self.values)


@dataclass(frozen=True)
class Judgement:
    """The result of comparing two samples, a and b.

    Args:
        metric: the compared metric.
        a, b: mean and interval of each side.
        sides: the samples.
        method: the method of comparison; ``boschloo`` compares counts of solved seeds.
        difference: a minus b on the metric's scale, or in the share of solved seeds, with the uncorrected p-value.
        p: p-value corrected for multiple comparisons; None if there was no test.
        comparisons: number of comparisons made together.
        effect: effect size in standard deviations, positive if a is better; None if neither side varies, or there are
            too few seeds.
        improvement: probability that a run of a is better than one of b; None if there are too few seeds.
        needed: seeds per side needed to show the observed difference; None if there are too many to report.
        margin: margin of equivalence, in the units in which differences of the metric are reported; None for no test.
        equivalence: p-value of the test of equivalence; None if it was not tested.
    """

    metric: Metric
    a: Interval
    b: Interval
    sides: tuple[Sample, Sample]
    method: Method
    difference: Difference
    p: float | None
    comparisons: int
    effect: Effect | None
    improvement: float | None
    needed: int | None
    margin: float | None
    equivalence: float | None

    @property
    def counts(self) -> tuple[int, int]:
        """Number of seeds of each side."""
        return len(self.sides[0].values), len(self.sides[1].values)

    @property
    def missing(self) -> tuple[int, int]:
        """Number of seeds that each side lacks before either can be called better; 0 for a constant."""
        wanted = max(CLAIM, FEWEST[self.method])
        a, b = (0 if side.is_constant else max(0, wanted - len(side.values)) for side in self.sides)
        return a, b

    @property
    def is_different(self) -> bool:
        """Whether the difference is significant."""
        return self.p is not None and self.p < LEVEL

    @property
    def better(self) -> int | None:
        """Which side is better: 0 for a, 1 for b; None if neither can be called better.

        A permutation test never calls a side better, because it may have found a difference in spread.
        """
        if not self.is_different or any(self.missing) or self.method == "permutation":
            return None
        lower = self.metric.lower and self.method != "boschloo"
        return 0 if (self.difference.mean < 0) == lower else 1


def judge(
    a: Sample,
    b: Sample,
    metric: Metric,
    test: Test = "welch",
    margin: float | None = None,
    comparisons: int = 1,
    is_mixed: bool | None = None,
) -> Judgement:
    """Compare two samples.

    Args:
        a, b: the samples; for ``paired``, in the same order.
        metric: the metric to compare.
        test: ``welch``, ``permutation`` or ``paired``. Counts of solved seeds and deterministic networks override it.
        margin: see :class:`Judgement`.
        comparisons: number of comparisons made together; ``needed`` is computed for the level corrected by it.
        is_mixed: whether only some runs of the whole table solve the problem; None to consider these two samples alone.
    """
    method = _method(a, b, test, mixed([a, b]) if is_mixed is None else is_mixed)
    placed = _places(a, metric), _places(b, metric)
    difference = _by_counts(a, b) if method == "boschloo" else _by_places(*placed, method)
    places = [side.values for side in placed]
    is_tested = method != "boschloo" and difference.half_width is not None
    full = is_tested and all(map(math.isfinite, [*places[0], *places[1]]))
    scores = [[-place if metric.lower else place for place in side] for side in places]  # higher is better
    judged = Judgement(
        metric=metric, a=interval(a.values, metric), b=interval(b.values, metric), sides=(a, b), method=method,
        difference=difference, p=difference.p, comparisons=comparisons,
        effect=_effect(scores[0], scores[1], method) if full else None,
        improvement=improvement(*scores) if full else None,
        needed=_needed(places[0], places[1], method, LEVEL / comparisons) if full else None,
        margin=margin, equivalence=None,
    )  # fmt: skip
    if not full or margin is None or any(judged.missing):
        return judged
    return replace(judged, equivalence=equivalence(difference, margin_on(metric, margin)))


def margin_on(metric: Metric, margin: float) -> float:
    """A margin on the metric's scale; a factor becomes its logarithm."""
    return margin if metric.scale == "difference" else math.log(margin)


def mixed(samples: Sequence[Sample]) -> bool:
    """Whether some runs solve the problem and others do not."""
    given = [(sample.solved, len(sample.values)) for sample in samples if sample.solved is not None]
    return any(solved for solved, _ in given) and any(solved < count for solved, count in given)


def judge_against(best: str, samples: Mapping[str, Sample], metric: Metric) -> dict[str, Judgement]:
    """Compare the best of several architectures to each of the others.

    If only some runs of the table solve the problem, pairs that are not solved by all their runs are compared by
    counts. A deterministic side is compared as a constant. All other pairs are compared by Welch's test.

    Args:
        best: the best architecture.
        samples: sample of each architecture.
        metric: the metric to compare.

    Holm's correction covers all pairs, not only those with the best. Since the best is selected by the same figures,
    the luckiest of several equal architectures would otherwise too often appear better than the unluckiest.
    """
    pairs = list(combinations(samples, 2))
    is_mixed = mixed(list(samples.values()))
    places = {arch: _places(sample, metric) for arch, sample in samples.items()}
    corrected = holm([_p(samples, places, pair, is_mixed) for pair in pairs])
    judged = {}
    for pair, p in zip(pairs, corrected, strict=True):
        if best in pair:
            other = pair[0] if pair[1] == best else pair[1]
            found = judge(samples[best], samples[other], metric, comparisons=len(pairs), is_mixed=is_mixed)
            judged[other] = replace(found, p=p)
    return judged


def _p(
    samples: Mapping[str, Sample], places: Mapping[str, Places], pair: tuple[str, str], is_mixed: bool
) -> float | None:
    a, b = (samples[arch] for arch in pair)
    method = _method(a, b, "welch", is_mixed)
    return (_by_counts(a, b) if method == "boschloo" else _by_places(places[pair[0]], places[pair[1]], method)).p


def _places(sample: Sample, metric: Metric) -> Places:
    values = tuple(map(metric.onto, sample.values))
    return Places(values, metric.grain(mean_place(values)), sample.is_constant)


def _method(a: Sample, b: Sample, test: Test, is_mixed: bool) -> Method:
    if is_mixed and any(side.solved != len(side.values) for side in (a, b)):
        return "boschloo"
    return "constant" if a.is_constant or b.is_constant else test


def _by_places(a: Places, b: Places, method: Method) -> Difference:
    if method == "constant":
        return _by_constant(a, b)
    if method != "welch":
        return TESTS[method](a.values, b.values)
    found = welch(a.values, b.values, (a.grain, b.grain))
    if found.mean and found.half_width == 0:  # t is infinite, but p is bounded by the number of seeds
        return replace(found, p=smallest_p(len(a.values), len(b.values)))
    return found


def _by_constant(a: Places, b: Places) -> Difference:
    """Difference of two sides of which at least one is deterministic.

    A network trained with a single seed also has a single place, but is not constant.
    """
    if a.is_constant and b.is_constant:
        return Difference(a.values[0] - b.values[0], 0.0, None)
    if b.is_constant:
        return constant(a.values, b.values[0])
    found = constant(b.values, a.values[0])
    return replace(found, mean=-found.mean)


def _by_counts(a: Sample, b: Sample) -> Difference:
    """Difference in the share of solved seeds; no test if a side has too few seeds."""
    assert a.solved is not None and b.solved is not None
    counts = len(a.values), len(b.values)
    gap = a.solved / counts[0] - b.solved / counts[1]
    if min(counts) < FEWEST["boschloo"]:
        return Difference(gap, None, None)
    return Difference(gap, None, boschloo(a.solved, counts[0], b.solved, counts[1]))


def _effect(a: Sequence[float], b: Sequence[float], method: Method) -> Effect | None:
    if method != "constant":
        return hedges(a, b)
    if len(a) == len(b) == 1:
        return None
    if len(b) == 1:
        return hedges_of_constant(a, b[0])
    found = hedges_of_constant(b, a[0])
    return found and Effect(-found.size, -found.high, -found.low)


def _needed(a: Sequence[float], b: Sequence[float], method: Method, level: float) -> int | None:
    if method != "constant":
        return seeds_needed(a, b, method, level)
    if len(a) == len(b) == 1:
        return None
    count = max(len(a), len(b))
    full = [list(side) * count if len(side) == 1 else side for side in (a, b)]
    return seeds_needed(full[0], full[1], method, level)
