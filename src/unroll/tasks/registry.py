"""The tasks that there are: a folder of this one, or of a plug-in, is one, without a list."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from unroll.errors import BadInput, no_such
from unroll.metrics import Metric
from unroll.plugins import load, parts
from unroll.tasks.description import Description

_found: dict[Path, Description] = {}  # by folder, once they were imported


def descriptions() -> dict[str, Description]:
    """Every task by its name.

    Raises:
        BadInput: a folder of tasks lacks a part, or a part fails when it is imported.
    """
    folders = parts("tasks")
    for name, folder in folders.items():
        if folder not in _found:
            for part in ("description", "module"):
                if not (folder / f"{part}.py").is_file():
                    raise BadInput(f"{folder} has no {part}.py, which a task must have; add it.")
            found = getattr(load("tasks", f"{name}.description"), "DESCRIPTION", None)
            if not isinstance(found, Description):
                raise BadInput(f"{folder / 'description.py'} must define DESCRIPTION, a Description; correct it.")
            _found[folder] = replace(found, name=name)
    return {name: _found[folder] for name, folder in folders.items()}


def description_of(task: str) -> Description:
    """A task by its name.

    Raises:
        BadInput: there is no such task; and as :func:`descriptions`.
    """
    if task not in descriptions():
        raise no_such("task", task, descriptions())
    return descriptions()[task]


def module_of(task: str) -> ModuleType:
    """The module of a task, whose ``build`` makes its network and its LightningModule; it imports torch.

    Raises:
        BadInput: there is no such task, it fails when it is imported, or it has no ``build``.
    """
    module = load("tasks", f"{description_of(task).name}.module")
    if not callable(getattr(module, "build", None)):
        raise BadInput(f"{module.__file__} must define build(blocks, optimizer, budget); correct it.")
    return module


def metric_of(task: str, name: str) -> Metric:
    """The metric of a name that a task reports, that of one group of probed tokens too, such as ``accuracy/8``.

    Raises:
        BadInput: there is no such task, or it reports no such metric.
    """
    return description_of(task).metric(name)


def task_of(headline: str) -> str:
    """The task whose runs are compared by a metric, for figures that were written before they named their task.

    Raises:
        BadInput: no task's are.
    """
    for name, task in descriptions().items():
        if headline in task.headlines:
            return name
    raise BadInput(f"The scale of {headline!r} is not known: no task's runs are compared by it.")
