"""The tasks that there are: a folder of this one with a ``description.py`` is one, without a list."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType

from unroll.errors import BadInput, no_such
from unroll.metrics import Metric
from unroll.tasks.description import Description


@cache
def descriptions() -> dict[str, Description]:
    """Every task by its name."""
    names = sorted(path.parent.name for path in Path(__file__).parent.glob("*/description.py"))
    return {name: replace(_part(name, "description").DESCRIPTION, name=name) for name in names}


def description_of(task: str) -> Description:
    """A task by its name.

    Raises:
        BadInput: there is no such task.
    """
    if task not in descriptions():
        raise no_such("task", task, descriptions())
    return descriptions()[task]


def module_of(task: str) -> ModuleType:
    """The module of a task, whose ``build`` makes its network and its LightningModule; it imports torch."""
    return _part(description_of(task).name, "module")


def metric_of(task: str, name: str) -> Metric:
    """The metric of a name that a task reports, that of one group of probed tokens too, such as ``accuracy/8``.

    Raises:
        BadInput: there is no such task, or it reports no such metric.
    """
    return description_of(task).metric(name)


def _part(task: str, part: str) -> ModuleType:
    return import_module(f"unroll.tasks.{task}.{part}")


def task_of(headline: str) -> str:
    """The task whose runs are compared by a metric, for figures that were written before they named their task.

    Raises:
        BadInput: no task's are.
    """
    for name, task in descriptions().items():
        if headline in task.headlines:
            return name
    raise BadInput(f"The scale of {headline!r} is not known: no task's runs are compared by it.")
