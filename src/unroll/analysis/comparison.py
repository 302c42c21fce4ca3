"""Comparison of architectures: means over seeds, differences from the best, targets met or missed."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from unroll.analysis.costs import SPEEDS, compare_speeds, load_costs
from unroll.analysis.item_level import over_items
from unroll.analysis.likeness import Basis, bases, caveats, unknown
from unroll.analysis.rows import Row, are_counts, are_numbers, check_entry
from unroll.analysis.samples import declared, figure_of, measured, sample, task_by
from unroll.analysis.summary import write_summary
from unroll.analysis.targets import check_targets
from unroll.analysis.verdict import Interval, Judgement, Sample, figure, interval, judge_against, reported, sentence
from unroll.errors import BadInput
from unroll.metrics import Metric, digits, shown
from unroll.outputs import MISREAD, from_json, restored, to_json, whole, write_text

KEYS = {"arch", "seed", "split", "parameters", "tokens", "order", "test", "validation", "headline", "mode"}
Results = dict[str, Row]  # run → its entry in the file that evaluate wrote


def load_results(path: Path) -> Results:
    """Read a file written by ``evaluate``.

    Raises:
        BadInput: the file is missing, or was not written by ``evaluate``.
    """
    try:
        results: Results = from_json(path.read_bytes())
        if not results or any(not set(run) >= KEYS for run in results.values()):
            raise KeyError
        for run in results.values():
            _check_kinds(run)
            run |= {part: restored(run[part]) for part in ("test", "validation")}
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder; name its files, such as {path}/*.json, or select those of a course with "
                       "--course conf/course.yaml.") from None  # fmt: skip
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run unroll evaluate, or make repro.") from None
    except MISREAD:
        raise BadInput(f"{path} was not written by unroll evaluate; name files of outputs/metrics.") from None
    for (arch, seed), count in Counter((run["arch"], run["seed"]) for run in results.values()).items():
        if count > 1:
            raise BadInput(f"{path} has {count} runs of arch={arch} seed={seed}, which would count as {count} seeds; "
                           "keep only one of them.")  # fmt: skip
    return results


def _check_kinds(run: Row) -> None:
    """Check the types and ranges of an entry.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a number is out of range, or the headline figure is missing.
    """
    check_entry(run)
    if not all(isinstance(run[name], str) for name in ("arch", "split", "headline", "mode")):
        raise TypeError
    if not are_counts(run[name] for name in ("seed", "parameters", "tokens")):
        raise ValueError
    if not all(are_numbers(run[part].values()) for part in ("test", "validation")):
        raise TypeError
    if run["mode"] not in ("min", "max") or not {run["headline"], figure_of(run)} <= run["test"].keys():
        raise ValueError


def by_arch(results: Results) -> dict[str, list[Row]]:
    """Runs grouped by architecture, ordered by seed."""
    groups: dict[str, list[Row]] = defaultdict(list)
    for run in sorted(results.values(), key=lambda run: (run["arch"], run["seed"])):
        groups[run["arch"]].append(run)
    return dict(groups)


def compare(experiment: str, results: Results) -> list[Row]:
    """One row per architecture, best first, with its difference from the best.

    Order, mean, interval and difference are computed on the metric's scale: for a ratio, the mean is geometric and the
    difference a factor; for a proportion, the difference is a factor of the odds. Effect size and probability of
    improvement are those of the best over the row's architecture. Where some runs solve the problem and others do not,
    architectures with the greater share of solved runs come first.

    Args:
        experiment: name of the experiment.
        results: figures of its runs.

    Raises:
        BadInput: two runs differ in data, evaluation settings, or what they declare as solved.
    """
    groups = by_arch(results)
    conditions = bases(experiment, groups)
    first = next(iter(results.values()))
    metric, headline = (measured(first, name) for name in (figure_of(first), first["headline"]))
    solved = declared(experiment, (run.get("solved") for run in results.values()), task_by(first))
    samples = {
        arch: sample(f"{experiment}/{arch}", [run["test"] for run in runs], metric.name, solved,
                     bool(runs[0].get("deterministic")))
        for arch, runs in groups.items()
    }  # fmt: skip
    order = sorted(samples, key=lambda arch: (-samples[arch].share, metric.rank(samples[arch].values)))
    best = order[0]
    judgements = judge_against(best, samples, metric)
    rows = []
    for arch in order:
        span = interval(samples[arch].values, metric)
        judged = judgements.get(arch)
        rows.append({
            "experiment": experiment, "arch": arch, "split": first["split"], "metric": metric.name,
            "scale": metric.scale, "seeds": len(samples[arch].values), "deterministic": samples[arch].is_constant,
            "mean": span.mean, "low": span.low, "high": span.high, "solved": samples[arch].solved,
            "headline": headline.name, "headline_mean": _mean(groups[arch], headline),
            "parameters": groups[arch][0]["parameters"], "tokens": round(fmean(run["tokens"] for run in groups[arch])),
            "method": judged and judged.method, **_difference(judged),
            "effect_size": judged and judged.effect and judged.effect.size,
            "probability_of_improvement": judged and judged.improvement,
            "p_holm": judged and judged.p, "seeds_needed": judged and judged.needed,
            "better": judged and judged.better == 0,
            "verdict": judged and sentence(best, arch, judged, digits(span.mean)),
            **over_items(groups[arch], groups[best], metric, judged, digits(span.mean)),
            "caveat": "; ".join(filter(None, (_caveat(best, arch, conditions), _end(samples[arch], metric)))) or None,
        })  # fmt: skip
    return rows


def _mean(runs: Sequence[Row], metric: Metric) -> float | None:
    """Mean over seeds; None if a run lacks the figure."""
    mean = metric.mean([run["test"][metric.name] for run in runs])
    return mean if math.isfinite(mean) else None


def _difference(judged: Judgement | None) -> dict[str, float | None]:
    """Difference from the best, as a factor on a ratio scale; all None where counts of solved runs decide."""
    keys = ("difference_to_best", "difference_low", "difference_high")
    if judged is None or judged.method == "boschloo" or not math.isfinite(judged.difference.mean):
        return dict.fromkeys(keys)
    gap, half_width = 0.0 - judged.difference.mean, judged.difference.half_width
    ends = [None, None] if half_width is None else [gap - half_width, gap + half_width]
    values = [None if place is None else reported(judged.metric, place) for place in (gap, *ends)]
    return dict(zip(keys, values, strict=True))


def _caveat(best: str, arch: str, measured: dict[str, Basis]) -> str | None:
    """Reasons why an architecture and the best are not on equal terms; for the best, what could not be checked."""
    if arch != best:
        return "; ".join(caveats((best, arch), measured[best], measured[arch])) or None
    return next(filter(None, (unknown(measured[best], other) for other in measured.values())), None)


def _end(mine: Sample, metric: Metric) -> str | None:
    """Warning that the rank of an architecture means little, since a seed is at an end of the scale, such as 0."""
    ends = [value for value in mine.values if math.isinf(metric.onto(value)) and math.isfinite(value)]
    if not ends or len(ends) == len(mine.values):
        return None
    return (f"its {metric.name} is {ends[0]:g} on {len(ends)} of {len(mine.values)} seeds, and so is a mean on this "
            "scale, whatever the other seeds have; its rank does not reflect the other seeds")  # fmt: skip


def compare_all(
    metrics: Sequence[Path], costs: Path, out: Path | None, targets: Path | None, summary: Path | None = None
) -> str:
    """Compare every experiment, and write ``comparison.csv`` and ``comparison.json`` if asked to.

    Compared speeds then go to ``comparison.csv`` in ``costs``.

    Args:
        metrics: files written by ``evaluate``, named after their experiments.
        costs: folder of measured speeds. They vary between measurements, so ``out`` does not contain them.
        out: folder to write; None to write nothing.
        targets: see :func:`~unroll.analysis.targets.check_targets`; None for no targets.
        summary: folder to write with what ``dvc metrics show`` lists, including speeds; None to write none.

    Returns:
        Tables for the terminal.

    Raises:
        BadInput: a file is invalid, two files have the same name, or the figures of a file are not comparable.
    """
    results: dict[str, Results] = {}
    for path in metrics:
        if path.stem in results:
            raise BadInput(f"{path} is a second file for the experiment {path.stem}; compare each by itself, or both "
                           "with unroll verdict.")  # fmt: skip
        results[path.stem] = load_results(path)
    rows = [row for name, runs in results.items() for row in compare(name, runs)]
    checks = check_targets(targets, {name: by_arch(runs) for name, runs in results.items()}) if targets else []
    measured_costs = {name: load_costs(costs / f"{name}.json", [*runs.values()]) for name, runs in results.items()}
    cost_rows = [row for name, found in measured_costs.items() for row in compare_speeds(name, found.speeds)]
    if out:
        _write(out, rows, checks)
        if cost_rows:
            write_text(costs / "comparison.csv", _csv(cost_rows))
    if summary:
        with whole(summary, replaces=("*/*.json",)) as folder:
            write_summary(rows, cost_rows, folder)
    notes = {name: found.note for name, found in measured_costs.items()}
    return _table(rows, cost_rows, notes, checks)


def _write(out: Path, rows: list[Row], checks: list[Row]) -> None:
    """Write the comparison and the checked targets, if there are any, to a folder."""
    with whole(out, replaces=("comparison.json", "comparison.csv", "targets.json")) as folder:
        folder.mkdir()
        (folder / "comparison.csv").write_text(_csv(rows), encoding="utf-8")
        (folder / "comparison.json").write_text(to_json(rows), encoding="utf-8")
        if checks:
            (folder / "targets.json").write_text(to_json(checks), encoding="utf-8")


def _csv(rows: list[Row]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(
    rows: list[Row],
    cost_rows: list[Row],
    cost_notes: Mapping[str, str | None],
    checks: list[Row],
) -> str:
    costs = {(row["experiment"], row["arch"]): row for row in cost_rows}
    lines = []
    for name in dict.fromkeys(row["experiment"] for row in rows):
        mine = [row for row in rows if row["experiment"] == name]
        lines.append(f"\n{name}: {mine[0]['split']} {mine[0]['metric']}, mean with 95 % t interval over seeds")
        cells = [_cells(row, costs.get((name, row["arch"]))) for row in mine]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines += [line for row, texts in zip(mine, cells, strict=True) for line in _lines(row, texts, widths)]
        lines += [f"    {row['verdict']}" for row in cost_rows if row["experiment"] == name and row["verdict"]]
        lines += [f"    {note}" for note in [cost_notes[name]] if note]
    lines += map(_target_line, checks)
    return "\n".join(lines).lstrip("\n")


def _target_line(check: Row) -> str:
    if check["arch"] is None:
        figure = "no architecture can be chosen"
    elif check["figure"] is None:
        figure = f"{check['arch']} has no figure"
    else:
        figure = f"{check['arch']} {shown(check['figure'])}"
    bound = "an unknown bound" if check["bound"] is None else shown(check["bound"])
    note = f"; {check['note']}" if check["note"] else ""
    return (f"\n{check['result']}  {check['experiment']}, {check['metric']} {check['direction']} {bound}: {figure} "
            f"({check['source']}){note}")  # fmt: skip


def _cells(row: Row, cost: Row | None) -> tuple[str, str, str, str]:
    """Architecture, figure, size and, if measured, speed."""
    span = Interval(row["mean"], row["low"], row["high"])
    text = figure(span, row["scale"], digits(row["mean"]))
    if row["solved"] is not None:
        text += f", solved by {row['solved']} of {row['seeds']}"
    if row["headline"] != row["metric"] and row["headline_mean"] is not None:
        text += f", {row['headline']} {row['headline_mean']:.{digits(row['headline_mean'])}f}"
    speed = "" if cost is None else f"{figure(Interval(*(cost[key] for key in SPEEDS)), 'ratio', 0)} tokens/s"
    return row["arch"], text, f"{row['parameters']:,} parameters", speed


def _lines(row: Row, cells: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """The table row of an architecture with its verdict, then its intervals over items and its caveats."""
    texts = [text.ljust(width) if at < 2 else text.rjust(width)
             for at, (text, width) in enumerate(zip(cells, widths, strict=True))]  # fmt: skip
    yield f"  {'  '.join(texts)}  {row['verdict'] or ''}".rstrip()
    for key in ("over_items", "difference_over_items", "doubt", "caveat"):
        if row[key]:
            yield f"    {row[key]}"
