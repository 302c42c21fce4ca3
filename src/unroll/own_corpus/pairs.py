"""What tables of pairs hold: a header."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.data.readers.base import is_blank, numbered_lines


def header(files: Sequence[Path], typed: Sequence[str]) -> dict[str, Any]:
    """The option ``header``, if it was not typed and all of several files begin with the same line."""
    firsts = {next((line for _, line in numbered_lines(file) if not is_blank(line)), "") for file in files}
    if "header" in typed or len(files) < 2 or len(firsts) > 1:
        return {}
    return {"header": [cell.strip() for cell in firsts.pop().split("\t")]}
