"""Commands that turn packed files, and those of formats that unroll does not read, into files that it reads."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.data.readers.base import is_blank, numbered_lines
from unroll.errors import BadInput

INPUT = 'open(0, encoding="utf-8-sig", newline="")'
RECORDS = {".jsonl": f"map(json.loads, filter(str.strip, {INPUT}))", ".json": f"json.load({INPUT})"}
ROWS = {  # of records that have one value for each key, and of those that have one for each word
    False: "for row in [record.values()]",
    True: "for row in [*zip(*(value for value in record.values() if isinstance(value, list))), ()]",
}
UNPACK = "unpack it: "


def refuse_packed(files: Sequence[Path]) -> None:
    """Refuse packed files with the command that unpacks all of them."""
    commands = []
    for file in files:
        try:
            next(numbered_lines(file), None)
        except BadInput as error:
            commands.append(str(error).partition(UNPACK)[2])
    if len(commands) > 1 and all(commands):
        raise BadInput(f"{', '.join(map(str, files))} are packed; unpack them: {' && '.join(commands)}")
    for file in files:
        next(numbered_lines(file), None)


def refuse_commas(files: Sequence[Path]) -> None:
    """Refuse files of comma-separated values or JSON with the command that writes them with tabs."""
    commands = [command for file in files if (command := _to_tabs(file))]
    if commands:
        names = ", ".join(file.name for file in files)
        raise BadInput(f"{names}: unroll reads neither commas nor JSON; write columns between tabs: "
                       f"{' && '.join(commands)}")  # fmt: skip


def has_tabs(file: Path) -> bool:
    """Whether the first line of a file that is not empty has a tab."""
    return "\t" in next((line for _, line in numbered_lines(file) if not is_blank(line)), "")


def _to_tabs(file: Path) -> str:
    """The command that writes a file with tabs; empty if that is not known."""
    if file.suffix == ".csv":
        first = next((line for _, line in numbered_lines(file) if not is_blank(line)), "")
        separator = ', delimiter=";"' if first.count(";") >= max(first.count(","), 1) else ""
        return _command(file, "csv", f"for row in csv.reader({INPUT}{separator})")
    if file.suffix not in (".json", ".jsonl", ".ndjson"):
        return ""
    record, is_lines = _first_record(file)
    if record is None:
        return ""
    has_lists = any(isinstance(value, list) for value in record.values())
    return _command(file, "json", f"for record in {RECORDS['.jsonl' if is_lines else '.json']} {ROWS[has_lists]}")


def _command(file: Path, module: str, rows: str) -> str:
    """The command of Python that prints rows with tabs between their cells."""
    program = f'import {module}; [print(*(" ".join(str(cell).split()) for cell in row), sep="\\t") {rows}]'
    target = shlex.quote(str(file.with_suffix(".tsv")))
    return f"python -X utf8 -c '{program}' < {shlex.quote(str(file))} > {target}"


def _first_record(file: Path) -> tuple[dict[str, Any] | None, bool]:
    """The first record of a JSON file, and whether it is a line; None if there is none with keys."""
    lines = (line for _, line in numbered_lines(file))
    found = _parsed(next((line for line in lines if not is_blank(line)), ""))
    if isinstance(found, dict):
        return found, True
    found = _parsed("\n".join(line for _, line in numbered_lines(file)))
    return (found[0] if isinstance(found, list) and found and isinstance(found[0], dict) else None), False


def _parsed(text: str) -> Any:
    """What JSON says; None if it is not valid."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
