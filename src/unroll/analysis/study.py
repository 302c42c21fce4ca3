"""The page of a study: search space, best settings, figures, and whether there is a cliff."""

from __future__ import annotations

import math
from pathlib import Path

from unroll.analysis.page import write_page
from unroll.analysis.rows import Row
from unroll.analysis.styles import Styles, assign_styles
from unroll.analysis.trials import TRUNCATION, StudyResults, load_study
from unroll.analysis.truncation import distances, sentences
from unroll.analysis.verdict import significant
from unroll.metrics import digits
from unroll.outputs import write_text

SAMPLERS = {
    "tpe": "chosen by a tree-structured Parzen estimator", "random": "chosen at random", "grid": "the points of a grid",
    "gp": "chosen by a Gaussian process", "qmc": "the points of a quasi-random sequence",
}  # fmt: skip
PRUNERS = {"median": "by the median", "hyperband": "by Hyperband", "none": ""}
CLOSE = 0.05  # share of a range within which a value counts as at its end


def draw_study(folder: Path) -> None:
    """Write the figures of a study to its folder, as SVG.

    Args:
        folder: see :func:`~unroll.analysis.trials.load_study`.

    Raises:
        BadInput: the folder is not a study.
    """
    study = load_study(folder)
    for name, figure in _figures(study, assign_styles([study.archs])).items():
        write_text(folder / f"{name}.svg", figure)


def study_part(study: StudyResults, styles: Styles) -> Row:
    """Variables of ``study.html.j2``.

    Args:
        study: see :func:`~unroll.analysis.trials.load_study`.
        styles: how every architecture is drawn.
    """
    return {
        "question": study.summary["question"], "experiment": study.summary["experiment"], "name": study.summary["name"],
        "effort": _effort(study.summary), "spent": _spent(study), "best": study.summary["best"], "rows": _rows(study),
        "styles": styles,
        "figures": _figures(study, styles), "sentences": sentences(study), "caveats": _caveats(study),
        "found": _found(study), "ends": _ends(study),
    }  # fmt: skip


def write_study_page(folder: Path, out: Path) -> Path:
    """Write the page of a single study.

    Args:
        folder: see :func:`~unroll.analysis.trials.load_study`.
        out: HTML file to write.

    Raises:
        BadInput: the folder is not a study.
    """
    study = load_study(folder)
    return write_page("study_page.html.j2", out, study=study_part(study, assign_styles([study.archs])))


def _figures(study: StudyResults, styles: Styles) -> dict[str, str]:
    """The figures of a study that are not empty, by name."""
    from unroll.analysis import study_plots, truncation_plots

    drawn: dict[str, str] = {}
    if any(study.complete(arch) for arch in study.archs):
        drawn["history"] = study_plots.history(study, styles)
    if study.summary["importances"]:
        drawn["importances"] = study_plots.importances(study)
    cells = truncation_plots.cells_of(study)
    if any(map(any, cells)):
        drawn["map"] = truncation_plots.heat_map(study, cells)
    for cost in study_plots.COSTS:
        if any(cost in trial.fronts for trial in study.trials):
            drawn[f"front-{cost}"] = study_plots.front(study, styles, cost)
    if any(len(study.judged(arch)) > 1 for arch in study.archs):
        drawn["expected-best"] = study_plots.expected(study, styles)
    if distances(study):
        drawn["reach"] = truncation_plots.reach(study, styles)
    return drawn


def _effort(summary: Row) -> str:
    """A sentence on trials, budget and sampler."""
    ends = {"COMPLETE": "complete", "PRUNED": f"ended early {PRUNERS[summary['pruner']]}", "FAIL": "failed",
            "TOO_COSTLY": "not trained, because they exceed a cost limit"}  # fmt: skip
    counts = [f"{count} {ends[state]}" for state, count in summary["states"].items() if count]
    archs = summary["space"].get("arch", {}).get("choices", [])
    matched = (f" Hidden sizes are chosen so that every architecture has as many {summary['match']} as {archs[0]}."
               if summary["match"] and len(archs) > 1 else "")  # fmt: skip
    validations = f"{summary['validations']} validation{'s' * (summary['validations'] > 1)}"
    return (f"{sum(summary['states'].values())} trials of at most {summary['tokens']:,} tokens and {validations} each, "
            f"{SAMPLERS[summary['sampler']]}: {', '.join(counts)}."
            f"{matched}")  # fmt: skip


def _spent(study: StudyResults) -> list[Row]:
    """Trials, complete trials and tokens of each architecture."""
    rows = []
    for arch in study.archs:
        trials = [trial for trial in study.trials if trial.arch == arch]
        tokens = sum(trial.tokens for trial in trials)
        complete = len(study.complete(arch))
        rows.append({"arch": arch, "trials": len(trials), "complete": complete, "tokens": f"{tokens:,}"})
    return rows


def _rows(study: StudyResults) -> list[Row]:
    """The search space, key by key, with the best values of each architecture; the last row is the result."""
    best = study.summary["best"]
    rows = [{"key": key, "searched": _searched(part), "best": [_plain(trial["values"].get(key, ""))
                                                              for trial in best.values()]}
            for key, part in study.summary["space"].items() if key != "arch"]  # fmt: skip
    if study.summary["match"]:
        sizes = {trial.number: trial.hidden_size for trial in study.trials}
        rows.append({"key": "hidden size, matched", "best": [_plain(sizes[trial["trial"]]) for trial in best.values()]})
    rows.append({"key": "parameters", "best": [f"{trial['parameters']:,}" for trial in best.values()]})
    values = [trial["value"] for trial in best.values()]
    rows.append({"key": f"validation {study.metric}", "is_result": True,
                 "best": [f"{value:.{significant(value, digits(values[0]))}f}" for value in values]})  # fmt: skip
    return rows


def _searched(part: Row) -> str:
    """Choices or range of a key, in words."""
    if "choices" in part:
        words = ", ".join(_plain(choice) for choice in part["choices"])
    else:
        words = f"{part['low']:g} to {part['high']:g}"
        words += ", log scale" if part.get("log") else f" in steps of {part['step']:g}" if part.get("step") else ""
    conditions = [f"{key}={_plain(wanted)}" for key, wanted in part.get("when", {}).items()]
    return f"{words} (where {' and '.join(conditions)})" if conditions else words


def _plain(value: object) -> str:
    """A value as printed in a table."""
    if isinstance(value, list):
        return " or ".join(map(_plain, value))
    return "null" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _caveats(study: StudyResults) -> list[str]:
    """Reasons why differences between values of k may have other causes."""
    others = [key for key in study.summary["space"] if key not in ("arch", "seed", TRUNCATION)]
    found = [f"Trials also differ in {' and in '.join(others)}, as chosen by the sampler"] if others else []
    if study.summary["states"].get("PRUNED"):
        found.append("Trials that were ended early are omitted, possibly because of their k")
    return found if distances(study) else []


def _found(study: StudyResults) -> str:
    """A sentence on the settings in which the best trials of the architectures differ."""
    best = {arch: trial["values"] for arch, trial in study.summary["best"].items()}
    keys = [key for key in study.summary["space"] if key != "arch"
            and len({_plain(values.get(key, "")) for values in best.values()}) > 1]  # fmt: skip
    parts = [f"{key} ({', '.join(f'{arch} {_plain(values[key])}' for arch, values in best.items() if key in values)})"
            for key in keys]  # fmt: skip
    return f"Each architecture has the best settings found for it; they differ in {'; '.join(parts)}." if parts else ""


def _ends(study: StudyResults) -> list[str]:
    """A sentence for each architecture whose best trial is at the edge of the search space."""
    found = []
    for arch, trial in study.summary["best"].items():
        keys = [f"{key} ({_plain(trial['values'][key])})" for key, part in study.summary["space"].items()
                if key in trial["values"] and _is_end(trial["values"][key], part)]  # fmt: skip
        if keys:
            found.append(f"The best {arch} is at the edge of the search space in {' and in '.join(keys)}; a wider "
                         "range may contain a better one.")  # fmt: skip
    return found


def _is_end(value: object, part: Row) -> bool:
    """Whether a number is at or near an end of its range; 0 and None (all steps) are not counted as ends."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not value:
        return False
    if "choices" in part:
        numbers = [choice for choice in part["choices"] if isinstance(choice, int | float)]
        return len(numbers) > 2 and value in (
            {min(numbers)} if None in part["choices"] else {min(numbers), max(numbers)}
        )
    scale = math.log if part.get("log") else float
    low, high = scale(part["low"]), scale(part["high"])
    return high > low and not CLOSE < (scale(value) - low) / (high - low) < 1 - CLOSE
