"""Plain text: words between blanks, one sentence per line, or characters."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from unroll.data.readers.base import Example, numbered_lines


def read(path: Path, unit: str) -> Iterator[Example]:
    """Lines as sequences: of words, or of characters with the line break as the last one.

    Args:
        path: a UTF-8 file.
        unit: ``words`` or ``characters``.
    """
    for _, line in numbered_lines(path):
        if unit == "characters":
            yield Example(tokens=line + "\n")
        elif words := line.split():
            yield Example(tokens=words)
