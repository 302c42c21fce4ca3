"""Samples for a verdict, from the entries that ``evaluate`` or ``train`` wrote for runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from unroll.analysis.rows import Entry
from unroll.analysis.verdict import Sample
from unroll.errors import BadInput
from unroll.metrics import ACCURACY_BY_GROUP, Metric, Solved
from unroll.tasks.registry import description_of, metric_of, task_of


def task_by(run: Entry) -> str:
    """The task of an evaluated run. Older figures have it under ``order``, or not at all.

    Raises:
        BadInput: the task cannot be determined.
    """
    return str(run.get("task") or run["order"].get("task") or task_of(run["headline"]))


def figure_of(run: Entry) -> str:
    """The metric by which a run is judged: the one its experiment declares, or the headline of its task."""
    return str(run.get("judged_by") or run["headline"])


def measured(run: Entry, name: str) -> Metric:
    """A metric of an evaluated run, with the number of items that it was measured over.

    Raises:
        BadInput: the task does not report the metric.
    """
    return replace(metric_of(task_by(run), name), items=run.get("items", {}).get(name))


def measured_groups(run: Entry) -> list[Metric]:
    """The accuracies by group of an evaluated run, without groups of which the split has no item."""
    found = [measured(run, name) for name in run["test"] if name.startswith(ACCURACY_BY_GROUP.name)]
    return [metric for metric in found if metric.items != 0]


def declared(origin: str, texts: Iterable[str | None], task: str) -> Solved | None:
    """What the runs of a comparison declare as solved; None if they declare nothing.

    Raises:
        BadInput: the declarations differ or are invalid.
    """
    first, *others = dict.fromkeys(texts)
    if others:
        raise BadInput(f"{origin} has runs that declare solved={first or 'null'} and solved={others[0] or 'null'}; "
                       "train all of them with the same declaration.")  # fmt: skip
    try:
        return description_of(task).solved(first) if first else None
    except BadInput as error:
        raise BadInput(f"{origin}: {error}.") from None


def sample(
    origin: str, figures: Sequence[Mapping[str, float]], name: str, solved: Solved | None, is_constant: bool
) -> Sample:
    """Figures of one architecture as a sample.

    Args:
        origin: where the figures come from, for messages.
        figures: for each seed, the figures by metric.
        name: name of the metric to compare.
        solved: what counts as solved.
        is_constant: whether the network is deterministic, so that all seeds are one measurement.

    Raises:
        BadInput: a metric is missing, or figures of a deterministic network differ.
    """
    values = _values(origin, figures, name)
    met = None if solved is None else [solved.is_met(value) for value in _values(origin, figures, solved.metric.name)]
    if is_constant:
        if len(set(values)) > 1:
            raise BadInput(
                f"{origin} is deterministic, but its {name} differs between seeds; train and evaluate it again."
            )
        values, met = values[:1], met and met[:1]
    return Sample(values, None if met is None else sum(met), is_constant)


def _values(origin: str, figures: Sequence[Mapping[str, float]], name: str) -> list[float]:
    if any(name not in figure for figure in figures):
        raise BadInput(f"{origin} has a run without {name}; run unroll evaluate again.")
    return [figure[name] for figure in figures]
