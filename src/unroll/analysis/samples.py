"""Samples for a verdict, from what ``evaluate`` or ``train`` wrote of runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from unroll.analysis.verdict import Sample
from unroll.errors import BadInput
from unroll.metrics import Metric, Solved
from unroll.tasks.registry import description_of, metric_of, task_of


def task_by(run: Mapping[str, Any]) -> str:
    """The task of a run that ``evaluate`` judged; older figures have it among what orders the data, or not at all.

    Raises:
        BadInput: it is not known.
    """
    return str(run.get("task") or run["order"].get("task") or task_of(run["headline"]))


def figure_of(run: Mapping[str, Any]) -> str:
    """The metric that a run is judged by: what its experiment declared, or the headline of its task."""
    return str(run.get("judged_by") or run["headline"])


def measured(run: Mapping[str, Any], name: str) -> Metric:
    """A metric of the split on which ``evaluate`` judged a run, with the number of items that it was measured over.

    Raises:
        BadInput: the task does not report it.
    """
    return replace(metric_of(task_by(run), name), items=run.get("items", {}).get(name))


def declared(origin: str, texts: Iterable[str | None], task: str) -> Solved | None:
    """What the runs of a comparison declared, before they were trained, to be a solution; None for nothing.

    Raises:
        BadInput: they declared different things, or something impossible.
    """
    first, *others = dict.fromkeys(texts)
    if others:
        raise BadInput(f"{origin} has runs that declare solved={first or 'null'} and solved={others[0] or 'null'}; "
                       "what counts as solved is declared before training, for all alike; train again.")  # fmt: skip
    try:
        return description_of(task).solved(first) if first else None
    except BadInput as error:
        raise BadInput(f"{origin}: {error}.") from None


def sample(
    origin: str, figures: Sequence[Mapping[str, float]], name: str, solved: Solved | None, is_constant: bool
) -> Sample:
    """Figures of one architecture.

    Args:
        origin: where they come from, for messages.
        figures: of each seed by metric.
        name: of the metric to compare.
        solved: what counts as a solution.
        is_constant: whether the network has no randomness, so that all seeds are one measurement.

    Raises:
        BadInput: a metric is missing, or what has no randomness varies.
    """
    values = _values(origin, figures, name)
    met = None if solved is None else [solved.is_met(value) for value in _values(origin, figures, solved.metric.name)]
    if is_constant:
        if len(set(values)) > 1:
            raise BadInput(f"{origin} has no randomness, but its {name} differs from seed to seed; train and evaluate "
                           "it again.")  # fmt: skip
        values, met = values[:1], met and met[:1]
    return Sample(values, None if met is None else sum(met), is_constant)


def _values(origin: str, figures: Sequence[Mapping[str, float]], name: str) -> list[float]:
    if any(name not in figure for figure in figures):
        raise BadInput(f"{origin} has a run without {name}; run unroll evaluate again.")
    return [figure[name] for figure in figures]
