"""Answers of predictions, one per record, which print as text or JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple


class Attended(NamedTuple):
    """What an answer was written from.

    Args:
        source: written form of each step of the source.
        target: written form of each symbol of the answer, with the one that ends it.
        weights: of attention, for each symbol of the answer over the steps of the source.
    """

    source: list[str]
    target: list[str]
    weights: list[list[float]]


@dataclass(frozen=True)
class Answer:
    """An answer; ``str()`` returns its text."""

    def content(self) -> dict[str, Any]:
        """Its content for JSON."""
        return asdict(self)

    @property
    def attended(self) -> Attended | None:
        """What it was written from, if that was asked for."""
        return None

    def values(self) -> list[str]:
        """Text that fills the predicted field of a file: one per step, or one for the record."""
        return [str(self)]


@dataclass(frozen=True)
class Empty(Answer):
    """The answer to an empty line of a task that predicts one value per record."""

    def __str__(self) -> str:
        return ""


@dataclass(frozen=True)
class Labelled(Answer):
    """Tokens, each with a label.

    Args:
        tokens: tokens of the sequence.
        labels: label of each token.
    """

    tokens: list[str]
    labels: list[str]

    def values(self) -> list[str]:
        return self.labels

    def __str__(self) -> str:
        return " ".join(f"{token}/{label}" for token, label in zip(self.tokens, self.labels, strict=True))
