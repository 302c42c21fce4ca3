"""The effect of truncation: accuracy by distance and by k, the number of steps the gradient goes back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import fmean
from typing import Literal

from unroll.analysis.trials import TRUNCATION, StudyResults
from unroll.analysis.verdict import FEWEST, Difference, holm, p_value, welch
from unroll.analysis.verdict.contrast import contrast
from unroll.analysis.verdict.judgement import LEVEL

Samples = dict[float, list[float]]  # k, infinity for all steps → accuracy of every run
Kind = Literal["cliff", "elsewhere", "slope", "rise", "none", "untested"]

TINY = 1e-9  # difference below which only rounding differs
FEWEST_K = 3  # values of k; with two, every fall is a cliff
SHARE = 0.5  # share of the total fall, from the largest to the smallest k, that a single step of a cliff exceeds
HEADS: dict[Kind, str] = {"cliff": "a cliff", "elsewhere": "a cliff, but not at the distance"}
CLAUSES: dict[Kind, str] = {
    "cliff": "accuracy drops in one step where k falls below the distance, by",
    "elsewhere": "accuracy drops in one step, but at another k, by",
    "slope": "accuracy falls as k shrinks, but no single step of k clearly makes up more than half of the fall:",
    "rise": "accuracy is higher with k below the distance, by",
    "none": "accuracy with k below the distance is not clearly lower:",
    "untested": "too few runs to test",
}
UNITS = {"Distance": "words"}  # probes that are distances in tokens


@dataclass(frozen=True)
class SteepestStep:
    """The steepest step of mean accuracy between neighbouring values of k.

    Args:
        below, above: the two values of k.
        excess: how far the step exceeds half of the total fall.
        p: p-value of the excess, corrected for steps, distances and architectures.
    """

    below: float
    above: float
    excess: Difference
    p: float | None

    @property
    def is_cliff(self) -> bool:
        """Whether the step is clearly more than half of the total fall."""
        return self.excess.mean > 0 and _is_clear(self.excess, self.p)


@dataclass(frozen=True)
class Fall:
    """The loss of accuracy of an architecture over a distance if k is below the distance.

    Args:
        arch: the architecture.
        distance: the distance in tokens.
        enough: mean accuracy with k at or above the distance.
        fall: ``enough`` minus the mean accuracy with k below the distance.
        p: p-value of the fall, corrected for all distances and architectures.
        step: the steepest step; None if there are too few runs to test.
    """

    arch: str
    distance: int
    enough: float
    fall: Difference
    p: float | None
    step: SteepestStep | None

    @property
    def kind(self) -> Kind:
        """Kind of the fall. A cliff is a fall in a single step of k across the distance."""
        if self.step is None:
            return "untested"
        if not _is_clear(self.fall, self.p):
            return "none"
        if self.fall.mean < 0:
            return "rise"
        if not self.step.is_cliff:
            return "slope"
        return "cliff" if self.step.below < self.distance <= self.step.above else "elsewhere"

    @property
    def stated(self) -> str:
        """Size, distance and p-value as text."""
        assert self.fall.half_width is not None and self.step is not None
        size = -self.fall.mean if self.kind == "rise" else self.fall.mean
        test = "on every run alike" if self.p is None else f"p {_equal(p_value(self.p))}"
        place = f", between k = {_k(self.step.below)} and {_k(self.step.above)}" if self.kind == "elsewhere" else ""
        note = f"{test}; {self.enough:.2f} with larger k{place}"
        return f"{size:z.2f} ± {self.fall.half_width:.2f} over {self.distance} ({note})"


def distances(study: StudyResults) -> list[int]:
    """Distances for which accuracy was measured; empty if k was not searched or the probe is not a distance."""
    if study.probe not in UNITS or len(study.choices(TRUNCATION)) < 2:
        return []
    names = {name for trial in study.trials for name in trial.accuracies if name.isdigit()}
    return sorted(map(int, names))


def samples(study: StudyResults, arch: str, distance: int) -> Samples:
    """Accuracies over a distance of the complete trials of an architecture, by k."""
    found: Samples = {}
    for trial in study.complete(arch):
        if TRUNCATION in trial.values and str(distance) in trial.accuracies:
            k = trial.values[TRUNCATION]
            found.setdefault(math.inf if k is None else k, []).append(trial.accuracies[str(distance)])
    return dict(sorted(found.items()))


def falls(study: StudyResults) -> list[Fall]:
    """Test every architecture over every distance.

    Runs with k below the distance are compared to the others by Welch's test. A fall may also be gradual, independent
    of the distance. To separate the two, the steepest step between neighbouring values of k is tested, in the mean
    accuracies :math:`a_1 \\dots a_n` by increasing k: a cliff is a step across the distance with

    .. math:: a_{i+1} - a_i > \\tfrac{1}{2} (a_n - a_1),

    which an even slope does not have. p-values are corrected by Holm's method over all distances and architectures; the
    p-value of a step elsewhere is first multiplied by the number of steps.

    Other differences among trials, such as learning rates chosen by a sampler, are not adjusted for.
    """
    found = [
        _fall(arch, distance, samples(study, arch, distance)) for arch in study.archs for distance in distances(study)
    ]
    of_falls = holm([fall.p for fall in found])
    of_steps = holm([fall.step.p if fall.step else None for fall in found])
    return [replace(fall, p=p, step=fall.step and replace(fall.step, p=of_step))
            for fall, p, of_step in zip(found, of_falls, of_steps, strict=True)]  # fmt: skip


def _fall(arch: str, distance: int, by_k: Samples) -> Fall:
    short, enough = (
        [value for k in by_k if (k < distance) == is_short for value in by_k[k]] for is_short in (True, False)
    )
    if len(by_k) < FEWEST_K or min(len(short), len(enough)) < FEWEST["welch"]:
        return Fall(arch, distance, math.nan, Difference(math.nan, None, None), None, None)
    fall = welch(enough, short)
    return Fall(arch, distance, fmean(enough), fall, fall.p, _steepest(by_k, distance))


def _steepest(by_k: Samples, distance: int) -> SteepestStep:
    """The steepest step; if it is not the one across the distance, its p-value is corrected for the selection."""
    means = [fmean(values) for values in by_k.values()]
    ks = list(by_k)
    rises = [after - before for before, after in pairwise(means)]
    place = max(range(len(rises)), key=lambda index: rises[index])
    weights = [0.0] * len(ks)
    weights[place], weights[place + 1] = -1.0, 1.0
    weights[0] += SHARE
    weights[-1] -= SHARE
    excess = contrast(list(by_k.values()), weights)
    tries = 1 if ks[place] < distance <= ks[place + 1] else len(rises)
    return SteepestStep(ks[place], ks[place + 1], excess, None if excess.p is None else min(1.0, excess.p * tries))


def _is_clear(difference: Difference, p: float | None) -> bool:
    """Whether a difference is significant; without any variance, whether it is more than rounding."""
    if difference.half_width is None:
        return False
    return abs(difference.mean) > TINY if p is None else p < LEVEL


def sentences(study: StudyResults) -> list[str]:
    """For each architecture, a sentence on whether there is a cliff at the distance."""
    found = falls(study)
    return [_sentence(arch, [fall for fall in found if fall.arch == arch], UNITS[study.probe or ""])
            for arch in study.archs if any(fall.arch == arch for fall in found)]  # fmt: skip


def _sentence(arch: str, found: Sequence[Fall], unit: str) -> str:
    """The findings of an architecture: cliffs first, untested distances last."""
    of: dict[Kind, list[Fall]] = {}
    for fall in found:
        of.setdefault(fall.kind, []).append(fall)
    if of.keys() == {"untested"}:
        return (f"{arch}: too few runs to test for a cliff: this needs {FEWEST_K} values of k and, for each distance, "
                f"at least {FEWEST['welch']} runs with k below it and {FEWEST['welch']} without.")  # fmt: skip
    head = next((HEADS[kind] for kind in HEADS if kind in of), "no evidence of a cliff")
    return f"{arch}: {head}: {'; '.join(_clause(kind, of[kind], unit) for kind in CLAUSES if kind in of)}."


def _clause(kind: Kind, found: Sequence[Fall], unit: str) -> str:
    if kind == "untested":
        return f"{CLAUSES[kind]} {_listed(str(fall.distance) for fall in found)} {unit}"
    return f"{CLAUSES[kind]} {_listed(fall.stated for fall in found)}".replace(" (", f" {unit} (", 1)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _k(k: float) -> str:
    return "all" if math.isinf(k) else f"{k:g}"


def _equal(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"
