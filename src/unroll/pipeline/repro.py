"""Run the stages that are out of date: in parallel for the course, otherwise one after the other."""

from __future__ import annotations

import contextlib
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unroll import config as settings
from unroll.errors import BadInput
from unroll.pipeline import dvc
from unroll.pipeline.embedded import generate
from unroll.pipeline.progress import StageProgress, kind
from unroll.pipeline.stages import Command, Stages
from unroll.terminal import doing, say

# Kinds of stages in order, and whether they run in parallel. Studies start their own workers. The remaining stages
# measure speeds, so they run alone.
PHASES: tuple[tuple[str, bool], ...] = (
    ("resolve|code", True),
    ("prepare", True),
    ("train", True),
    ("tune", False),
    ("retrain", True),
    ("certify", True),
)
CUTS = ("resolve|code", "prepare")  # groups after which others may be up to date
NO_OUTPUT = "no output yet"
COURSE = ("dvc.yaml", "data.dvc")  # without the paper tables, which are a separate pipeline
UP_TO_DATE = "Data and pipelines are up to date."
NOT_IN_CACHE = "the output is here, but not in DVC's cache (.dvc/cache)"


def repro(jobs: int) -> None:
    """Run every stage of the course that is out of date.

    Args:
        jobs: number of stages that run in parallel.

    Raises:
        BadInput: DVC cannot read the pipeline.
        StageFailed: a stage has failed.
    """
    with _ready():
        generate()
        _refresh(Path("conf/course.yaml"))
        files = [name for name in COURSE if Path(name).exists()]
        if stale := _out_of_date(*files):
            with _stages(stale, jobs) as stages:
                _phases(stages, stale, jobs, files)


def _phases(stages: Stages, stale: dvc.Status, jobs: int, files: list[str]) -> None:
    """Run the groups in order, then leave the remaining stages to DVC."""
    for pattern, side_by_side in PHASES:
        stages.progress.expect(stale)
        if names := [name for name in stale if re.fullmatch(pattern, kind(name))]:
            stages.each(names, jobs if side_by_side else 1)
            left = {name: changes for name, changes in stale.items() if name not in names}
            stale = dvc.status(*files) if pattern in CUTS and _has_outputs(left) else left
    stages.progress.expect(stale)
    stages.run([Command([])])


def _has_outputs(stale: dvc.Status) -> bool:
    """Whether some stages have outputs, which may be up to date after all; asking DVC takes seconds."""
    return any(_reason(name, changes)[0] != NO_OUTPUT for name, changes in stale.items() if not name.endswith(".dvc"))


def repro_file(file: str) -> None:
    """Run every stage of one file that is out of date, one after the other.

    Args:
        file: file of stages, such as ``paper/dvc.yaml``.

    Raises:
        BadInput: the file does not exist, or DVC cannot read it.
        StageFailed: a stage has failed.
    """
    with _ready():
        if not Path(file).is_file():
            raise BadInput(f"{file} does not exist; name a file of stages, such as paper/dvc.yaml.")
        dvc.refuse_no_stages(Path(file))
        _refresh(Path(file).with_name("course.yaml"))
        if stale := _out_of_date("--with-deps", file):
            with _stages(stale) as stages:
                stages.run([Command([file])])


def force(stage: str) -> None:
    """Run only one stage, even if it is up to date.

    Raises:
        BadInput: DVC cannot read the pipeline, or there is no such stage.
        StageFailed: the stage has failed.
    """
    with _ready():
        dvc.status(stage)
        with _stages({stage: []}) as stages:
            stages.run([Command(["-s", "-f", stage])])


def _refresh(course: Path) -> None:
    """Write the grid of a course again if the course has changed."""
    if course.is_file() and settings.write_grid(course):
        say(f"Writing {settings.grid_file(course)}")


@contextlib.contextmanager
def _ready() -> Iterator[None]:
    """Check and lock the project for the time of a command."""
    dvc.check()
    dvc.follow_git()
    with dvc.alone():
        yield


def _out_of_date(*words: str) -> dvc.Status:
    with doing("Looking for stages that are out of date"):
        stale = dvc.status(*words)
    lines = [f"Out of date: {len(stale)} stages", *reasons(stale)] if stale else [UP_TO_DATE]
    print("\n".join(lines), flush=True)
    return stale


@contextlib.contextmanager
def _stages(stale: dvc.Status, jobs: int = 1) -> Iterator[Stages]:
    progress = StageProgress(jobs)
    progress.expect(stale)
    with Stages(progress) as stages:
        yield stages
    progress.close()


def reasons(stale: dvc.Status) -> list[str]:
    """Lines on the number of stages of each kind that will run, and the reasons.

    Args:
        stale: status from DVC.
    """
    groups: dict[str, dict[str, list[str]]] = {}  # reason → kind of stage → path behind the reason, for each stage
    for name, changes in stale.items():
        reason, path = _reason(name, changes)
        groups.setdefault(reason, {}).setdefault(kind(name), []).append(path)
    lines = []
    for reason, kinds in groups.items():
        counts = [f"{len(paths)} {stage}{_example(paths)}" for stage, paths in kinds.items()]
        lines += textwrap.wrap(
            f"{reason}: {', '.join(counts)}", 110, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False
        )
    if lost := groups.get(NOT_IN_CACHE):
        trained = sum(len(paths) for stage, paths in lost.items() if stage in ("train", "retrain"))
        lines.append("  Stages whose outputs are missing from DVC's cache run again, training those seeds of "
                     f"{trained} stages that are not in outputs/kept. To keep the present outputs instead, press "
                     "Ctrl-C and run: dvc commit")  # fmt: skip
    return lines


def _example(paths: list[str]) -> str:
    """The first path, with a mark if there are others."""
    return f" ({paths[0]}{', ...' if len(set(paths)) > 1 else ''})" if paths[0] else ""


def _reason(name: str, changes: list[Any]) -> tuple[str, str]:
    """The main reason why a stage is out of date, and the path behind it."""
    deps = _paths(changes, "changed deps")
    outs = _paths(changes, "changed outs")
    if name.endswith(".dvc"):
        return "to be added to DVC's cache", next(iter(outs), "")
    if any(not Path(out).exists() for out in outs):  # DVC then calls everything it depends on modified
        return NO_OUTPUT, ""
    if changed := [path for path, state in deps.items() if state != "deleted"]:
        return "changed", changed[0]
    if deps:
        return "missing dependency", next(iter(deps))
    if "changed command" in changes:
        return "changed command", ""
    if "not in cache" in outs.values():
        return NOT_IN_CACHE, ""
    return "the output differs from dvc.lock", ""


def _paths(changes: list[Any], key: str) -> dict[str, str]:
    """State of each file of a stage, from DVC's status."""
    return {
        path: state for change in changes if isinstance(change, dict) for path, state in change.get(key, {}).items()
    }
