"""The verdict on two sides in words: a small table, and one sentence each on quality and speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from unroll.analysis.costs import load_costs
from unroll.analysis.item_level import doubt, gap, item_difference, item_interval, limits
from unroll.analysis.likeness import caveats, refuse_unlike, unknown
from unroll.analysis.samples import declared
from unroll.analysis.sides import Side, read_side
from unroll.analysis.verdict import (
    CLAIM,
    FEWEST,
    POWER,
    SPEED,
    Interval,
    Judgement,
    Sample,
    Test,
    expected_best,
    factor,
    figure,
    judge,
    p_value,
    plain,
    sentence,
    share,
    significant,
)
from unroll.errors import BadInput
from unroll.metrics import TOKENS_PER_SECOND, Metric, Solved, digits

Rows = Iterator[tuple[str, str]]


def tell(a: str, b: str, metric: str | None, margin: float | None, test: Test, costs: Path | None) -> str:
    """Judge two sides.

    Args:
        a, b: see :func:`~unroll.analysis.sides.read_side`.
        metric: by which; None for that by which the experiment is judged.
        margin: by which the means may differ and still be called equivalent: in units of the metric where its scale is
            ``difference``, and otherwise a factor, of odds where it is ``log-odds``; None for none.
        test: ``paired`` pairs runs of the same seed that read the same data in the same order.
        costs: folder of measured speeds, for sides of the form ``FILE:ARCH``; None to leave speed out.

    Returns:
        Text for the terminal.

    Raises:
        BadInput: the sides cannot be compared, or not so.
    """
    sides = read_side(a), read_side(b)
    name = metric or sides[0].basis.metric
    _refuse_unlike(*sides, test)
    measure = sides[0].metric(name)
    sides[1].metric(name)
    _check_margin(margin, measure)
    solved = _solved(sides, name)
    judged = judge(sides[0].sample(name, solved), sides[1].sample(name, solved), measure, test, margin)
    names = (sides[0].arch, sides[1].arch) if sides[0].arch != sides[1].arch else (a, b)
    places = digits(max(filter(math.isfinite, (judged.a.mean, judged.b.mean)), key=abs, default=0.0))
    counts = (f"{name} {side.basis.parameters:,.0f}" for name, side in zip(names, sides, strict=True))
    rows = [*_quality(names, sides, judged, places), ("parameters", ", ".join(counts))]
    ends = [sentence(*names, judged, places)]
    if costs:
        speeds = judge(_speeds(sides[0], costs), _speeds(sides[1], costs), TOKENS_PER_SECOND)
        rows += _means(names, speeds, "measurements", 0)
        ends.append(sentence(*names, speeds, 0, SPEED))
    title = f"{sides[0].experiment}: {sides[0].basis.split} {name}, means with 95 % t intervals"
    width = max(len(label) for label, _ in rows)
    notes = [*caveats(names, sides[0].basis, sides[1].basis), unknown(sides[0].basis, sides[1].basis),
             doubt(item_difference(sides[0].runs, sides[1].runs, measure), judged, places)]  # fmt: skip
    return "\n".join([title, *filter(None, notes), *(f"  {label:{width}}  {text}" for label, text in rows), *ends])


def _check_margin(margin: float | None, metric: Metric) -> None:
    """Refuse a margin that is not one on the scale of the metric.

    Raises:
        BadInput: it is not a number, or not in the metric's unit.
    """
    if margin is None:
        return
    if metric.scale == "difference":
        if not 0 < margin < math.inf:
            raise BadInput(f"--margin must be a number above 0, in units of {metric.name}.")
    elif not 1 < margin < math.inf:
        of = f"the odds of {metric.name}" if metric.scale == "log-odds" else metric.name
        raise BadInput(f"--margin={margin:g} must be a factor above 1 for {metric.name}: 1.05 calls sides "
                       f"equivalent that differ by less than 5 % in {of}.")  # fmt: skip


def _solved(sides: tuple[Side, Side], name: str) -> Solved | None:
    """What counts as a solution; nothing where another figure is asked for than that which decides.

    Raises:
        BadInput: the sides declare different things.
    """
    origin = f"{sides[0].name} or {sides[1].name}"
    solved = declared(origin, (side.solved for side in sides), sides[0].task)
    return solved if solved and name in (sides[0].basis.metric, solved.metric.name) else None


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


def _quality(names: tuple[str, str], sides: tuple[Side, Side], judged: Judgement, places: int) -> Rows:
    """Rows of the table on the metric, those that there is something to say in."""
    yield from _means(names, judged, "seeds", places)
    if judged.method != "boschloo" and math.isfinite(judged.difference.mean):
        yield _gap(names, judged, places)
    if judged.effect:
        yield ("effect size", f"g = {judged.effect.size:z.2f} ({judged.effect.low:z.2f} to {judged.effect.high:z.2f}), "
               f"positive where {names[0]} leads")  # fmt: skip
    if judged.improvement is not None:
        yield "improvement", f"P = {share(judged.improvement)} that a run of {names[0]} is ahead of one of {names[1]}"
    if judged.p is not None:
        yield "p", f"{p_value(judged.p)} ({_test(names, judged)})"
    if judged.equivalence is not None:
        by = "" if judged.metric.scale == "difference" else "a factor of "
        yield "p of a margin", f"{p_value(judged.equivalence)} that they differ by {by}{judged.margin:g} or more"
    elif judged.margin is not None:
        yield "p of a margin", f"not tested: {_no_margin(judged)}"
    if judged.p is not None and judged.needed:
        by = " of Welch's test" if judged.method == "permutation" else ""
        of = next((names[1 - place] for place, side in enumerate(judged.sides) if side.is_constant), "each")
        yield "seeds needed", f"about {judged.needed:,} of {of}, for a power of {POWER:g}{by} at this difference"
    yield from _over_items(names, sides, judged.metric, places)
    yield from _best(names, sides, judged.metric, places)


def _no_margin(judged: Judgement) -> str:
    """Why it was not tested whether two sides are equivalent."""
    if judged.method == "boschloo":
        return "counts of seeds that solve the problem are compared, and no means"
    if any(judged.missing):
        fewest = f"{FEWEST['paired']} pairs" if judged.method == "paired" else f"{CLAIM} seeds of each"
        return f"below {fewest} no two sides are called equivalent"
    return "no seed varies, or a figure is not a number"


def _test(names: tuple[str, str], judged: Judgement) -> str:
    """The test behind a p, and why it is another one than was asked for."""
    if judged.method == "constant":
        fixed = next(name for name, side in zip(names, judged.sides, strict=True) if side.is_constant)
        return f"t test of one sample, since {fixed} has no randomness"
    if judged.method == "boschloo":
        return "Boschloo's test of counts, since some runs solve the problem and others do not"
    return judged.method


def _over_items(names: tuple[str, str], sides: tuple[Side, Side], metric: Metric, places: int) -> Rows:
    """Intervals over the items of a small test set, which those over seeds do not cover."""
    for name, side in zip(names, sides, strict=True):
        if found := item_interval(side.runs, metric):
            yield f"over items, {name}", f"{limits(found, places)}, 95 % over {found.basis}"
    if found := item_difference(sides[0].runs, sides[1].runs, metric):
        label = f"{names[0]} less {names[1]}" if metric.scale == "difference" else f"{names[0]} to {names[1]}"
        yield f"over items, {label}", f"{gap(found, metric, places)}, 95 % over {found.basis}"


def _means(names: tuple[str, str], judged: Judgement, values: str, places: int) -> Rows:
    """A row for each side."""
    for name, span, side in zip(names, (judged.a, judged.b), judged.sides, strict=True):
        count = len(side.values)
        over = "without randomness" if side.is_constant else f"over {count} {values if count > 1 else values[:-1]}"
        solved = "" if side.solved is None else f", solved by {side.solved} of {count}"
        own = max(places, digits(span.mean)) if abs(span.mean) < 0.01 else places  # the other side may be far larger
        yield f"{judged.metric.name} of {name}", f"{figure(span, judged.metric.scale, own)} {over}{solved}"


def _gap(names: tuple[str, str], judged: Judgement, places: int) -> tuple[str, str]:
    """The row of the difference: a factor where the scale of the metric is one."""
    mean, half_width = judged.difference.mean, judged.difference.half_width
    if judged.metric.scale != "difference":
        return f"{names[0]} to {names[1]}", factor(mean, half_width, "the odds" * (judged.metric.scale == "log-odds"))
    limits = (None, None) if half_width is None else (mean - half_width, mean + half_width)
    return f"{names[0]} less {names[1]}", figure(Interval(mean, *limits), "difference", places)


def _best(names: tuple[str, str], sides: tuple[Side, Side], metric: Metric, places: int) -> Rows:
    """Expected best validation of as many runs of each side, 2, 4, 8 …, so that more runs are no advantage."""
    data = [side.basis.data.get("validation") for side in sides]
    if all(data) and data[0] != data[1]:
        return
    values = [[figures[metric.name] for figures in side.validation.values() if metric.name in figures]
              for side in sides if not side.is_constant]  # fmt: skip
    on_scale = [[metric.onto(value) for value in side] for side in values]
    if len(values) < 2 or not all(math.isfinite(place) for side in on_scale for place in side):
        return
    curves = [expected_best(side, metric.lower) for side in on_scale]
    count = 2
    while count <= min(map(len, curves)):
        found = [metric.back(curve[count - 1]) for curve in curves]
        figures = (f"{name} {plain(value, significant(value, places))}"
                   for name, value in zip(names, found, strict=True))  # fmt: skip
        yield f"best of {count}", f"{', '.join(figures)} expected on validation"
        count *= 2


def _speeds(side: Side, costs: Path) -> Sample:
    """Measurements of a side's speed.

    Raises:
        BadInput: there are none.
    """
    if not side.is_file:  # runs may have other settings than those that were measured
        raise BadInput(f"--costs goes with FILE:ARCH, whose speed was measured, and not with runs such as {side.name}.")
    path = costs / f"{side.experiment}.json"
    if not path.exists():
        raise BadInput(f"{path} does not exist; run unroll evaluate with --costs {costs}.")
    measured = load_costs(path, side.runs)
    if measured.note:
        raise BadInput(measured.note)
    if side.arch not in measured.speeds:
        raise BadInput(f"{path} has no speed of {side.arch}; run unroll evaluate with --costs {costs}.")
    return Sample(measured.speeds[side.arch])
