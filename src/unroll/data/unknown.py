"""How many symbols are outside the vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Unknown(NamedTuple):
    """Symbols, and how many of them are outside the vocabulary.

    Args:
        unit: ``words``, ``characters`` or ``subwords``.
        symbols: number of symbols, without the ends of sentences that a corpus adds.
        unknown: number of those outside the vocabulary.
    """

    unit: str
    symbols: int
    unknown: int

    def plus(self, symbols: int, unknown: int) -> Unknown:
        """The counts with those of further text."""
        return self._replace(symbols=self.symbols + symbols, unknown=self.unknown + unknown)

    def __str__(self) -> str:
        share = self.unknown / max(self.symbols, 1)
        return f"{share:.1%} of the {self.unit} ({self.unknown:,} of {self.symbols:,})"


UnknownByField = Mapping[str, Mapping[str, Unknown]]  # field → split → its symbols


def sentences(unknown: UnknownByField) -> list[str]:
    """A sentence about the unknown symbols of each field."""
    found = []
    for name, by_split in unknown.items():
        parts = [f"{share} of {split}" for split, share in by_split.items()]
        field = f"{name}: " if len(unknown) > 1 else ""
        found.append(f"{field}{' and '.join(parts)} are not in the vocabulary.")
    return found
