"""Files of the project that are not needed: caches, ad-hoc runs, unfinished runs.

Only files inside the project are considered. Symbolic links are neither followed nor deleted.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unroll.locks import held

CACHE, ADHOC, WORKSPACES = Path("outputs/cache"), Path("outputs/adhoc"), Path("outputs/working")
KEPT = Path("outputs/kept")
CHECKS = (".pytest_cache", ".mypy_cache", ".ruff_cache")
# folders without source code, which are not searched for Python's caches; nor are hidden folders
APART = {"data", "outputs", "mlruns", "studies"}
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may be deleted.

    Args:
        path: path relative to the root of the project.
        size: size in bytes.
        note: explanation, if the name is not enough.
    """

    path: Path
    size: int
    note: str = ""


def caches(days: float) -> list[Leftover]:
    """Cached prepared data, and caches of Python and the checks, unless in use.

    Args:
        days: minimum number of days since the last modification.
    """
    found = [Path(name) for name in CHECKS]
    if not training():  # active runs read their prepared data from there
        found += _visible(CACHE)
    for folder, names, _ in os.walk("."):
        apart = APART if folder == "." else set()  # deeper folders, such as packages, may have the same names
        names[:] = [name for name in names if name not in apart and not name.startswith(".")]
        if "__pycache__" in names:
            names.remove("__pycache__")
            found.append(Path(folder) / "__pycache__")
    return _old(found, days)


def adhoc(days: float) -> list[Leftover]:
    """Runs, studies and certificates written outside the pipeline, unless still being written."""
    busy = {Path(str(_owner(folder).get("out"))).resolve() for folder in training()}
    return _old((path for path in _visible(ADHOC) if path.resolve() not in busy), days)


def workspace(days: float) -> list[Leftover]:
    """Checkpoints of unfinished runs and curves not yet sent to MLflow, except those of active runs."""
    busy = set(training())
    return _old((path for path in _visible(WORKSPACES) if path not in busy), days)


def kept(days: float) -> list[Leftover]:
    """Copies of finished seeds, which save their training when a stage runs again."""
    return _old(_visible(KEPT), days)


def training() -> list[Path]:
    """Working folders of active runs."""
    found = []
    for folder in _visible(WORKSPACES):
        if (folder / "lock").is_file():
            with held(folder / "lock", wait=False) as free:
                if not free:
                    found.append(folder)
    return found


def delete(leftovers: Iterable[Leftover]) -> None:
    """Delete files and folders, except runs that have become active since they were found."""
    for leftover in leftovers:
        path = leftover.path
        if not inside(path):
            continue
        lock = path / "lock"
        with held(lock, wait=False) if lock.is_file() else contextlib.nullcontext(True) as free:
            if free and path.is_dir():
                shutil.rmtree(path)
            elif free:
                path.unlink(missing_ok=True)


def inside(path: Path) -> bool:
    """Whether a path is strictly inside the project and no part of it is a symbolic link."""
    root = Path.cwd()
    whole = Path(os.path.normpath(root / path))
    if root not in whole.parents:
        return False
    return not any(part.is_symlink() for part in (whole, *whole.parents) if part != root and root in part.parents)


def measured(path: Path, note: str = "") -> Leftover:
    """A file or folder with its size."""
    return Leftover(path, sum(state.st_size for state in _states(path)), note)


def _visible(folder: Path) -> list[Path]:
    """Content of a folder of the project, without lock files and files still being written."""
    if not folder.is_dir() or not inside(folder):
        return []
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") or _abandoned(path)]


def _abandoned(path: Path) -> bool:
    """Whether a path is the temporary folder of a killed process; see :mod:`unroll.outputs`."""
    if ".unroll-" not in path.name or path.is_symlink() or not path.is_dir():
        return False
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _old(paths: Iterable[Path], days: float) -> list[Leftover]:
    """The paths that are in the project and were not modified for ``days`` days."""
    latest = time.time() - days * DAY
    found = [path for path in paths if os.path.lexists(path) and inside(path)]
    return [measured(path) for path in found if max(state.st_mtime for state in _states(path)) <= latest]


def _states(path: Path) -> Iterator[os.stat_result]:
    """Status of a file or folder and its content, without following links."""
    yield path.lstat()
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):  # deleted in the meantime
                    yield (Path(folder) / name).lstat()


def _owner(folder: Path) -> dict[str, str]:
    """The identity of a run, from its working folder; empty if unreadable."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}
