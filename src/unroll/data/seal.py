"""What a prepared corpus is known by: ``spec.json`` of each part has its format, its fields, what it was prepared from,
and every file's digest.

A file that was cut, emptied or changed would otherwise be read as other data, or end in an error far from its cause.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast  # Any: what JSON holds

from unroll.errors import BadInput
from unroll.outputs import read_json, to_json

SPEC = "spec.json"
FORMAT = 3
KNOWN: dict[tuple[int, ...], str] = {}  # digests of files that this process has read: a corpus may be large


Fields = Mapping[str, Mapping[str, str | None]]


def seal(part: Path, fields: Fields, origin: Mapping[str, str]) -> None:
    """Write what a part, ``fit`` or ``test``, consists of; it is not changed any more.

    Args:
        part: the folder.
        fields: of every field its ``kind``, and ``of`` which other field's steps it has values; None for its own.
        origin: the settings on which its numbers depend.
    """
    files = {file: _digest(part / file) for file in _files(part)}
    content = {"format": FORMAT, "origin": origin, "fields": fields, "files": files}
    (part / SPEC).write_text(to_json(content), encoding="utf-8")


def check(part: Path, name: str = "") -> Fields:
    """Make sure that files are as they were written, and that all of them are in the list of ``spec.json``.

    Returns:
        The fields of the part.


    Args:
        part: the folder ``fit`` or ``test`` of a prepared corpus.
        name: of a file, or of a folder with all of its files; empty for the whole part.

    Raises:
        BadInput: a file is missing, is another one, or is not in the list; or the part is of another version.
    """
    remedy, (files, fields) = _remedy(part), _sections(part, "files", "fields")
    chosen = {file for file in {*files, *_files(part)} if not name or file == name or file.startswith(f"{name}/")}
    for file in sorted(chosen):
        path = part / file
        if file not in files:
            raise BadInput(f"{path} is not in the list of {part / SPEC}, so that nobody can check it; {remedy}.")
        if not path.is_file():
            raise BadInput(f"{path} is missing; {remedy}.")
        if files[file] != _digest(path):
            raise BadInput(f"{path} is damaged (it is not what unroll prepare wrote); {remedy}.")
    return fields


def origin_of(part: Path) -> Mapping[str, str]:
    """The settings on which the numbers of a part depend.

    Args:
        part: the folder ``fit`` or ``test`` of a prepared corpus.

    Raises:
        BadInput: there is no such part, or it is of another version.
    """
    (found,) = _sections(part, "origin")
    return found


def _sections(part: Path, *names: str) -> list[dict[str, Any]]:
    """Sections of a part's ``spec.json``."""
    content = read_json(part / SPEC, _remedy(part))
    sections = [content.get(name) for name in names]
    if content.get("format") != FORMAT or not all(isinstance(section, dict) for section in sections):
        raise BadInput(f"{part / SPEC} is of another version of unroll; {_remedy(part)}.")
    return cast(list[dict[str, Any]], sections)


def _remedy(part: Path) -> str:
    return f"prepare the corpus again: unroll prepare SETTINGS --out {part.parent}"


def _files(part: Path) -> list[str]:
    """Every file of a part but the list of them."""
    found = {path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file()}
    return sorted(found - {SPEC})


def _digest(path: Path) -> str:
    state = path.stat()
    file_as_it_is = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if file_as_it_is not in KNOWN:
        with path.open("rb") as file:
            KNOWN[file_as_it_is] = hashlib.file_digest(file, "sha256").hexdigest()
    return KNOWN[file_as_it_is]
