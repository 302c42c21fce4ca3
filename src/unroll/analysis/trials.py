"""Trials and summary of a study, read from the folder that ``unroll tune`` wrote."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from unroll.analysis.rows import Row
from unroll.analysis.study_file import checked
from unroll.errors import BadInput
from unroll.metrics import Metric
from unroll.outputs import MISREAD, from_json
from unroll.tasks.registry import metric_of

TRUNCATION = "training.truncation_length"


@dataclass(frozen=True)
class FinishedTrial:
    """One trial.

    Args:
        number: its number in the study, from 0.
        state: ``COMPLETE``, ``PRUNED``, ``TOO_COSTLY`` or ``FAIL``.
        arch: its architecture.
        values: values of the keys that were searched in it.
        tokens: tokens read in training.
        value: best validation figure, or the last one of a pruned trial; None if it has none.
        parameters: number of parameters; None if the network was not built.
        hidden_size: hidden size as trained; None if the network has none or was not built.
        tokens_per_second: speed in training; None if it was not measured.
        accuracies: validation accuracy at the probed tokens of each group.
        fronts: the costs, ``parameters`` and ``time``, for which the trial is on the Pareto front.
    """

    number: int
    state: str
    arch: str
    values: Row
    tokens: int
    value: float | None
    parameters: int | None
    hidden_size: int | None
    tokens_per_second: float | None
    accuracies: dict[str, float]
    fronts: set[str]


@dataclass(frozen=True)
class StudyResults:
    """A study.

    Args:
        summary: content of ``study.json``.
        trials: all trials, ordered by number.
        probe: the probe that groups tokens for separate accuracies; None if there is no probe.
        scale: metric by which trials are judged.
    """

    summary: Row
    trials: list[FinishedTrial]
    probe: str | None
    scale: Metric

    @property
    def metric(self) -> str:
        """Name of the metric by which trials are judged."""
        return str(self.summary["metric"])

    @property
    def lower(self) -> bool:
        """Whether lower is better."""
        return bool(self.summary["mode"] == "min")

    @property
    def archs(self) -> list[str]:
        """Architectures that were tried, in the order of the space."""
        return list(dict.fromkeys([*self.choices("arch"), *(trial.arch for trial in self.trials)]))

    def choices(self, key: str) -> list[Any]:
        """Choices of a categorical key, numbers in order and None (all steps) last; empty for other keys."""
        choices = self.summary["space"].get(key, {}).get("choices", [])
        if not all(isinstance(choice, int | float | None) for choice in choices):
            return list(choices)
        return sorted(choices, key=lambda choice: math.inf if choice is None else choice)

    def complete(self, arch: str) -> list[FinishedTrial]:
        """Complete trials of an architecture."""
        return [trial for trial in self.trials if trial.state == "COMPLETE" and trial.arch == arch]

    def judged(self, arch: str) -> list[tuple[float, float]]:
        """Best-case and worst-case figures of an architecture's trials, including failed and pruned ones.

        The final figures of failed and pruned trials are unknown, but omitting them would overstate the typical trial.
        In the best case, each counts as the worst complete trial, or its last validation if that is better. In the
        worst case, it counts as its last validation, or without one as the worst of all.
        """
        mine = [trial for trial in self.trials if trial.arch == arch]
        complete = [trial.value for trial in self.complete(arch) if trial.value is not None]
        if not complete:
            return []
        ended = [trial.value for trial in mine if trial.state in ("PRUNED", "FAIL")]
        last = self.worst([trial.value for trial in mine if trial.value is not None])
        survived = self.worst(complete)
        bounds = [(survived, last) if value is None else (self.best([value, survived]), value) for value in ended]
        return [*((value, value) for value in complete), *bounds]

    def best(self, values: Sequence[float]) -> float:
        """The best of several figures."""
        return min(values) if self.lower else max(values)

    def worst(self, values: Sequence[float]) -> float:
        """The worst of several figures."""
        return max(values) if self.lower else min(values)


def load_study(folder: Path) -> StudyResults:
    """Read a study's folder.

    Args:
        folder: with ``study.json``, ``trials.csv`` and ``best-<arch>.yaml``.

    Raises:
        BadInput: a file is missing or invalid.
    """
    try:
        summary = checked(from_json((folder / "study.json").read_bytes()))
        archs = list(summary["best"])
        best = yaml.safe_load((folder / f"best-{archs[0]}.yaml").read_text(encoding="utf-8"))
        with (folder / "trials.csv").open(encoding="utf-8", newline="") as file:
            trials = [_trial(row, summary["space"], archs) for row in csv.DictReader(file)]
        scale = metric_of(best["task"]["name"], summary["metric"])
        trials.sort(key=lambda trial: trial.number)
        _check_best(summary, trials)
        return StudyResults(summary, trials, best["data"]["reader"].get("probe"), scale)
    except FileNotFoundError as error:
        raise BadInput(f"{error.filename} does not exist; run unroll tune again to write it.") from None
    except (OSError, yaml.YAMLError, csv.Error, *MISREAD) as error:
        raise BadInput(f"{folder} was not written by unroll tune, or is damaged ({type(error).__name__}: {error}); "
                       "remove it, and run unroll tune again.") from None  # fmt: skip


def _check_best(summary: Row, trials: Sequence[FinishedTrial]) -> None:
    """Check that the best trials are among the trials.

    Raises:
        ValueError: one is not.
    """
    numbers = {trial.number for trial in trials}
    for arch, best in summary["best"].items():
        if best["trial"] not in numbers:
            raise ValueError(f"the best trial of {arch} is not in trials.csv")


def _trial(row: dict[str, str], space: dict[str, Row], archs: list[str]) -> FinishedTrial:
    """A trial from a row of ``trials.csv``. If the space has no architectures, all trials have the single best one."""
    values = {key: _value(row[key], part) for key, part in space.items() if _is_searched(key, row, space)}
    prefix = "val/accuracy/"
    return FinishedTrial(
        number=int(row["trial"]), state=row["state"], arch=str(values.get("arch", archs[0])), values=values,
        tokens=int(row.get("tokens") or 0), value=_number(row["value"]),
        parameters=int(row["parameters"]) if row["parameters"] else None,
        hidden_size=int(row["hidden_size"]) if row["hidden_size"] else None,
        tokens_per_second=_number(row["tokens_per_second"]) or None,
        accuracies={key.removeprefix(prefix): value for key, text in row.items()
                    if key.startswith(prefix) and (value := _number(text)) is not None},
        fronts={cost for cost in ("parameters", "time") if row[f"front_{cost}"] == "1"},
    )  # fmt: skip


def _is_searched(key: str, row: dict[str, str], space: dict[str, Row]) -> bool:
    """Whether a key was searched in a trial. An empty cell means no, unless null is a choice whose conditions hold."""
    text = row.get(key)
    part = space[key]
    if text or text is None or None not in part.get("choices", []):
        return bool(text)
    return all(
        _is_searched(other, row, space)
        and _value(row[other], space[other]) in (wanted if isinstance(wanted, list) else [wanted])
        for other, wanted in part.get("when", {}).items()
    )


def _value(text: str, part: Row) -> Any:
    if "choices" not in part:
        return float(text)
    return {"" if choice is None else str(choice): choice for choice in part["choices"]}[text]


def _number(text: str) -> float | None:
    """A finite number, or None."""
    return float(text) if text and math.isfinite(float(text)) else None
