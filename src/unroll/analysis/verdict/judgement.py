"""Two samples judged: everything that is known of their difference."""

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
    """A sample on the scale of its metric: a place of each value, and the least variance that such figures have."""

    values: tuple[float, ...]
    grain: float
    is_constant: bool


LEVEL = 1 - CONFIDENCE
TESTS: dict[Method, Callable[[Sequence[float], Sequence[float]], Difference]] = {
    "permutation": permutation, "paired": paired,
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """Figures of one architecture.

    Args:
        values: one per seed; of a constant a single one.
        solved: how many seeds solve the problem; None where the experiment does not declare what that is.
        is_constant: whether no seed changes the figure, which is one measurement then, however often it was taken.
    """

    values: Sequence[float]
    solved: int | None = None
    is_constant: bool = False

    @property
    def share(self) -> float:
        """Share of seeds that solve the problem; 0 where that is not declared."""
        return (self.solved or 0) / len(self.values)


@dataclass(frozen=True)
class Judgement:
    """What is known of two samples, a and b.

    Args:
        metric: of which they are.
        a, b: mean and interval of each side.
        sides: the samples.
        method: by which they were judged; ``boschloo`` is by counts of seeds that solve the problem.
        difference: of a to b in places on the scale of the metric, or in the share of seeds that solve the problem,
            with the p of this test alone.
        p: corrected for all that was compared; None where there was no test.
        comparisons: how many are made at once.
        effect: in standard deviations, positive where a is better; None where neither varies, or there are too few.
        improvement: probability that a run of a is better than one of b; None where there are too few.
        needed: seeds of each side that would show such a difference; None for too many to say.
        margin: by which the means may differ and still be called equivalent, as the metric's differences are reported;
            None for none.
        equivalence: the p that they do not differ by more; None where that was not tested.
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
        """Seeds of each side."""
        return len(self.sides[0].values), len(self.sides[1].values)

    @property
    def missing(self) -> tuple[int, int]:
        """Seeds that each side lacks before either may be called better; of a constant none."""
        wanted = max(CLAIM, FEWEST[self.method])
        a, b = (0 if side.is_constant else max(0, wanted - len(side.values)) for side in self.sides)
        return a, b

    @property
    def is_different(self) -> bool:
        """Whether the test finds a difference."""
        return self.p is not None and self.p < LEVEL

    @property
    def better(self) -> int | None:
        """Which side is better, 0 for a and 1 for b; None where that may not be said.

        A permutation test does not say it: what it finds may be another spread.
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
    """Judge two samples.

    Args:
        a, b: for ``paired`` in the same order.
        metric: of which they are.
        test: ``welch``, ``permutation`` or ``paired``, where neither counts nor a constant ask for another.
        margin: see :class:`Judgement`.
        comparisons: how many are made at once; the number of seeds needed is for a level that holds over all of them.
        is_mixed: whether some runs of the whole table solve the problem and others do not; None to look at these alone.
    """
    method = _method(a, b, test, mixed([a, b]) if is_mixed is None else is_mixed)
    placed = _places(a, metric), _places(b, metric)
    difference = _by_counts(a, b) if method == "boschloo" else _by_places(*placed, method)
    places = [side.values for side in placed]
    is_tested = method != "boschloo" and difference.half_width is not None
    full = is_tested and all(map(math.isfinite, [*places[0], *places[1]]))
    scores = [[-place if metric.lower else place for place in side] for side in places]  # the higher, the better
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
    """A margin in places: of a factor its logarithm."""
    return margin if metric.scale == "difference" else math.log(margin)


def mixed(samples: Sequence[Sample]) -> bool:
    """Whether some run solves the problem and another does not."""
    given = [(sample.solved, len(sample.values)) for sample in samples if sample.solved is not None]
    return any(solved for solved, _ in given) and any(solved < count for solved, count in given)


def judge_against(best: str, samples: Mapping[str, Sample], metric: Metric) -> dict[str, Judgement]:
    """The best of several architectures against each other one.

    Pairs that are not solved by every run of both sides are compared by counts where some run of the table solves the
    problem and another does not; a side without randomness as a constant; all others by Welch's test.

    Args:
        best: the one that comes first.
        samples: of each architecture.
        metric: of which they are.

    The correction is Holm's over all pairs, not just those with the best: which one is the best was read off the same
    figures, and the luckiest of several equals would too often seem better than the unluckiest.
    """
    pairs, is_mixed = list(combinations(samples, 2)), mixed(list(samples.values()))
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
    if found.mean and found.half_width == 0:  # t is infinite; that all seeds agree is not chance
        return replace(found, p=smallest_p(len(a.values), len(b.values)))
    return found


def _by_constant(a: Places, b: Places) -> Difference:
    """Difference of two sides of which one, or both, are a single place that no seed changes.

    A network that was trained with one seed has a single place as well, but no constant one.
    """
    if a.is_constant and b.is_constant:
        return Difference(a.values[0] - b.values[0], 0.0, None)
    if b.is_constant:
        return constant(a.values, b.values[0])
    found = constant(b.values, a.values[0])
    return replace(found, mean=-found.mean)


def _by_counts(a: Sample, b: Sample) -> Difference:
    """Difference in the share of seeds that solve the problem; no test where a side is one measurement."""
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
