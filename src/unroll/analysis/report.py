"""The report: one static page with the question, table, figures and commands of each experiment."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unroll.analysis.answer import answer
from unroll.analysis.comparison import Results, by_arch, load_results
from unroll.analysis.costs import compare_speeds, load_costs
from unroll.analysis.likeness import bases
from unroll.analysis.page import write_page
from unroll.analysis.rows import Row
from unroll.analysis.samples import figure_of, measured, measured_groups
from unroll.analysis.study import study_part
from unroll.analysis.styles import assign_styles
from unroll.analysis.trials import load_study
from unroll.analysis.written import load_certificate, load_rows, load_targets
from unroll.errors import BadInput
from unroll.metrics import without_twins

Chapters = Mapping[str, Mapping[str, Any]]  # chapter → its lists of experiments, archs, seeds and certified runs


def write_report(chapters: Chapters, about: dict[str, Row], outputs: Path, out: Path) -> Path:
    """Write the report.

    Args:
        chapters: the course: experiments, archs and seeds of each chapter.
        about: ``question``, ``data`` and ``grouped_by`` of each experiment.
        outputs: folder with ``metrics``, ``comparison``, ``runs``, ``certificates`` and ``costs``. An experiment with a
            folder in ``studies`` retrains the best settings of that study.
        out: HTML file to write.

    Raises:
        BadInput: figures or certificates are missing.
    """
    rows = load_rows(outputs / "comparison" / "comparison.json")
    archs = [grid["archs"] for grid in chapters.values()]
    sections = {
        chapter: [
            _section(name, about[name], load_results(outputs / "metrics" / f"{name}.json"), rows, outputs, archs)
            for name in grid["experiments"]
        ]
        for chapter, grid in chapters.items()
        if grid["experiments"]
    }
    return write_page(
        "report.html.j2",
        out,
        chapters=sections,
        certificates={chapter: _certificates(chapters[chapter], outputs) for chapter in sections},
        targets=load_targets(outputs / "comparison" / "targets.json"),
        runs=sum(len(section["results"]) for part in sections.values() for section in part),
        validated=any(row["split"] == "validation" for row in rows),
    )


def _certificates(grid: Mapping[str, Any], outputs: Path) -> list[Row]:
    """The certificates of a chapter, as tables."""
    found = []
    for name in [f"{experiment}-{run}" for experiment in grid["experiments"] for run in grid.get("certified", [])]:
        found.append(_certificate(load_certificate(outputs / "certificates" / f"{name}.json")))
    return found


def _certificate(content: Row) -> Row:
    """A certificate as a table: one row per check, one column per precision."""
    checks = content["checks"]
    tolerances = {check["dtype"]: check["tolerance"] for check in checks if "tolerance" in check}
    rows: list[Row] = []
    for name, meaning in content["meanings"].items():
        mine = {check.get("dtype"): check for check in checks if check["check"] == name}
        failed = [dtype for dtype in tolerances if not mine.get(dtype, {}).get("passed", True)]
        verdict = f"FAILS in {' and '.join(failed)}" if failed else "holds" if tolerances.keys() & mine else ""
        rows.append({
            "name": name.replace("_", " "), "meaning": meaning, "verdict": verdict,
            "deviations": [_small(mine[dtype]["deviation"]) if dtype in mine else "–" for dtype in tolerances],
        })  # fmt: skip
    return {
        "run": content["run"], "certified": content["certified"], "tolerances": tolerances, "rows": rows,
        "failed": [row["name"] for row in rows if row["verdict"].startswith("FAILS")], "tokens": content["tokens"],
        "left_out": {check["check"].replace("_", " "): check["not_applicable"] for check in checks
                     if "not_applicable" in check},
    }  # fmt: skip


def _small(value: float) -> str:
    """A deviation, as its order of magnitude."""
    return f"{value:.1e}" if value else "0"


def _section(
    name: str,
    about: Row,
    results: Results,
    rows: list[Row],
    outputs: Path,
    archs: list[list[str]],
) -> Row:
    from unroll.analysis import plots

    bases(name, by_arch(results))  # refuses figures that are not comparable
    folder = outputs / "studies" / name
    searched = load_study(folder) if (folder / "study.json").exists() else None
    styles = assign_styles([*archs, list(by_arch(results)), searched.archs if searched else []])
    study = study_part(searched, styles) if searched else None
    mine = [row for row in rows if row["experiment"] == name]
    if sorted(row["arch"] for row in mine) != sorted(by_arch(results)):
        raise BadInput(f"The comparison does not have the architectures of {name}; run unroll compare with its "
                       "figures, or make repro.")  # fmt: skip
    measured_costs = load_costs(outputs / "costs" / f"{name}.json", [*results.values()])
    costs = {row["arch"]: row for row in compare_speeds(name, measured_costs.speeds)}
    figures = [plots.learning_curves(outputs / "runs" / name, results, styles), plots.seeds(results, styles)]
    if groups := measured_groups(next(iter(results.values()))):
        figures.append(plots.by_group(results, styles, groups, " and ".join(_spoken(about["grouped_by"]))))
    return {
        "name": name, "question": about["question"], "data": about["data"], "rows": mine, "results": results,
        "answer": answer(mine),
        "judged": _judged_by(results, about["grouped_by"]),
        "styles": styles, "costs": costs, "figures": figures,
        "verdicts": [found for row in mine if any(found := (row["verdict"], _notes(row)))],
        "speed_verdicts": [*filter(None, (*(row["verdict"] for row in costs.values()), measured_costs.note))],
        "further": _further(results, mine), "study": study,
        "commands": _commands(name, results, outputs, is_study=study is not None),
    }  # fmt: skip


def _judged_by(results: Results, grouped_by: Sequence[str]) -> str:
    """A sentence on the metric the experiment is judged by; empty if it is the headline of the task."""
    run = next(iter(results.values()))
    name = figure_of(run)
    headline = run["headline"]
    if name == headline:
        return ""
    kind, slash, group = name.partition("/")
    groups = " or the ".join(_spoken(grouped_by))
    meaning = f", the {kind} where the {groups} is {group}" if slash else ""
    return (f"Judged by {name}{meaning}, as declared by the experiment before training. The learning curves show the "
            f"{headline}.")  # fmt: skip


def _notes(row: Row) -> list[str]:
    """Notes on a verdict."""
    return [note for note in (row["difference_over_items"], row["doubt"], row["caveat"]) if note]


def _commands(name: str, results: Results, outputs: Path, is_study: bool) -> str:
    """Shell commands that reproduce the figures of an experiment, and one that trains a single run."""
    archs = by_arch(results)
    seeds = sorted({run["seed"] for run in results.values()})
    prepared = f"--prepared {outputs}/prepared/{name}"
    first = f"unroll tune --config {outputs}/configs/{name}/study.yaml {prepared} --out {outputs}/studies/{name}\n"
    arch = next(iter(archs))
    single = f"\nunroll train experiment={name} arch={arch} seed=0    # a single run; add settings of your own"
    settings = f"{outputs}/studies/{name}/retrain" if is_study else f"{outputs}/configs/{name}"
    return (
        f"{first if is_study else ''}for arch in {' '.join(archs)}; do    # seeds {' '.join(map(str, seeds))}\n"
        f"  unroll train --config {settings}/$arch {prepared} --out {outputs}/runs/{name}/$arch\n"
        "done\n"
        f"unroll evaluate {outputs}/runs/{name} {prepared} "
        f"--out {outputs}/metrics/{name}.json --costs {outputs}/costs\n"
        f"unroll compare {outputs}/metrics/{name}.json --costs {outputs}/costs --out {outputs}/comparison-{name}"
        f"{'' if is_study else single}"
    )


def _spoken(grouped_by: Sequence[str]) -> list[str]:
    """What groups are, in words."""
    known = {"Distance": "distance in words", "Attractors": "number of attractors",
             "Context": "side that disambiguates the word"}  # fmt: skip
    return [known.get(name, name.lower()) for name in grouped_by] or ["group"]


def _further(results: Results, rows: list[Row]) -> list[Row]:
    """Means of the other test figures for the table: the headline first, without accuracies by group."""
    metric = rows[0]["metric"]
    figures = [run["test"] for run in results.values()]
    headline = next(iter(results.values()))["headline"]
    distinct = {name for run in figures for name in without_twins(run)}
    names = [key for key in figures[0] if key in distinct and "/" not in key and key not in (metric, "loss_known")]
    names.sort(key=lambda name: name != headline)
    groups = by_arch(results)
    return [
        {"name": name.replace("_", " "),
         "values": [measured(groups[row["arch"]][0], name).mean([run["test"][name] for run in groups[row["arch"]]])
                    for row in rows]}
        for name in names
    ]  # fmt: skip
