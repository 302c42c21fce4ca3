"""What a regressor answers."""

from __future__ import annotations

from dataclasses import dataclass

from unroll.metrics import shown
from unroll.tasks.answer import Answer


@dataclass(frozen=True)
class Prediction(Answer):
    """A number.

    Args:
        prediction: in the units of the corpus.
    """

    prediction: float

    def values(self) -> list[str]:
        return [repr(self.prediction)]

    def __str__(self) -> str:
        return shown(self.prediction)
