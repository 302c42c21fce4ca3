"""Whether two figures answer one question: what was measured, on which data, with which settings, at which cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from unroll.analysis.samples import figure_of
from unroll.errors import BadInput

LAST_STEP = 1.01  # by which factor tokens may differ at one budget, since a run ends with the step that spends it
MATCHED = 1.03  # and parameters where hidden sizes, which are whole numbers, were solved to have as many
SPLITS = {"train": "training", "validation": "validation", "test": "test"}
WINDOW = "training.truncation_length"  # of evaluation: changes a figure by rounding alone

Names = tuple[str, str]


@dataclass(frozen=True)
class Basis:
    """What a figure was measured on, and how: everything beside the architecture that it depends on.

    Args:
        task: what was learned; empty where it was not recorded.
        split: on which the figure was measured.
        metric: that architectures are compared by.
        vocabulary: its digest; None where it was not recorded.
        data: digest of each split; one that was not recorded is missing.
        evaluation: settings with which the split was read, by their keys; None where they were not recorded.
        order: what decides, with the seed, in which order training has read its data, by keys of settings.
        tokens: that a run has read in training, on average.
        parameters: that a network has, on average; 0 for a model that counts.
    """

    task: str
    split: str
    metric: str
    vocabulary: str | None
    data: dict[str, str]
    evaluation: dict[str, Any] | None
    order: dict[str, Any]
    tokens: float
    parameters: float


def basis_of(runs: Sequence[Mapping[str, Any]], split: str, metric: str) -> Basis:
    """The basis of runs of one architecture, which differ in their seeds alone.

    Args:
        runs: what ``train`` or ``evaluate`` wrote of each.
        split: on which they are judged.
        metric: that they are compared by.
    """
    first = runs[0]
    return Basis(
        task=first.get("task") or first["order"].get("task", ""), split=split, metric=metric,
        vocabulary=first.get("vocabulary"),
        data={name: digest for name, digest in first.get("data", {}).items() if digest},
        evaluation=first.get("evaluation"), order=dict(first["order"]),
        tokens=fmean(run["tokens"] for run in runs), parameters=fmean(run["parameters"] for run in runs),
    )  # fmt: skip


def bases(where: str, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> dict[str, Basis]:
    """The basis of every architecture of one experiment, all alike.

    Args:
        where: the file or folder that has the runs.
        groups: runs of each architecture, as ``evaluate`` wrote them.

    Raises:
        BadInput: two runs do not measure one thing, or two seeds of an architecture did not learn from the same data.
    """
    every = [(f"{run['arch']}-{run['seed']}", basis_of([run], run["split"], figure_of(run)))
             for runs in groups.values() for run in runs]  # fmt: skip
    for name, basis in every[1:]:
        refuse_unlike((f"{where}: {every[0][0]}", name), every[0][1], basis)
    for runs in groups.values():
        refuse_other_data(where, [run.get("data", {}) for run in runs])
    return {arch: basis_of(runs, runs[0]["split"], figure_of(runs[0])) for arch, runs in groups.items()}


def refuse_other_data(where: str, data: Sequence[Mapping[str, str]]) -> None:
    """Refuse seeds of one architecture that did not learn from the same data: they cannot be averaged.

    Args:
        where: the file or folder that has the runs.
        data: digest of each split, run by run.

    Raises:
        BadInput: their data differ.
    """
    for split in ("train", "validation", "test"):
        if len({digests[split] for digests in data if digests.get(split)}) > 1:
            raise BadInput(f"{where} has runs of one architecture whose {SPLITS[split]} data differ; keep those of one "
                           "prepared corpus, or train again.")  # fmt: skip


def refuse_unlike(names: Names, a: Basis, b: Basis) -> None:
    """Refuse two figures that do not measure one thing.

    Args:
        names: what they are figures of.
        a, b: on what each was measured. What was not recorded is not refused: :func:`unknown` states it.

    Raises:
        BadInput: task, split, metric, vocabulary, data or evaluation settings differ.
    """
    start = f"{names[0]} and {names[1]} cannot be compared:"
    for label, one, other in (("task", a.task, b.task), ("split", a.split, b.split),
                              ("metric", a.metric, b.metric)):  # fmt: skip
        if one and other and one != other:
            raise BadInput(f"{start} their {label} is {one} and {other}; name two sides of one.")
    if a.vocabulary and b.vocabulary and a.vocabulary != b.vocabulary:
        raise BadInput(f"{start} their vocabularies differ; train on one corpus.")
    if _differ(a.data, b.data, a.split):
        raise BadInput(f"{start} their {a.split} data differ, so the figures measure two things; evaluate both on the "
                       "same prepared data.")  # fmt: skip
    for key, one, other in _unlike_settings(a, b):
        if key != WINDOW:
            raise BadInput(f"{start} {key} is {one} in {names[0]} and {other} in {names[1]}, which changes the "
                           "figures; train both with one value.")  # fmt: skip


def _unlike_settings(a: Basis, b: Basis) -> Iterator[tuple[str, Any, Any]]:
    """Settings with which two splits were read unlike, where those of both were recorded."""
    if a.evaluation is not None and b.evaluation is not None:
        for key in dict.fromkeys([*a.evaluation, *b.evaluation]):
            one, other = a.evaluation.get(key), b.evaluation.get(key)
            if one != other:
                yield key, one, other


def _differ(a: Mapping[str, str], b: Mapping[str, str], split: str) -> bool:
    return split in a and split in b and a[split] != b[split]


def unknown(a: Basis, b: Basis) -> str | None:
    """One sentence on what was not recorded, and so cannot be checked; None where everything was."""
    lacking = [f"{SPLITS[split]} data" for split in dict.fromkeys(("train", "validation", a.split))
               if not (split in a.data and split in b.data)]  # fmt: skip
    if a.evaluation is None or b.evaluation is None:
        lacking.append("evaluation settings")
    if not lacking:
        return None
    return (f"not checked: an older version wrote these figures and did not record their {', '.join(lacking)}; to be "
            "sure that they were measured alike, train and evaluate again")  # fmt: skip


def caveats(names: Names, a: Basis, b: Basis) -> Iterator[str]:
    """What makes a comparison unfair, a sentence each: other training data, budgets, sizes or evaluation windows.

    Args:
        names: of the two sides.
        a, b: on what the figures of each were measured.
    """
    for split, use in (("train", "learn from"), ("validation", "choose their weights on")):
        if split != a.split and _differ(a.data, b.data, split):
            yield f"{SPLITS[split]} data differ: {names[0]} and {names[1]} did not {use} the same {SPLITS[split]} split"
    if max(a.tokens, b.tokens) > LAST_STEP * min(a.tokens, b.tokens):
        yield (f"budgets differ: {names[0]} has read {a.tokens:,.0f} tokens and {names[1]} {b.tokens:,.0f}, so they "
               "are not compared at equal tokens")  # fmt: skip
    if max(a.parameters, b.parameters) > MATCHED * min(a.parameters, b.parameters):
        yield (f"sizes differ: {names[0]} has {_size(a)} and {names[1]} {_size(b)}, so they are not compared at equal "
               "size")  # fmt: skip
    for key, one, other in _unlike_settings(a, b):
        if key == WINDOW:
            yield (f"evaluation windows differ: {_steps(one)} in {names[0]} and {_steps(other)} in {names[1]}; the "
                   "state is carried from one to the next, so this changes figures by rounding alone")  # fmt: skip


def _size(side: Basis) -> str:
    return f"{side.parameters:,.0f} parameters" if side.parameters else "no parameters (it counts)"


def _steps(window: int | None) -> str:
    return "whole sequences" if window is None else f"{window} steps"
