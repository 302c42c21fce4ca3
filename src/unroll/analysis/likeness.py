"""Whether two figures are comparable: metric, data, evaluation settings, budget and size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from unroll.analysis.rows import Entry
from unroll.analysis.samples import figure_of
from unroll.errors import BadInput

LAST_STEP = 1.01  # tolerated ratio of tokens at equal budgets: a run ends with the step that exceeds its budget
MATCHED = 1.03  # tolerated ratio of parameters after matching: hidden sizes are whole numbers
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
WINDOW = "training.truncation_length"  # in evaluation, it changes a figure only by rounding

Names = tuple[str, str]


@dataclass(frozen=True)
class Basis:
    """What a figure depends on, besides the architecture.

    Args:
        task: name of the task; empty if not recorded.
        split: the split on which the figure was measured.
        metric: the metric by which architectures are compared.
        vocabulary: digest of the vocabulary; None if not recorded.
        data: digest of each recorded split.
        measured_on: digests of the targets' vocabulary and of records and targets, which do not depend on the
            vocabulary of the input; empty if the figure does, or if not recorded.
        evaluation: settings with which the split was read; None if not recorded.
        order: settings that, with the seed, determine the order of the training data.
        tokens: mean number of tokens read in training.
        parameters: mean number of parameters; 0 for an n-gram model.
    """

    task: str
    split: str
    metric: str
    vocabulary: str | None
    data: dict[str, str]
    measured_on: dict[str, str]
    evaluation: dict[str, Any] | None
    order: dict[str, Any]
    tokens: float
    parameters: float


def basis_of(runs: Sequence[Entry], split: str, metric: str) -> Basis:
    """The basis of runs of one architecture that differ only in their seeds.

    Args:
        runs: their entries, as written by ``train`` or ``evaluate``.
        split: the split on which they are judged.
        metric: the metric by which they are compared.
    """
    first = runs[0]
    return Basis(
        task=first.get("task") or first["order"].get("task", ""), split=split, metric=metric,
        vocabulary=first.get("vocabulary"),
        data={name: digest for name, digest in first.get("data", {}).items() if digest},
        measured_on=dict(first.get("measured_on", {})), evaluation=first.get("evaluation"), order=dict(first["order"]),
        tokens=fmean(run["tokens"] for run in runs), parameters=fmean(run["parameters"] for run in runs),
    )  # fmt: skip


def bases(where: str, groups: Mapping[str, Sequence[Entry]]) -> dict[str, Basis]:
    """The basis of every architecture of an experiment, checked to be comparable.

    Args:
        where: the file or folder of the runs, for messages.
        groups: runs of each architecture, as written by ``evaluate``.

    Raises:
        BadInput: two runs are not comparable, or two seeds of an architecture used different data.
    """
    every = [(f"{run['arch']}-{run['seed']}", basis_of([run], run["split"], figure_of(run)))
             for runs in groups.values() for run in runs]  # fmt: skip
    for name, basis in every[1:]:
        refuse_unlike((f"{where}: {every[0][0]}", name), every[0][1], basis)
    for runs in groups.values():
        refuse_other_data(where, [run.get("data", {}) for run in runs])
    return {arch: basis_of(runs, runs[0]["split"], figure_of(runs[0])) for arch, runs in groups.items()}


def refuse_other_data(where: str, data: Sequence[Mapping[str, str]]) -> None:
    """Refuse to average seeds of one architecture that used different data.

    Args:
        where: the file or folder of the runs, for messages.
        data: digests of the splits of each run.

    Raises:
        BadInput: their data differ.
    """
    for split in ("train", "validation", "test"):
        if len({digests[split] for digests in data if digests.get(split)}) > 1:
            raise BadInput(f"{where} has runs of one architecture whose {SPLITS[split]} data differ; keep the runs of "
                           "one prepared corpus, or train again.")  # fmt: skip


def refuse_unlike(names: Names, a: Basis, b: Basis) -> None:
    """Refuse two figures that are not comparable.

    Args:
        names: what the figures belong to, for messages.
        a, b: their bases. What was not recorded is not checked here; :func:`unknown` reports it.

    Raises:
        BadInput: task, split, metric, vocabulary, data or evaluation settings differ.
    """
    start = f"{names[0]} and {names[1]} cannot be compared:"
    for label, one, other in (("task", a.task, b.task), ("split", a.split, b.split), ("metric", a.metric, b.metric)):
        if one and other and one != other:
            raise BadInput(f"{start} their {label} is {one} and {other}; name runs of the same {label}.")
    contents = _contents(a, b)
    if _differ(*contents, "vocabulary"):
        raise BadInput(f"{start} their vocabularies differ; train both on the same corpus.")
    if _differ(*contents, a.split):
        raise BadInput(f"{start} their {a.split} data differ; evaluate both on the same prepared data.")
    for key, one, other in _unlike_settings(a, b):
        if key != WINDOW:
            raise BadInput(f"{start} {key} is {one} in {names[0]} and {other} in {names[1]}, which changes the "
                           "figures; train both with the same value.")  # fmt: skip


def _unlike_settings(a: Basis, b: Basis) -> Iterator[tuple[str, Any, Any]]:
    """Evaluation settings that differ, if both were recorded."""
    if a.evaluation is not None and b.evaluation is not None:
        for key in dict.fromkeys([*a.evaluation, *b.evaluation]):
            one, other = a.evaluation.get(key), b.evaluation.get(key)
            if one != other:
                yield key, one, other


def _contents(a: Basis, b: Basis) -> tuple[Mapping[str, str], Mapping[str, str]]:
    """Digests of the vocabulary and the splits of both sides: of targets and records alone, if both have them."""
    if a.measured_on and b.measured_on:
        return a.measured_on, b.measured_on
    one, other = ({"vocabulary": side.vocabulary} if side.vocabulary else {} for side in (a, b))
    return {**a.data, **one}, {**b.data, **other}


def _differ(a: Mapping[str, str], b: Mapping[str, str], split: str) -> bool:
    return split in a and split in b and a[split] != b[split]


def unknown(a: Basis, b: Basis) -> str | None:
    """A sentence on what could not be checked because it was not recorded; None if everything was."""
    lacking = [f"{SPLITS[split]} data" for split in dict.fromkeys(("train", "validation", a.split))
               if not (split in a.data and split in b.data)]  # fmt: skip
    if a.evaluation is None or b.evaluation is None:
        lacking.append("evaluation settings")
    if not lacking:
        return None
    return (f"not checked: an older version wrote these figures without their {', '.join(lacking)}; to be sure that "
            "they are comparable, train and evaluate again")  # fmt: skip


def caveats(names: Names, a: Basis, b: Basis) -> Iterator[str]:
    """Sentences on what makes a comparison unequal: training data, budgets, sizes or evaluation windows.

    Args:
        names: names of the two sides.
        a, b: their bases.
    """
    for split, use in (("train", "learn from"), ("validation", "choose their weights on")):
        if split != a.split and _differ(*_contents(a, b), split):
            yield f"{SPLITS[split]} data differ: {names[0]} and {names[1]} did not {use} the same {SPLITS[split]} split"
    if max(a.tokens, b.tokens) > LAST_STEP * min(a.tokens, b.tokens):
        yield (f"budgets differ: {names[0]} has read {a.tokens:,.0f} tokens and {names[1]} {b.tokens:,.0f}, so they "
               "are not compared at equal tokens")  # fmt: skip
    if max(a.parameters, b.parameters) > MATCHED * min(a.parameters, b.parameters):
        yield (
            f"sizes differ: {names[0]} has {_size(a)} and {names[1]} {_size(b)}, so they are not compared at equal size"
        )
    for key, one, other in _unlike_settings(a, b):
        if key == WINDOW:
            yield (f"evaluation windows differ: {_steps(one)} in {names[0]} and {_steps(other)} in {names[1]}; the "
                   "state is carried from one to the next, so this changes figures only by rounding")  # fmt: skip


def _size(side: Basis) -> str:
    return f"{side.parameters:,.0f} parameters" if side.parameters else "no parameters (it counts)"


def _steps(window: int | None) -> str:
    return "whole sequences" if window is None else f"{window} steps"
