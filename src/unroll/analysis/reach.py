"""How far a network reaches: accuracy over a distance, where the gradient reaches k steps back."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean
from typing import Literal

from unroll.analysis.trials import TRUNCATION, Study
from unroll.analysis.verdict import Difference, holm, p_value, welch
from unroll.analysis.verdict.judgement import LEVEL

Samples = dict[float, list[float]]  # k, infinity for all steps → accuracy of every run
Kind = Literal["cliff", "elsewhere", "slope", "rise", "none", "untold"]

FEWEST_K = 3  # values of k: with two, every fall is a cliff
SHARE = 0.5  # of all that k changes; a single step of k that takes more is no slope
HEADS: dict[Kind, str] = {
    "cliff": "a cliff", "elsewhere": "no cliff at the distance", "slope": "no cliff, but a slope",
}  # fmt: skip
CLAUSES: dict[Kind, str] = {
    "cliff": "with k below the distance accuracy falls by",
    "elsewhere": "accuracy falls at another k, by",
    "slope": "accuracy falls with k step by step, by",
    "rise": "with k below the distance accuracy rises by",
    "none": "no evidence that accuracy falls with k below the distance:",
    "untold": "too few runs tell over",
}
UNITS = {"Distance": "words"}  # probes that are distances in tokens, which k can fall short of


@dataclass(frozen=True)
class Fall:
    """What an architecture loses over a distance where k is below it.

    Args:
        arch: the architecture.
        distance: in tokens.
        fall: accuracy with k not below the distance less that with k below it; None where too few runs tell.
        p: of the fall, corrected for all distances and architectures.
        step: neighbouring values of k between which most of all that k changes is changed; None where no two are so.
    """

    arch: str
    distance: int
    fall: Difference | None
    p: float | None
    step: tuple[float, float] | None

    @property
    def kind(self) -> Kind:
        """A fall is a cliff if it is one step of k, across the distance; a slope if it is not one step."""
        if self.fall is None:
            return "untold"
        # values that do not vary on either side leave nothing to test, and no doubt
        if not (self.fall.mean if self.p is None else self.p < LEVEL):
            return "none"
        if self.fall.mean < 0:
            return "rise"
        if self.step is None:
            return "slope"
        return "cliff" if self.step[0] < self.distance <= self.step[1] else "elsewhere"

    @property
    def told(self) -> str:
        """Its size and distance, in words."""
        assert self.fall is not None and self.fall.half_width is not None
        size = -self.fall.mean if self.kind == "rise" else self.fall.mean
        test = "on every run alike" if self.p is None else f"p {_equal(p_value(self.p))}"
        place = f", between k = {_k(self.step[0])} and {_k(self.step[1])}" if self.step and self.kind == "elsewhere" else ""
        return f"{size:z.2f} ± {self.fall.half_width:.2f} over {self.distance} ({test}{place})"


def distances(study: Study) -> list[int]:
    """Distances over which accuracy was measured; none where k was not chosen, or groups are no distances."""
    if study.probe not in UNITS or len(study.choices(TRUNCATION)) < 2:
        return []
    names = {name for trial in study.trials for name in trial.accuracies if name.isdigit()}
    return sorted(map(int, names))


def samples(study: Study, arch: str, distance: int) -> Samples:
    """Accuracy over a distance of every complete trial of an architecture, by k."""
    found: Samples = {}
    for trial in study.complete(arch):
        if TRUNCATION in trial.values and str(distance) in trial.accuracies:
            k = trial.values[TRUNCATION]
            found.setdefault(math.inf if k is None else k, []).append(trial.accuracies[str(distance)])
    return dict(sorted(found.items()))


def falls(study: Study) -> list[Fall]:
    """Every architecture over every distance.

    Runs with k below the distance stand against the others by Welch's test, with Holm's correction over all distances
    and architectures. A fall is looked at once more, since accuracy may as well get less with k step by step, wherever
    the distance is: with the mean accuracies :math:`a_1, a_2, \\dots` by growing k, one step that is steep enough,

    .. math:: \\max_i \\, (a_{i+1} - a_i) > \\tfrac{1}{2} (\\max_i a_i - \\min_i a_i),

    makes it a cliff if it is the step from below the distance; an even slope has no such step.

    Whether k falls short is all that is compared: what else differs among trials, such as learning rates that a sampler
    has chosen, is not taken out.
    """
    found = [_fall(arch, distance, samples(study, arch, distance))
             for arch in study.archs for distance in distances(study)]  # fmt: skip
    corrected = holm([fall.fall and fall.fall.p for fall in found])
    return [Fall(fall.arch, fall.distance, fall.fall, p, fall.step) for fall, p in zip(found, corrected, strict=True)]


def _fall(arch: str, distance: int, by_k: Samples) -> Fall:
    short, enough = ([k for k in by_k if (k < distance) == is_short] for is_short in (True, False))
    sides = [[value for k in side for value in by_k[k]] for side in (enough, short)]
    if len(by_k) < FEWEST_K or min(map(len, sides)) < 2:
        return Fall(arch, distance, None, None, None)
    return Fall(arch, distance, welch(*sides), None, _step({k: fmean(values) for k, values in by_k.items()}))


def _step(means: dict[float, float]) -> tuple[float, float] | None:
    """Where mean accuracy takes most of its rise at once, if it does."""
    rises = {pair: means[pair[1]] - means[pair[0]] for pair in pairwise(means)}
    steepest = max(rises, key=lambda pair: rises[pair])
    extent = max(means.values()) - min(means.values())
    return steepest if rises[steepest] > SHARE * extent else None


def sentences(study: Study) -> list[str]:
    """Whether there is a cliff where k falls short of the distance, a sentence for each architecture."""
    found = falls(study)
    return [_sentence(arch, [fall for fall in found if fall.arch == arch], UNITS[study.probe or ""])
            for arch in study.archs if any(fall.arch == arch for fall in found)]  # fmt: skip


def _sentence(arch: str, found: Sequence[Fall], unit: str) -> str:
    """What was seen: cliffs first, and last what cannot be told."""
    of: dict[Kind, list[Fall]] = {}
    for fall in found:
        of.setdefault(fall.kind, []).append(fall)
    if of.keys() == {"untold"}:
        return (f"{arch}: too few runs to tell whether there is a cliff: {FEWEST_K} values of k are needed, and of a "
                "distance two runs with k below it and two without.")  # fmt: skip
    head = next((HEADS[kind] for kind in HEADS if kind in of), "no cliff")
    return f"{arch}: {head}: {'; '.join(_clause(kind, of[kind], unit) for kind in CLAUSES if kind in of)}."


def _clause(kind: Kind, found: Sequence[Fall], unit: str) -> str:
    if kind == "untold":
        return f"{CLAUSES[kind]} {_listed(str(fall.distance) for fall in found)} {unit}"
    return f"{CLAUSES[kind]} {_listed(fall.told for fall in found)}".replace(" (", f" {unit} (", 1)


def _listed(words: Iterable[str]) -> str:
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def _k(k: float) -> str:
    return "all" if math.isinf(k) else f"{k:g}"


def _equal(p: str) -> str:
    return p if p.startswith("<") else f"= {p}"
