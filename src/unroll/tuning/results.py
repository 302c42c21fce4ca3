"""Results of a study: all trials, the best of each arch, Pareto fronts of quality and cost, and importances."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unroll.errors import BadInput
from unroll.metrics import shown
from unroll.outputs import read_json, to_json, whole
from unroll.tuning.job import Job, monitored
from unroll.tuning.slots import ERROR, EXCESS, Slot
from unroll.tuning.study import Study

RETRAIN = "retrain"  # folder of the settings of the runs to retrain, <arch>/<seed>.yaml
FILES = ("study.json", "trials.csv", "*.yaml", "*.svg", "index.html", RETRAIN)  # in the folder of a study
Row = dict[str, Any]  # of a table of trials, by column
ENDS = {"COMPLETE": "complete", "PRUNED": "pruned", "TOO_COSTLY": "too costly", "FAIL": "failed"}


@dataclass(frozen=True)
class Result:
    """The results of a study.

    Args:
        name: name of the study, with its digest.
        metric: the monitored metric, at the best validation of each trial.
        maximize: whether higher values are better.
        slots: all trials.
        best: the best trial of each arch.
        importances: share of the variance of the quality that each key explains.
    """

    name: str
    metric: str
    maximize: bool
    slots: list[Slot]
    best: dict[str, Slot]
    importances: dict[str, float]

    def figures(self) -> dict[str, float]:
        """Figures for MLflow: the best value of each arch, numbers of trials, and importances."""
        trials = {f"trials/{state.lower()}": float(count) for state, count in states(self.slots).items()}
        best = {f"best/{arch}": slot.value for arch, slot in self.best.items() if slot.value is not None}
        return {**trials, **best, **{f"importance/{key}": share for key, share in self.importances.items()}}

    def summary(self) -> str:
        """A summary with one line for the best trial of each arch."""
        ends = [f"{count} {ENDS[state]}" for state, count in states(self.slots).items() if count]
        lines = [f"{self.name}, trials: {', '.join(ends)}", *self.spent()]
        for arch, slot in self.best.items():
            values = "  ".join(f"{key}={_plain(value)}" for key, value in slot.values.items() if key != "arch")
            figure = f"{self.metric} {shown(slot.value or 0.0)}"
            lines.append(f"  {arch:10} validation {figure}  trial {slot.number}: {values}")
        return "\n".join(lines)

    def spent(self) -> list[str]:
        """One line per arch with the trials and tokens that it got; empty for a single arch."""
        groups: dict[str, list[Slot]] = {}
        for slot in self.slots:
            groups.setdefault(str(slot.values.get("arch", "")), []).append(slot)
        if len(groups) < 2:
            return []
        return [
            f"  {arch:10} trials: {len(slots)}, complete: {len(complete(slots))}, "
            f"{sum(slot.tokens for slot in slots):,} tokens read"
            for arch, slots in groups.items()
        ]

    def lack(self) -> str:
        """The error message for a study without a complete trial."""
        reasons = [slot.notes[key] for slot in self.slots for key in (ERROR, EXCESS) if key in slot.notes]
        return f"No trial of {self.name} is complete" + (f"; the last one: {reasons[-1]}" if reasons else ".")


def results_of(job: Job, study: Study) -> Result:
    """Read the results of a study."""
    metric = monitored(job.first)
    slots = study.slots()
    best: dict[str, Slot] = {}
    for slot in sorted(complete(slots), key=lambda slot: (1 if metric.lower else -1) * (slot.value or 0.0)):
        best.setdefault(job.settings.run(slot.values).arch.name, slot)
    return Result(job.name, metric.name, not metric.lower, slots, best, study.importances())


def states(slots: Sequence[Slot]) -> dict[str, int]:
    """Number of trials by the state in which they ended."""
    return {state: sum(slot.state == state for slot in slots) for state in ENDS}


def complete(slots: Sequence[Slot]) -> list[Slot]:
    """Trials that have used their whole budget."""
    return [slot for slot in slots if slot.state == "COMPLETE" and slot.value is not None]


def front(points: Sequence[tuple[float, float]]) -> list[int]:
    """Indices of the Pareto front: points that no other point dominates.

    Args:
        points: pairs of quality and cost; lower is better for both.
    """
    return [
        index
        for index, (quality, cost) in enumerate(points)
        if not any(q <= quality and c <= cost and (q, c) != (quality, cost) for q, c in points)
    ]


def write_results(job: Job, result: Result, out: Path, draw: Callable[[Path], None]) -> None:
    """Write ``trials.csv``, ``study.json``, ``best-<arch>.yaml`` and the settings of the runs to retrain.

    Args:
        job: the study.
        result: its results.
        out: output folder.
        draw: adds figures to the folder.
    """
    rows = [_row(slot) for slot in result.slots]
    _mark_fronts(rows, result)
    keys = list(dict.fromkeys(["trial", "state", *job.settings.study.space, *(key for row in rows for key in row)]))
    text = io.StringIO()
    writer = csv.DictWriter(text, keys, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    with whole(out, replaces=FILES) as folder:
        folder.mkdir()
        (folder / "trials.csv").write_text(text.getvalue(), encoding="utf-8")
        (folder / "study.json").write_text(to_json(_content(job, result)), encoding="utf-8")
        for arch, slot in result.best.items():
            (folder / f"best-{arch}.yaml").write_text(job.space.run(slot.values).dump(), encoding="utf-8")
            again = job.space.run(slot.values, retrained=True)
            for seed in job.settings.study.retrain.seeds:
                retrained = again.model_copy(update={"seed": seed})
                target = folder / _retrained(arch, seed)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_text(retrained.dump(), encoding="utf-8")
        draw(folder)


def refuse_another(job: Job, out: Path) -> None:
    """Refuse to overwrite the results of another study.

    Raises:
        BadInput: the folder contains another study.
    """
    there = written_name(out).rpartition("-")[0]  # without its digest
    if there not in ("", job.settings.study.name):
        raise BadInput(f"{out} contains the study {there}; choose another folder with --out, or delete it to "
                       f"replace it with {job.settings.study.name}.")  # fmt: skip


def written_name(out: Path) -> str:
    """Name, with its digest, of the study in a folder; empty if there is no readable one."""
    try:
        return str(read_json(out / "study.json", "unroll tune writes it again")["name"])
    except (BadInput, KeyError):
        return ""


def is_written(job: Job, out: Path) -> bool:
    """Whether a folder has the complete results of a finished study, including settings of the runs to retrain."""
    path, seeds = out / "study.json", job.settings.study.retrain.seeds
    try:
        found = read_json(path, "unroll tune writes it again")
        names = [
            name for arch in found["best"] for name in [f"best-{arch}.yaml", *(_retrained(arch, n) for n in seeds)]
        ]
    except (BadInput, KeyError, TypeError):
        return False
    if not all((out / name).is_file() for name in ["trials.csv", *names]):
        return False
    return (found.get("name"), found.get("retrain")) == (job.name, job.settings.study.retrain.model_dump(mode="json"))


def _retrained(arch: str, seed: int) -> str:
    """File with the settings of a run to retrain, in the folder of the study."""
    return f"{RETRAIN}/{arch}/{seed}.yaml"


def _content(job: Job, result: Result) -> dict[str, Any]:
    """Content of ``study.json``."""
    study = job.settings.study
    return {
        "name": result.name, "question": study.question, "experiment": study.experiment or job.first.data.name,
        "metric": result.metric,
        "mode": "max" if result.maximize else "min", "tokens": job.first.training.tokens,
        "validations": job.first.training.validations, "match": study.match,
        "space": {key: part.model_dump(mode="json", exclude_defaults=True) for key, part in study.space.items()},
        "sampler": study.sampler.name, "pruner": study.pruner.name, "retrain": study.retrain.model_dump(mode="json"),
        "states": states(result.slots),
        "best": {arch: {"trial": slot.number, "value": slot.value, "values": slot.values,
                        "parameters": slot.notes["parameters"]} for arch, slot in result.best.items()},
        "importances": result.importances,
        "reports": {slot.number: {str(tokens): value for tokens, value in slot.reports.items()}
                    for slot in result.slots},
    }  # fmt: skip


def _row(slot: Slot) -> Row:
    """A trial as a row of ``trials.csv``."""
    notes = slot.notes
    figures = {f"val/{name}": value for name, value in notes.get("figures", {}).items()}
    return {"trial": slot.number, "state": slot.state, **slot.values, "value": slot.value,
            "seconds": None if slot.seconds is None else round(slot.seconds, 2),
            "tokens": slot.tokens,
            **{key: notes.get(key) for key in ("tokens_per_second", "parameters", "flops", "hidden_size")},
            ERROR: notes.get(ERROR), EXCESS: notes.get(EXCESS), **figures}  # fmt: skip


def _mark_fronts(rows: list[Row], result: Result) -> None:
    """Mark the Pareto fronts of quality and parameters, and of quality and time per token."""
    sign = -1 if result.maximize else 1
    done = [row for row in rows if row["state"] == "COMPLETE"]
    for row in rows:
        row["front_parameters"] = row["front_time"] = 0
    for index in front([(sign * row["value"], row["parameters"]) for row in done]):
        done[index]["front_parameters"] = 1
    timed = [row for row in done if row["tokens_per_second"]]
    for index in front([(sign * row["value"], 1 / row["tokens_per_second"]) for row in timed]):
        timed[index]["front_time"] = 1


def _plain(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
