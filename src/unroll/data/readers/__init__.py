"""Readers: one per file format, each with its options."""

from __future__ import annotations

from pathlib import Path

from unroll.data.readers.base import Reader
from unroll.data.readers.brown import Brown
from unroll.data.readers.columns import Columns
from unroll.data.readers.conllu import Conllu
from unroll.data.readers.series import Series
from unroll.data.readers.text import Text

READERS: dict[str, type[Reader]] = {reader.name: reader for reader in (Text, Conllu, Columns, Series, Brown)}


def guess(path: Path) -> str | None:
    """Reader that a file's name suggests, or None."""
    return next((name for name, reader in READERS.items() if path.suffix in reader.suffixes), None)


__all__ = ["READERS", "Reader", "guess"]
