"""What a model is asked: lines of an argument, of a file or of standard input."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from unroll.errors import BadInput


def lines(text: str | None, file: Path | None) -> Iterator[str]:
    """The text as one line if there is one; otherwise the lines of the file, or of standard input.

    Raises:
        BadInput: the file is missing, a byte is not UTF-8, or standard input is closed.
    """
    if text is not None:
        return iter([text])
    if file is None and sys.stdin is None:
        raise BadInput("Standard input is closed; give a text, a file, or input.")
    from unroll.data.readers.base import decoded, numbered_lines

    found = decoded(sys.stdin.buffer, "standard input") if file is None else numbered_lines(file)
    return (line for _, line in found)
