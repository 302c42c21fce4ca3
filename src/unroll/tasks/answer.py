"""What prediction returns: one answer for each record, which prints as text or as JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Answer:
    """An answer; ``str`` of it is what a person reads."""

    def content(self) -> dict[str, Any]:
        """What JSON has of it."""
        return asdict(self)

    def values(self) -> list[str]:
        """What fills the predicted field in the format of a file: one text per step, or one of the record."""
        return [str(self)]


@dataclass(frozen=True)
class Empty(Answer):
    """The answer to an empty line where one value stands for a whole record."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class Labelled(Answer):
    """Tokens, each with a label.

    Args:
        tokens: of the sequence.
        labels: as many.
    """

    tokens: list[str]
    labels: list[str]

    def values(self) -> list[str]:
        return self.labels

    def __str__(self) -> str:
        return " ".join(f"{token}/{label}" for token, label in zip(self.tokens, self.labels, strict=True))
