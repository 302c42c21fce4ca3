"""Plug-ins: cells, readers and tasks from folders outside the package, with the same layout as the package.

A folder contains any number of ``cells/NAME.py``, ``readers/NAME.py`` and ``tasks/NAME/``. Folders are named only on
the command line, with ``--plugins FOLDER``, or under ``plugins:`` in the project's own ``conf/config.yaml``. A run
stores the names and digests of its plug-ins, and is refused if they are not loaded.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from unroll.errors import BadInput

VARIABLE = "UNROLL_PLUGINS"  # environment variable with the folders, for child processes
PACKAGES = {"cells": "unroll.cells", "readers": "unroll.data.readers", "tasks": "unroll.tasks"}
SHARED = {"cells": {"base", "initializers"}, "readers": {"base"}, "tasks": set[str]()}  # files that define no part
ROOT = Path(__file__).parent.parent
CELLS = Path(__file__).parent / "cells"


def use(named: Sequence[Path]) -> None:
    """Add folders of plug-ins for this process and its children.

    Raises:
        BadInput: a folder does not exist or has no plug-ins, or a name is defined twice.
    """
    for folder in named:
        if not folder.is_dir():
            raise BadInput(f"{folder} is not a folder; choose one with cells/, readers/ or tasks/.")
        if not any((folder / room).is_dir() for room in PACKAGES):
            raise BadInput(f"{folder} has no cells/, readers/ or tasks/; choose a folder of plug-ins.")
    known = [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]
    added = [str(folder.resolve()) for folder in named]
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*known, *added]))
    for room in PACKAGES:
        parts(room)  # refuses duplicate names


def folders(room: str) -> list[Path]:
    """Folders of plug-ins of one kind."""
    return _folders(room, os.environ.get(VARIABLE, ""))


def _folders(room: str, given: str) -> list[Path]:
    found = (Path(path) / room for path in given.split(os.pathsep) if path)
    return [folder for folder in found if folder.is_dir()]


def parts(room: str) -> dict[str, Path]:
    """All cells, readers or tasks by name, with their files; for tasks, their folders.

    Args:
        room: ``cells``, ``readers`` or ``tasks``.

    Raises:
        BadInput: a name is defined twice.
    """
    return _parts(room, os.environ.get(VARIABLE, ""))


@cache  # every check of settings asks for them, and a study checks thousands
def _parts(room: str, given: str) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for folder in (ROOT.joinpath(*PACKAGES[room].split(".")), *_folders(room, given)):
        for path in sorted(folder.iterdir()):
            is_part = path.is_dir() if room == "tasks" else path.suffix == ".py"
            if not is_part or path.stem in SHARED[room] or path.name.startswith(("_", ".")):
                continue
            if path.stem in found:
                raise BadInput(
                    f"{path} and {found[path.stem]} both define {path.stem} in {room}; rename one of them, or do not "
                    "load its folder."
                )
            found[path.stem] = path
    return found


def load(room: str, name: str) -> ModuleType:
    """Import a cell or a reader, or a module ``NAME.PART`` of a task.

    Args:
        room: ``cells``, ``readers`` or ``tasks``.
        name: one of :func:`parts`.

    Raises:
        BadInput: the module fails; the message names the line.
    """
    package = import_module(PACKAGES[room])
    for folder in folders(room):
        if str(folder) not in package.__path__:
            package.__path__.append(str(folder))
    path = parts(room)[name.partition(".")[0]]
    try:
        return import_module(f"{PACKAGES[room]}.{name}")
    except BadInput:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise BadInput(f"{_place(path, error)}: {type(error).__name__}: {error}; correct the file.") from error


def refuse_abstract(kind: type, what: str, module: ModuleType) -> None:
    """Refuse a class of a plug-in that lacks a method.

    Args:
        kind: the class.
        what: what it is, for the message.
        module: its module.

    Raises:
        BadInput: names the methods.
    """
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        raise BadInput(
            f"{module.__file__}: {kind.__name__} has no {' and no '.join(missing)}, which a {what} must have; add it."
        )


def _place(path: Path, error: Exception) -> str:
    """File and line at which a part failed."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(path)]
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else str(path)


def place_of(error: BaseException) -> str | None:
    """File and line of one's own code in which something went wrong; None if that is not where it did.

    One's own are plug-ins, and cells that were added to the package without being exported.
    """
    exported = set(re.findall(r"from unroll\.cells\.(\w+) import", (CELLS / "__init__.py").read_text(encoding="utf-8")))
    own = [folder for room in PACKAGES for folder in folders(room)]
    for frame in reversed(extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        added = path.parent == CELLS and path.stem not in exported | SHARED["cells"] | {"__init__"}
        if added or any(path.is_relative_to(folder) for folder in own):
            return f"{path}, line {frame.lineno}"
    return None


def digests(used: Iterable[tuple[str, str]]) -> dict[str, str]:
    """SHA-256 of the code of each plug-in, by ``ROOM/NAME``.

    Args:
        used: kinds and names of parts, including those of the package.
    """
    paths = {(room, name): parts(room)[name] for room, name in used}
    return {f"{room}/{name}": _digest(path) for (room, name), path in paths.items() if not path.is_relative_to(ROOT)}


def loaded() -> dict[str, str]:
    """SHA-256 of the code of all loaded plug-ins."""
    return digests((room, name) for room in PACKAGES for name in parts(room))


def refuse_other(named: Mapping[str, str], user: str) -> None:
    """Refuse something that depends on plug-ins other than the loaded ones.

    Args:
        named: required digests by ``ROOM/NAME``.
        user: what requires them, for the message.

    Raises:
        BadInput: a plug-in is not loaded, or its code differs.
    """
    found = loaded() if named else {}
    for part, digest in named.items():
        if part not in found:
            raise BadInput(
                f"{user} uses the plug-in {part}, which is not loaded; if you have its code and trust it, load its "
                "folder with --plugins."
            )
        if found[part] != digest:
            raise BadInput(
                f"{user} uses the plug-in {part}, but the loaded one has different code; load the original folder, or "
                "train again."
            )


def of_project(settings: Path) -> list[Path]:
    """The folders under ``plugins:`` in a project's ``conf/config.yaml``.

    Args:
        settings: the file, which need not exist.

    Raises:
        BadInput: ``plugins:`` is not a list of folders.
    """
    text = settings.read_text(encoding="utf-8", errors="replace") if settings.is_file() else ""
    if not re.search(r"^plugins\s*:", text, flags=re.MULTILINE):
        return []
    import yaml  # not needed by commands without settings

    try:
        named = yaml.safe_load(text)["plugins"]
    except (yaml.YAMLError, TypeError, KeyError):
        return []  # loading the settings reports the error
    if not isinstance(named, list) or not all(isinstance(folder, str) for folder in named):
        raise BadInput(f"{settings}: plugins must be a list of folders, such as plugins: [my_plugins].")
    return [Path(folder) for folder in named]


def _digest(path: Path) -> str:
    total = hashlib.sha256()
    for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
        total.update(file.relative_to(path.parent).as_posix().encode())
        total.update(hashlib.sha256(file.read_bytes()).digest())
    return total.hexdigest()
