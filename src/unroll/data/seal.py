"""Integrity of prepared corpora: ``spec.json`` of each part has its format, fields, origin and digests of all files.

Otherwise a truncated or changed file would be read as different data, or cause an error far from its origin.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast  # Any: what JSON holds

from unroll.data.unknown import Unknown, UnknownByField
from unroll.data.vocabularies import KINDS
from unroll.errors import BadInput
from unroll.outputs import MISREAD, read_json, to_json

SPEC = "spec.json"
FORMAT = 3
JUDGED = {"fit": "validation", "test": "test"}  # the split of each part whose unknown symbols are counted
OF_STEPS = {"symbols", "frames"}  # kinds of fields with a value per step
ALIGNED = {"labels", "probe", "spelling"}  # kinds of fields with a value per step of another field
KNOWN: dict[tuple[int, ...], str] = {}  # cached digests of files, since a corpus may be large


Fields = Mapping[str, Mapping[str, str | None]]


def seal(part: Path, fields: Fields, origin: Mapping[str, str], unknown: Mapping[str, Unknown]) -> None:
    """Write the ``spec.json`` of a complete part, ``fit`` or ``test``.

    Args:
        part: the folder.
        fields: ``kind`` of each field, and ``of``, the field with which it is aligned; None for a field of its own.
        origin: settings on which the data depend.
        unknown: unknown symbols of the validation or test split, by field.
    """
    files = {file: _digest(part / file) for file in _files(part)}
    lost = {name: found._asdict() for name, found in unknown.items()}
    content = {"format": FORMAT, "origin": origin, "fields": fields, "unknown": lost, "files": files}
    (part / SPEC).write_text(to_json(content), encoding="utf-8")


def check(part: Path, name: str = "") -> Fields:
    """Verify files against the digests in ``spec.json``.

    Args:
        part: the folder ``fit`` or ``test`` of a prepared corpus.
        name: name of a file, or of a folder with all its files; empty for the whole part.

    Returns:
        The fields of the part.

    Raises:
        BadInput: a file is missing, changed or not listed, or the part is of another version.
    """
    files, fields = _sections(part, "files", "fields")
    chosen = {file for file in {*files, *_files(part)} if not name or file == name or file.startswith(f"{name}/")}
    for file in sorted(chosen):
        path = part / file
        if file not in files:
            raise BadInput(f"{path} is not listed in {part / SPEC}, so it cannot be verified; {_remedy(part)}.")
        if not path.is_file():
            raise BadInput(f"{path} is missing; {_remedy(part)}.")
        if files[file] != _digest(path):
            raise BadInput(f"{path} is damaged (it differs from what unroll prepare wrote); {_remedy(part)}.")
    if not _describe(fields, {file.split("/")[1] for file in files if file.count("/") == 2}):
        raise BadInput(f"{part / SPEC} is damaged (its fields are not those of the splits); {_remedy(part)}.")
    return fields


def _describe(fields: Fields, folders: set[str]) -> bool:
    """Whether fields are those of splits with these folders; no digest covers ``spec.json`` itself."""
    try:
        return folders in (set(), {*fields}) and all(
            fields[str(field["of"])]["kind"] in OF_STEPS
            if field["kind"] in ALIGNED
            else field["kind"] in KINDS and field["of"] is None
            for field in fields.values()
        )
    except MISREAD:
        return False


def origin_of(part: Path) -> Mapping[str, str]:
    """The settings on which the data of a part depend.

    Args:
        part: the folder ``fit`` or ``test`` of a prepared corpus.

    Raises:
        BadInput: the part does not exist, or is of another version.
    """
    (found,) = _sections(part, "origin")
    return found


def unknown_of(folder: Path) -> UnknownByField:
    """Unknown symbols of validation and test, for each field of symbols.

    Args:
        folder: a prepared corpus.

    Raises:
        BadInput: a part does not exist, or is of another version.
    """
    found: dict[str, dict[str, Unknown]] = defaultdict(dict)
    for part, split in JUDGED.items():
        (unknown,) = _sections(folder / part, "unknown")
        for name, counts in unknown.items():
            found[name][split] = Unknown(**counts)
    return found


def _sections(part: Path, *names: str) -> list[dict[str, Any]]:
    """Sections of the ``spec.json`` of a part."""
    content = read_json(part / SPEC, _remedy(part))
    sections = [content.get(name) for name in names]
    if content.get("format") != FORMAT or not all(isinstance(section, dict) for section in sections):
        raise BadInput(f"{part / SPEC} is of another version of unroll; {_remedy(part)}.")
    return cast(list[dict[str, Any]], sections)


def _remedy(part: Path) -> str:
    return f"prepare the corpus again: unroll prepare SETTINGS --out {part.parent}"


def _files(part: Path) -> list[str]:
    """All files of a part except ``spec.json``."""
    found = {path.relative_to(part).as_posix() for path in part.rglob("*") if path.is_file()}
    return sorted(found - {SPEC})


def _digest(path: Path) -> str:
    state = path.stat()
    file_as_it_is = (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns)
    if file_as_it_is not in KNOWN:
        with path.open("rb") as file:
            KNOWN[file_as_it_is] = hashlib.file_digest(file, "sha256").hexdigest()
    return KNOWN[file_as_it_is]
