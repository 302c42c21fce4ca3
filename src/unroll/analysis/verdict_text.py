"""The text of ``unroll verdict``: a small table, and one sentence each on quality and speed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from unroll.analysis.costs import load_costs
from unroll.analysis.item_level import doubt, gap, item_difference, item_interval, limits
from unroll.analysis.likeness import caveats, refuse_unlike, unknown
from unroll.analysis.run_sets import Decisive, RunSet, read_run_set
from unroll.analysis.samples import declared
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
from unroll.metrics import FEW_ITEMS, TOKENS_PER_SECOND, Metric, Solved, digits

Rows = Iterator[tuple[str, str]]


def verdict_text(
    a: str, b: str, metric: str | None, margin: float | None, test: Test, costs: Path | None, decisive: Decisive
) -> str:
    """Compare two run sets.

    Args:
        a, b: see :func:`~unroll.analysis.run_sets.read_run_set`.
        metric: metric to compare; None for the one by which the experiment is judged.
        margin: difference of means up to which the sides count as equivalent: in units of the metric if its scale is
            ``difference``, otherwise a factor (of the odds if it is ``log-odds``); None to skip this test.
        test: ``paired`` pairs runs of the same seed that read the same data in the same order.
        costs: folder of measured speeds, for sides of the form ``FILE:ARCH``; None to omit speed.
        decisive: selects the settings of a run that affect its result.

    Returns:
        Text for the terminal.

    Raises:
        BadInput: the sides are not comparable, or not with these options.
    """
    sides = read_run_set(a, decisive), read_run_set(b, decisive)
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
    """Check that a margin is valid on the metric's scale.

    Raises:
        BadInput: it is not.
    """
    if margin is None:
        return
    if metric.scale == "difference":
        if not 0 < margin < math.inf:
            raise BadInput(f"--margin must be a number above 0, in units of {metric.name}.")
    elif not 1 < margin < math.inf:
        of = f"the odds of {metric.name}" if metric.scale == "log-odds" else metric.name
        raise BadInput(f"--margin={margin:g} must be a factor above 1 for {metric.name}: with 1.05, sides that differ "
                       f"by less than 5 % in {of} count as equivalent.")  # fmt: skip


def _solved(sides: tuple[RunSet, RunSet], name: str) -> Solved | None:
    """What counts as solved; None if the compared metric is not the deciding one.

    Raises:
        BadInput: the declarations of the two sides differ.
    """
    origin = f"{sides[0].name} or {sides[1].name}"
    solved = declared(origin, (side.solved for side in sides), sides[0].task)
    return solved if solved and name in (sides[0].basis.metric, solved.metric.name) else None


def _refuse_unlike(a: RunSet, b: RunSet, test: Test) -> None:
    """Refuse sides that are not comparable.

    Raises:
        BadInput: they differ in experiment, split, metric or vocabulary, share runs, or cannot be paired.
    """
    if a.name == b.name:
        raise BadInput(f"{a.name} is on both sides; name two different ones.")
    if a.experiment != b.experiment:
        raise BadInput(f"{a.name} and {b.name} cannot be compared: they are runs of the experiments "
                       f"{a.experiment} and {b.experiment}; name runs of the same experiment.")  # fmt: skip
    refuse_unlike((a.name, b.name), a.basis, b.basis)
    if common := [seed for seed in a.figures if a.arch == b.arch and a.figures[seed] == b.figures.get(seed)]:
        raise BadInput(f"{a.name} and {b.name} share the run of seed {common[0]}; name it on one side only.")
    if test == "paired":
        _refuse_unpaired(a, b)


def _refuse_unpaired(a: RunSet, b: RunSet) -> None:
    """Refuse to pair runs that did not read the same data in the same order.

    Raises:
        BadInput: their seeds differ, or a setting that affects the order does.
    """
    if a.figures.keys() != b.figures.keys():
        raise BadInput(f"--test paired pairs by seed, but {a.name} has seeds {_seeds(a)} and {b.name} {_seeds(b)}; "
                       "train the missing ones, or choose welch.")  # fmt: skip
    for key, value in a.basis.order.items():
        if value != b.basis.order.get(key):
            raise BadInput(f"--test paired pairs runs that read the same data in the same order, but {key} is {value} "
                           f"in {a.name} and {b.basis.order.get(key)} in {b.name}; choose welch.")  # fmt: skip


def _seeds(side: RunSet) -> str:
    return ", ".join(str(seed) for seed in sorted(side.figures))


def _quality(names: tuple[str, str], sides: tuple[RunSet, RunSet], judged: Judgement, places: int) -> Rows:
    """Rows of the table about the metric."""
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
    """Why equivalence was not tested."""
    if judged.method == "boschloo":
        return "counts of solved seeds are compared, not means"
    if any(judged.missing):
        fewest = f"{FEWEST['paired']} pairs" if judged.method == "paired" else f"{CLAIM} seeds of each"
        return f"with fewer than {fewest}, two sides are never called equivalent"
    return "the figures do not vary, or one is not a number"


def _test(names: tuple[str, str], judged: Judgement) -> str:
    """The test behind a p-value, and the reason if it is not the requested one."""
    if judged.method == "constant":
        fixed = next(name for name, side in zip(names, judged.sides, strict=True) if side.is_constant)
        return f"one-sample t test, since {fixed} is deterministic"
    if judged.method == "boschloo":
        return "Boschloo's test of counts, since only some runs solve the problem"
    return judged.method


def _over_items(names: tuple[str, str], sides: tuple[RunSet, RunSet], metric: Metric, places: int) -> Rows:
    """Rows of intervals over the items of a small test set."""
    for name, side in zip(names, sides, strict=True):
        if found := item_interval(side.runs, metric):
            yield f"over items, {name}", f"{limits(found, places)}, 95 % over {found.basis}"
    if found := item_difference(sides[0].runs, sides[1].runs, metric):
        label = f"{names[0]} less {names[1]}" if metric.scale == "difference" else f"{names[0]} to {names[1]}"
        yield f"over items, {label}", f"{gap(found, metric, places)}, 95 % over {found.basis}"
    elif not all(side.is_file for side in sides) and 0 < (metric.items or 0) < FEW_ITEMS:
        yield ("over items", f"no interval for the difference over these {metric.items:,} items: runs do not keep the "
               "scores of their sequences; unroll evaluate writes those of test, for FILE:ARCH")  # fmt: skip


def _means(names: tuple[str, str], judged: Judgement, values: str, places: int) -> Rows:
    """A row for each side."""
    for name, span, side in zip(names, (judged.a, judged.b), judged.sides, strict=True):
        count = len(side.values)
        over = "(deterministic)" if side.is_constant else f"over {count} {values if count > 1 else values[:-1]}"
        solved = "" if side.solved is None else f", solved by {side.solved} of {count}"
        own = max(places, digits(span.mean)) if abs(span.mean) < 0.01 else places  # the other side may be much larger
        yield f"{judged.metric.name} of {name}", f"{figure(span, judged.metric.scale, own)} {over}{solved}"


def _gap(names: tuple[str, str], judged: Judgement, places: int) -> tuple[str, str]:
    """The row of the difference, as a factor on a ratio scale."""
    mean, half_width = judged.difference.mean, judged.difference.half_width
    if judged.metric.scale != "difference":
        return f"{names[0]} to {names[1]}", factor(mean, half_width, "the odds" * (judged.metric.scale == "log-odds"))
    limits = (None, None) if half_width is None else (mean - half_width, mean + half_width)
    return f"{names[0]} less {names[1]}", figure(Interval(mean, *limits), "difference", places)


def _best(names: tuple[str, str], sides: tuple[RunSet, RunSet], metric: Metric, places: int) -> Rows:
    """Rows of the expected best validation of 2, 4, 8, … runs of each side, so that more runs are not an advantage."""
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
        figures = (
            f"{name} {plain(value, significant(value, places))}" for name, value in zip(names, found, strict=True)
        )
        yield f"best of {count}", f"{', '.join(figures)} expected on validation"
        count *= 2


def _speeds(side: RunSet, costs: Path) -> Sample:
    """Measured speeds of a run set.

    Raises:
        BadInput: no speed was measured.
    """
    if not side.is_file:  # runs may have other settings than those that were measured
        raise BadInput(f"--costs needs sides of the form FILE:ARCH, not runs such as {side.name}.")
    path = costs / f"{side.experiment}.json"
    if not path.exists():
        raise BadInput(f"{path} does not exist; run unroll evaluate with --costs {costs}.")
    measured = load_costs(path, side.runs)
    if measured.note:
        raise BadInput(measured.note)
    if side.arch not in measured.speeds:
        raise BadInput(f"{path} has no speed for {side.arch}; run unroll evaluate with --costs {costs}.")
    return Sample(measured.speeds[side.arch])
