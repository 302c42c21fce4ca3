"""Bring a pipeline up to date: the course side by side, other files and single stages one after the other."""

from __future__ import annotations

import contextlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from unroll import config as settings
from unroll import preparation
from unroll.errors import BadInput
from unroll.pipeline import dvc
from unroll.pipeline.progress import Progress, kind
from unroll.pipeline.stages import Stages

# Groups of stages in their order, by the beginning of their names, and whether they run side by side. Studies have
# workers of their own; speeds are measured in what comes after these, when nothing runs beside it.
PHASES: tuple[tuple[str, bool], ...] = (
    ("resolve$|code$", False),
    ("prepare-", True),
    ("train-(?!tuned)", True),
    ("tune@", False),
    ("train-tuned|certify-(?!tuning)", True),
)
COURSE = ("dvc.yaml", "data.dvc")  # without the paper tables, which are a pipeline of their own
NOT_IN_CACHE = "the output is here, but not in DVC's cache"


def repro(jobs: int) -> None:
    """Run every stage of the course that is out of date.

    Args:
        jobs: how many stages run side by side.

    Raises:
        BadInput: DVC cannot read the pipeline.
        StageFailed: a stage has failed.
    """
    with _ready():
        generate()
        files = [name for name in COURSE if Path(name).exists()]
        if stale := _out_of_date(*files):
            with _stages(stale, jobs) as stages:
                _phases(stages, stale, jobs, files)


def _phases(stages: Stages, stale: dvc.Status, jobs: int, files: list[str]) -> None:
    """Run group after group, and leave the rest to DVC, which finds its own order."""
    for pattern, side_by_side in PHASES:
        stages.progress.expect(stale)
        if names := [name for name in stale if re.match(pattern, name)]:
            stages.each(names, jobs if side_by_side else 1)
            stale = dvc.status(*files)
    stages.progress.expect(stale)
    stages.run([[]])


def repro_file(file: str) -> None:
    """Run every stage of one file that is out of date, one after the other.

    Args:
        file: such as ``paper/dvc.yaml``.

    Raises:
        BadInput: there is no such file, or DVC cannot read it.
        StageFailed: a stage has failed.
    """
    with _ready():
        if not Path(file).is_file():
            raise BadInput(f"{file} does not exist; name a file of stages, such as paper/dvc.yaml.")
        if stale := _out_of_date(file):
            with _stages(stale) as stages:
                stages.run([[file]])


def force(stage: str) -> None:
    """Run one stage, whether it is out of date or not, and nothing else.

    Raises:
        BadInput: DVC cannot read the pipeline.
        StageFailed: the stage has failed, or there is none of that name.
    """
    with _ready(), _stages({stage: []}) as stages:
        stages.run([["-s", "-f", stage]])


@contextlib.contextmanager
def _ready() -> Iterator[None]:
    """A project that DVC can work at, and that no other ``unroll repro`` works at."""
    dvc.check()
    dvc.follow_git()
    with dvc.alone():
        yield


def _out_of_date(*files: str) -> dvc.Status:
    stale = dvc.status(*files)
    print("\n".join(["Out of date:", *reasons(stale)] if stale else ["Data and pipelines are up to date."]), flush=True)
    return stale


@contextlib.contextmanager
def _stages(stale: dvc.Status, jobs: int = 1) -> Iterator[Stages]:
    progress = Progress(jobs)
    progress.expect(stale)
    with Stages(progress) as stages:
        yield stages
    progress.close()


def generate() -> None:
    """Write the embedded corpora that ``data/`` lacks."""
    for name, corpus in settings.corpora().items():
        if corpus.generator and not (Path("data") / name).is_dir():
            print(f"Writing data/{name}", file=sys.stderr)
            preparation.fetch_corpus(corpus)


def reasons(stale: dvc.Status) -> list[str]:
    """Lines that say which kinds of stages will run and why.

    Args:
        stale: what DVC has found.
    """
    counts = Counter((kind(name), _reason(changes)) for name, changes in stale.items())
    lines = [f"  {count:3} {stage:18} {reason}" for (stage, reason), count in counts.items()]
    if lost := [name for name, changes in stale.items() if _reason(changes) == NOT_IN_CACHE]:
        trained = sum(name.startswith("train-") for name in lost)
        lines.append(
            f"  DVC's cache (.dvc/cache) lacks the outputs of {len(lost)} stages, so these run again, which trains "
            f"{trained} networks. To keep the outputs as they are, press Ctrl-C and run: dvc commit"
        )
    return lines


def _reason(changes: list[Any]) -> str:
    """Why a stage is out of date; where there are several reasons, the first that explains it alone."""
    deps = _paths(changes, "changed deps")
    outs = set(_paths(changes, "changed outs").values())
    if "deleted" in outs:  # DVC then calls everything it depends on modified
        return "there is no output yet"
    if deps:
        return f"{next(iter(deps))} has changed"
    if "changed command" in changes:
        return "its command has changed"
    if "not in cache" in outs:
        return NOT_IN_CACHE
    return "the output is not the one in dvc.lock"


def _paths(changes: list[Any], key: str) -> dict[str, str]:
    """What DVC says of the files of a stage."""
    return {
        path: state
        for change in changes if isinstance(change, dict)
        for path, state in change.get(key, {}).items()
    }  # fmt: skip
