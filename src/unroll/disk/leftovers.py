"""Files of this project that nothing needs: caches, ad-hoc runs, runs that were not finished.

Nothing outside the project is found, and no symbolic link is followed: a link, or what lies behind one, is left alone.
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

CACHE, ADHOC, WORKING = Path("outputs/cache"), Path("outputs/adhoc"), Path("outputs/working")
CHECKS = (".pytest_cache", ".mypy_cache", ".ruff_cache")
# folders of the project in which no cache of Python's is looked for, nor in hidden ones: none of them is source code
APART = {"data", "outputs", "mlruns", "studies"}
DAY = 24 * 60 * 60


@dataclass(frozen=True)
class Leftover:
    """A file or folder that may be deleted.

    Args:
        path: where it is, from the root of the project.
        size: bytes.
        note: what it is, where its name does not say so.
    """

    path: Path
    size: int
    note: str = ""


def caches(days: float) -> list[Leftover]:
    """Prepared data that can be prepared again, and what Python and the checks keep; all of it in use or not old stays.

    Args:
        days: how long it was not written to.
    """
    found = [Path(name) for name in CHECKS]
    if not training():  # a run in training reads its prepared data from there
        found += _visible(CACHE)
    for folder, names, _ in os.walk("."):
        apart = APART if folder == "." else set()  # a package may have one of these names
        names[:] = [name for name in names if name not in apart and not name.startswith(".")]
        if "__pycache__" in names:
            names.remove("__pycache__")
            found.append(Path(folder) / "__pycache__")
    return _old(found, days)


def adhoc(days: float) -> list[Leftover]:
    """Runs, studies and certificates that commands outside the pipeline wrote, unless they are being written."""
    busy = {Path(str(_owner(folder).get("out"))).resolve() for folder in training()}
    return _old((path for path in _visible(ADHOC) if path.resolve() not in busy), days)


def working(days: float) -> list[Leftover]:
    """Checkpoints of runs that were not finished, and what MLflow lacks of others; not of those in training."""
    busy = set(training())
    return _old((path for path in _visible(WORKING) if path not in busy), days)


def training() -> list[Path]:
    """Working folders of the runs that are being trained."""
    found = []
    for folder in _visible(WORKING):
        if (folder / "lock").is_file():
            with held(folder / "lock", wait=False) as free:
                if not free:
                    found.append(folder)
    return found


def delete(leftovers: Iterable[Leftover]) -> None:
    """Delete files and folders, and leave alone a run that has begun to train since it was found."""
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
    """Whether a path is in this project, is not the project itself, and no part of it is a link."""
    root = Path.cwd()
    whole = Path(os.path.normpath(root / path))
    if root not in whole.parents:
        return False
    return not any(part.is_symlink() for part in (whole, *whole.parents) if part != root and root in part.parents)


def measured(path: Path, note: str = "") -> Leftover:
    """A file or folder with its size."""
    return Leftover(path, sum(state.st_size for state in _states(path)), note)


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder of the project, but not lock files, and not what a process is just writing."""
    if not folder.is_dir() or not inside(folder):
        return []
    return [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") or _abandoned(path)]


def _abandoned(path: Path) -> bool:
    """Whether this is the temporary folder of a process that has been killed; see :mod:`unroll.outputs`."""
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
    """Those that are in the project and were not written to for so long."""
    latest = time.time() - days * DAY
    found = [path for path in paths if os.path.lexists(path) and inside(path)]
    return [measured(path) for path in found if max(state.st_mtime for state in _states(path)) <= latest]


def _states(path: Path) -> Iterator[os.stat_result]:
    """Of a file or folder and all that it has, links not followed."""
    yield path.lstat()
    if path.is_dir() and not path.is_symlink():
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):  # it has just gone
                    yield (Path(folder) / name).lstat()


def _owner(folder: Path) -> dict[str, str]:
    """What is written of a run in its working folder."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads((folder / "identity.json").read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}
