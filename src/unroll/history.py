"""The curves of a run on disk, written by training and read by trackers."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from unroll.outputs import write_text

HISTORY = "history.csv"
COLUMNS = ("tokens", "metric", "value")


class HistoryFile:
    """Points of a run as lines ``tokens, metric, value, milliseconds``, written immediately.

    Incomplete lines, which a killed process may leave, are ignored.

    Args:
        folder: folder of the file.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / HISTORY

    def rows(self) -> list[list[str]]:
        """All points up to the first damaged line."""
        if not self.path.exists():
            return []
        text = self.path.read_text(encoding="utf-8", errors="replace")
        return list(takewhile(_is_point, csv.reader(text[: text.rfind("\n") + 1].split("\n")[:-1])))

    def append(self, rows: Sequence[Sequence[str]]) -> None:
        """Append points."""
        with self.path.open("a", encoding="utf-8", newline="") as file:
            file.write(_text(rows))

    def replace(self, rows: Sequence[Sequence[str]]) -> None:
        """Replace all points."""
        write_text(self.path, _text(rows))

    def publish(self, path: Path) -> None:
        """Write the points with a header and without the time, which differs between runs."""
        path.write_text(_text([COLUMNS, *(row[: len(COLUMNS)] for row in self.rows())]), encoding="utf-8")


def _is_point(row: list[str]) -> bool:
    try:
        tokens, name, value, milliseconds = row
        float(value)
    except ValueError:
        return False
    return bool(name) and all(number.isascii() and number.isdecimal() for number in (tokens, milliseconds))


def _text(rows: Sequence[Sequence[str]]) -> str:
    lines = io.StringIO()
    csv.writer(lines, lineterminator="\n").writerows(rows)
    return lines.getvalue()
