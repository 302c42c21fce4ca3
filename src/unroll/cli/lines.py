"""What a model is asked: lines of an argument, of a file or of standard input."""

from __future__ import annotations

import sys
from pathlib import Path


def lines(text: str | None, file: Path | None) -> list[str]:
    """The text as one line if there is one; otherwise the lines of the file, or of standard input.

    Raises:
        BadInput: the file is missing, or a byte is not UTF-8.
    """
    if text is not None:
        return [text]
    from unroll.data.readers.base import decoded, numbered_lines

    if file is not None:
        return [line for _, line in numbered_lines(file)]
    return [line for _, line in decoded(sys.stdin.buffer, "standard input")]
