"""The verdict on two sides, told: a small table, and one sentence each on quality and speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from unroll.analysis.comparison import digits
from unroll.analysis.costs import load_costs
from unroll.analysis.likeness import caveats, refuse_unlike, unknown
from unroll.analysis.sides import Side, read_side
from unroll.analysis.verdict import (
    POWER,
    SPEED,
    Interval,
    Judgement,
    Test,
    decimals,
    expected_best,
    judge,
    p_value,
    sentence,
)
from unroll.errors import BadInput, no_such


def tell(a: str, b: str, metric: str | None, margin: float | None, test: Test, costs: Path | None) -> str:
    """Judge two sides.

    Args:
        a, b: see :func:`~unroll.analysis.sides.read_side`.
        metric: by which; None for the headline metric.
        margin: by which the means may differ and still be called equivalent, in units of the metric; None for none.
        test: ``paired`` pairs runs of the same seed that read the same data in the same order.
        costs: folder of measured speeds, for sides of the form ``FILE:ARCH``; None to leave speed out.

    Returns:
        Text for the terminal.

    Raises:
        BadInput: the sides cannot be compared, or not so.
    """
    if margin is not None and not 0 < margin < math.inf:
        raise BadInput("--margin must be a number above 0, in units of the metric.")
    sides = read_side(a), read_side(b)
    metric = metric or sides[0].basis.headline
    _refuse_unlike(*sides, test)
    values = [side.values(metric) for side in sides]
    judged = judge(values[0], values[1], sides[0].is_lower_better(metric), test, margin)
    names = (sides[0].arch, sides[1].arch) if sides[0].arch != sides[1].arch else (a, b)
    places = digits(max((judged.a.mean, judged.b.mean), key=abs))
    counts = (f"{name} {side.basis.parameters:,.0f}" for name, side in zip(names, sides, strict=True))
    rows = [*_quality(names, sides, metric, judged, places), ("parameters", ", ".join(counts))]
    ends = [sentence(*names, judged, places)]
    if costs:
        speeds = judge(_speeds(sides[0], costs), _speeds(sides[1], costs), lower=False)
        rows += _means("tokens/s", names, speeds, "measurements", 0)
        ends.append(sentence(*names, speeds, 0, SPEED))
    title = f"{sides[0].experiment}: {sides[0].basis.split} {metric}, means with 95 % t intervals"
    width = max(len(label) for label, _ in rows)
    notes = [*caveats(names, sides[0].basis, sides[1].basis), unknown(sides[0].basis, sides[1].basis)]
    return "\n".join([title, *filter(None, notes), *(f"  {label:{width}}  {text}" for label, text in rows), *ends])


def _refuse_unlike(a: Side, b: Side, test: Test) -> None:
    """Refuse sides that do not answer one question.

    Raises:
        BadInput: they are of two experiments, splits, metrics or vocabularies, the same, or cannot be paired.
    """
    if a.name == b.name:
        raise BadInput(f"{a.name} is on both sides; name two.")
    if a.experiment != b.experiment:
        raise BadInput(f"{a.name} and {b.name} cannot be compared: their experiment is {a.experiment} and "
                       f"{b.experiment}; name two sides of one.")  # fmt: skip
    refuse_unlike((a.name, b.name), a.basis, b.basis)
    if common := [seed for seed in a.figures if a.arch == b.arch and a.figures[seed] == b.figures.get(seed)]:
        raise BadInput(f"{a.name} and {b.name} have a run in common, that of seed {common[0]}; name each on one side.")
    if test == "paired":
        _refuse_unpaired(a, b)


def _refuse_unpaired(a: Side, b: Side) -> None:
    """Refuse to pair runs that have not read the same data in the same order.

    Raises:
        BadInput: their seeds differ, or what else decides the order.
    """
    if a.figures.keys() != b.figures.keys():
        raise BadInput(f"--test paired pairs by seed, but {a.name} has seeds {_seeds(a)} and {b.name} {_seeds(b)}; "
                       "train those that are missing, or choose welch.")  # fmt: skip
    for key, value in a.basis.order.items():
        if value != b.basis.order.get(key):
            raise BadInput(f"--test paired pairs runs that read the same data in the same order, but {key} is {value} "
                           f"in {a.name} and {b.basis.order.get(key)} in {b.name}; choose welch.")  # fmt: skip


def _seeds(side: Side) -> str:
    return ", ".join(str(seed) for seed in sorted(side.figures))


def _quality(
    names: tuple[str, str], sides: tuple[Side, Side], metric: str, judged: Judgement, places: int
) -> Iterator[tuple[str, str]]:
    """Rows of the table on the metric, those that there is something to say in."""
    yield from _means(metric, names, judged, "seeds", places)
    yield f"{names[0]} less {names[1]}", _mean(Interval(judged.difference.mean, judged.difference.half_width), places)
    if judged.effect:
        yield ("effect size", f"g = {judged.effect.size:.2f} ({judged.effect.low:.2f} to {judged.effect.high:.2f}), "
               f"positive where {names[0]} is better")  # fmt: skip
    if judged.improvement is not None:
        yield "improvement", f"P = {judged.improvement:.2f} that a run of {names[0]} is better than one of {names[1]}"
    if judged.p is not None:
        yield "p", f"{p_value(judged.p)} ({judged.test})"
    if judged.equivalence is not None:
        yield "p of a margin", f"{p_value(judged.equivalence)} that they differ by {judged.margin:g} or more"
    if judged.p is not None and judged.needed:
        by = " of Welch's test" if judged.test == "permutation" else ""
        yield "seeds needed", f"about {judged.needed:,} of each, for a power of {POWER:g}{by} at this difference"
    yield from _best(names, sides, metric, judged.lower, places)


def _means(
    label: str, names: tuple[str, str], judged: Judgement, values: str, places: int
) -> Iterator[tuple[str, str]]:
    """A row for each side."""
    for name, interval, count in zip(names, (judged.a, judged.b), judged.counts, strict=True):
        yield f"{label} of {name}", f"{_mean(interval, places)} over {count} {values if count > 1 else values[:-1]}"


def _best(
    names: tuple[str, str], sides: tuple[Side, Side], metric: str, lower: bool, places: int
) -> Iterator[tuple[str, str]]:
    """Expected best validation of as many runs of each side, 2, 4, 8 …, so that more runs are no advantage."""
    values = [[figures[metric] for figures in side.validation.values() if metric in figures] for side in sides]
    if any(not all(map(math.isfinite, side)) for side in values):
        return
    curves = [expected_best(side, lower) for side in values]
    count = 2
    while count <= min(map(len, curves)):
        figures = (f"{name} {curve[count - 1]:,.{places}f}" for name, curve in zip(names, curves, strict=True))
        yield f"best of {count}", f"{', '.join(figures)} expected on validation"
        count *= 2


def _mean(interval: Interval, places: int) -> str:
    places = decimals(places, interval.half_width)
    half = "" if interval.half_width is None else f" ± {interval.half_width:,.{places}f}"
    return f"{interval.mean:,.{places}f}{half}"


def _speeds(side: Side, costs: Path) -> list[float]:
    """Measurements of a side's speed.

    Raises:
        BadInput: there are none.
    """
    if not side.is_file:  # runs may have other settings than those that were measured
        raise BadInput(f"--costs goes with FILE:ARCH, whose speed was measured, and not with runs such as {side.name}.")
    path = costs / f"{side.experiment}.json"
    speeds = load_costs(path)
    if not speeds:
        raise BadInput(f"{path} does not exist; run unroll evaluate with --costs {costs}.")
    if side.arch not in speeds:
        raise no_such(f"speed in {path} of", side.arch, speeds)
    return speeds[side.arch]
