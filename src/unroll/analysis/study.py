"""A study on a page: what was searched, the best of it, its figures, and whether there is a cliff."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from unroll.analysis.page import write_page
from unroll.analysis.reach import distances, sentences
from unroll.analysis.trials import TRUNCATION, Study, load_study
from unroll.analysis.verdict import significant
from unroll.metrics import digits
from unroll.outputs import write_text

SAMPLERS = {
    "tpe": "chosen by a tree-structured Parzen estimator", "random": "chosen at random", "grid": "the points of a grid",
    "gp": "chosen by a Gaussian process", "qmc": "the points of a quasi-random sequence",
}  # fmt: skip
PRUNERS = {"median": "by the median", "hyperband": "by Hyperband", "none": ""}
CLOSE = 0.05  # of a range: so near to an end of it is at it


def draw_study(folder: Path) -> None:
    """Add the figures of a study to its folder, as SVG.

    Args:
        folder: see :func:`~unroll.analysis.trials.load_study`.

    Raises:
        BadInput: the folder holds something else.
    """
    from unroll.analysis import plots

    study = load_study(folder)
    for name, figure in _figures(study, plots.colours([study.archs])).items():
        write_text(folder / f"{name}.svg", figure)


def study_part(study: Study, palette: dict[str, str]) -> dict[str, Any]:
    """What a page shows of a study, for ``study.html.j2``.

    Args:
        study: see :func:`~unroll.analysis.trials.load_study`.
        palette: colour of every architecture.
    """
    return {
        "question": study.told["question"], "experiment": study.told["experiment"], "name": study.told["name"],
        "effort": _effort(study.told), "spent": _spent(study), "best": study.told["best"], "rows": _rows(study),
        "colours": palette,
        "figures": _figures(study, palette), "sentences": sentences(study), "caveats": _caveats(study),
        "found": _found(study), "ends": _ends(study),
    }  # fmt: skip


def write_study_page(folder: Path, out: Path) -> Path:
    """Write a page with a study alone.

    Args:
        folder: see :func:`~unroll.analysis.trials.load_study`.
        out: HTML file.

    Raises:
        BadInput: the folder holds something else.
    """
    from unroll.analysis import plots

    study = load_study(folder)
    return write_page("study_page.html.j2", out, study=study_part(study, plots.colours([study.archs])))


def _figures(study: Study, palette: dict[str, str]) -> dict[str, str]:
    """Every figure that a study has something to show in, by name."""
    from unroll.analysis import study_plots, truncation_plots

    drawn: dict[str, str] = {}
    if any(study.complete(arch) for arch in study.archs):
        drawn["history"] = study_plots.history(study, palette)
    if study.told["importances"]:
        drawn["importances"] = study_plots.importances(study)
    cells = truncation_plots.cells_of(study)
    if any(map(any, cells)):
        drawn["map"] = truncation_plots.heat_map(study, cells)
    for cost in study_plots.COSTS:
        if any(cost in trial.fronts for trial in study.trials):
            drawn[f"front-{cost}"] = study_plots.front(study, palette, cost)
    if any(len(study.judged(arch)) > 1 for arch in study.archs):
        drawn["expected-best"] = study_plots.expected(study, palette)
    if distances(study):
        drawn["reach"] = truncation_plots.reach(study, palette)
    return drawn


def _effort(told: dict[str, Any]) -> str:
    """What the study has spent, and how."""
    ends = {"COMPLETE": "complete", "PRUNED": f"ended early {PRUNERS[told['pruner']]}", "FAIL": "failed",
            "TOO_COSTLY": "not trained, since they would cost more than they may"}  # fmt: skip
    counts = [f"{count} {ends[state]}" for state, count in told["states"].items() if count]
    archs = told["space"].get("arch", {}).get("choices", [])
    matched = (f" Hidden sizes are those with which all come to as many {told['match']} as {archs[0]}."
               if told["match"] and len(archs) > 1 else "")  # fmt: skip
    validations = f"{told['validations']} validation{'s' * (told['validations'] > 1)}"
    return (f"{sum(told['states'].values())} trials of at most {told['tokens']:,} tokens and {validations} each, "
            f"{SAMPLERS[told['sampler']]}: {', '.join(counts)}."
            f"{matched}")  # fmt: skip


def _spent(study: Study) -> list[dict[str, Any]]:
    """What each architecture was given: trials, how many were complete, and the tokens that all of them read."""
    rows = []
    for arch in study.archs:
        trials = [trial for trial in study.trials if trial.arch == arch]
        tokens = sum(trial.tokens for trial in trials)
        complete = len(study.complete(arch))
        rows.append({"arch": arch, "trials": len(trials), "complete": complete, "tokens": f"{tokens:,}"})
    return rows


def _rows(study: Study) -> list[dict[str, Any]]:
    """What was searched, key by key, with the values of the best trial of each architecture; last, how good it was."""
    best = study.told["best"]
    rows = [{"key": key, "searched": _searched(part), "best": [_plain(trial["values"].get(key, ""))
                                                              for trial in best.values()]}
            for key, part in study.told["space"].items() if key != "arch"]  # fmt: skip
    if study.told["match"]:
        sizes = {trial.number: trial.hidden_size for trial in study.trials}
        rows.append({"key": "hidden size, matched", "best": [_plain(sizes[trial["trial"]]) for trial in best.values()]})
    rows.append({"key": "parameters", "best": [f"{trial['parameters']:,}" for trial in best.values()]})
    values = [trial["value"] for trial in best.values()]
    rows.append({"key": f"validation {study.metric}", "is_result": True,
                 "best": [f"{value:.{significant(value, digits(values[0]))}f}" for value in values]})  # fmt: skip
    return rows


def _searched(part: dict[str, Any]) -> str:
    """A key's choices or range, in words."""
    if "choices" in part:
        words = ", ".join(_plain(choice) for choice in part["choices"])
    else:
        words = f"{part['low']:g} to {part['high']:g}"
        words += ", by its logarithm" if part.get("log") else f" by {part['step']:g}" if part.get("step") else ""
    conditions = [f"{key}={_plain(wanted)}" for key, wanted in part.get("when", {}).items()]
    return f"{words} (where {' and '.join(conditions)})" if conditions else words


def _plain(value: Any) -> str:
    """A value as it is written in a table."""
    if isinstance(value, list):
        return " or ".join(map(_plain, value))
    return "null" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


def _caveats(study: Study) -> list[str]:
    """Why what is seen of k may not be laid to k alone: other keys differ, too, and not all trials are seen."""
    others = [key for key in study.told["space"] if key not in ("arch", "seed", TRUNCATION)]
    told = [f"Trials differ in {' and in '.join(others)}, too, as the sampler chose"] if others else []
    if study.told["states"].get("PRUNED"):
        told.append("Trials that were ended early are left out, and their k may be the reason that they were")
    return told if distances(study) else []


def _found(study: Study) -> str:
    """In what the best of the architectures differ, which all that is compared of them is at."""
    best = {arch: trial["values"] for arch, trial in study.told["best"].items()}
    keys = [key for key in study.told["space"] if key != "arch"
            and len({_plain(values.get(key, "")) for values in best.values()}) > 1]  # fmt: skip
    told = [f"{key} ({', '.join(f'{arch} {_plain(values[key])}' for arch, values in best.items() if key in values)})"
            for key in keys]  # fmt: skip
    return (
        f"Each architecture has the settings that the study found best for it; they differ in {'; '.join(told)}."
        if told
        else ""
    )


def _ends(study: Study) -> list[str]:
    """A sentence for each architecture whose best is at an end of what was searched: beyond it may be a better one."""
    told = []
    for arch, trial in study.told["best"].items():
        keys = [f"{key} ({_plain(trial['values'][key])})" for key, part in study.told["space"].items()
                if key in trial["values"] and _is_end(trial["values"][key], part)]  # fmt: skip
        if keys:
            told.append(f"The best {arch} is at an end of what was searched in {' and in '.join(keys)}; beyond it may "
                        "be a better one.")  # fmt: skip
    return told


def _is_end(value: Any, part: dict[str, Any]) -> bool:
    """Whether a number is the least or the greatest that was searched, or close to it; 0 and all steps are no end."""
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
