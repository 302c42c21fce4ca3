"""Tasks, found by their folders in this package and in plug-ins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from unroll.errors import BadInput, no_such
from unroll.metrics import Metric
from unroll.plugins import load, parts, refuse_abstract
from unroll.tasks.description import Description, Options

if TYPE_CHECKING:
    from unroll.tasks.base import Task
    from unroll.tasks.network import Blocks, TaskNetwork

PARTS = ("description", "answers", "module")  # files of a task
_found: dict[Path, Description] = {}  # imported descriptions by folder


def descriptions() -> dict[str, Description]:
    """All tasks by name.

    Raises:
        BadInput: a folder of tasks lacks a part, a part cannot be imported, or a description is inconsistent.
    """
    folders = parts("tasks")
    for name, folder in folders.items():
        if folder not in _found:
            for part in PARTS:
                if not (folder / f"{part}.py").is_file():
                    raise BadInput(f"{folder} has no {part}.py, which a task must have; add it.")
            found = getattr(load("tasks", f"{name}.description"), "DESCRIPTION", None)
            if not isinstance(found, Description):
                raise BadInput(f"{folder / 'description.py'} must define DESCRIPTION, a Description; correct it.")
            try:
                found.check()
            except BadInput as error:
                raise BadInput(f"{folder / 'description.py'}: {error}") from None
            _found[folder] = replace(found, name=name)
    return {name: _found[folder] for name, folder in folders.items()}


def description_of(task: str) -> Description:
    """A task by name.

    Raises:
        BadInput: there is no such task; see also :func:`descriptions`.
    """
    if task not in descriptions():
        raise no_such("task", task, descriptions())
    return descriptions()[task]


def build_network_of(task: str, blocks: Blocks, options: Options) -> TaskNetwork:
    """Build the network of a task with ``build(blocks, options)`` of its ``answers.py``, which imports torch.

    Args:
        task: name of the task.
        blocks: blocks of the network.
        options: settings of the task.

    Raises:
        BadInput: there is no such task, its ``answers.py`` cannot be imported, or lacks a part.
    """
    from unroll.tasks.network import TaskNetwork

    description = description_of(task)
    module = load("tasks", f"{task}.answers")
    build: Any = getattr(module, "build", None)
    if not callable(build):
        raise BadInput(f"{module.__file__} must define build(blocks, options); correct it.")
    network = build(blocks, options)
    if not isinstance(network, TaskNetwork):
        raise BadInput(f"{module.__file__}: build(blocks, options) must return a TaskNetwork; correct it.")
    for method in ("generate",) if description.continues else ("predict", "answer"):
        if getattr(type(network), method) is getattr(TaskNetwork, method):
            raise BadInput(f"{module.__file__}: {type(network).__name__} has no {method}, which the network of this "
                           "task must have; add it.")  # fmt: skip
    return network


def task_class(task: str) -> type[Task]:
    """The LightningModule of a task; its module imports lightning.

    Raises:
        BadInput: there is no such task, its ``module.py`` cannot be imported, or does not define exactly one Task.
    """
    from unroll.tasks.base import Task

    module = load("tasks", f"{description_of(task).name}.module")
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Task)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__]
    if len(own) != 1:
        raise BadInput(f"{module.__file__} must define exactly one Task; correct it.")
    refuse_abstract(own[0], "task", module)
    return own[0]


def metric_of(task: str, name: str) -> Metric:
    """A metric of a task by name, including metrics of one group of probed tokens such as ``accuracy/8``.

    Raises:
        BadInput: there is no such task or metric.
    """
    return description_of(task).metric(name)


def task_of(headline: str) -> str:
    """The task whose runs are compared by a metric, for older figures that do not name their task.

    Raises:
        BadInput: there is no such task.
    """
    for name, task in descriptions().items():
        if headline in task.headlines:
            return name
    raise BadInput(f"No task compares runs by {headline!r}, so its scale is unknown.")
