"""Readers: one per file format, each an iterator over the sequences of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from unroll.data.readers import brown, columns, conllu, series, text
from unroll.data.readers.base import Example

Reader = Callable[..., Iterator[Example]]

READERS: dict[str, Reader] = {
    "text": text.read,
    "conllu": conllu.read,
    "columns": columns.read,
    "series": series.read,
    "brown": brown.read,
}


def guess(path: Path) -> str | None:
    """Reader that a file's name suggests, or None."""
    return {".txt": "text", ".conllu": "conllu", ".conll": "columns", ".bio": "columns", ".tsv": "columns",
            ".series": "series"}.get(path.suffix)  # fmt: skip


__all__ = ["READERS", "Example", "Reader", "guess"]
