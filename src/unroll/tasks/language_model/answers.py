"""What a language model answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from unroll.tasks.answer import Answer


@dataclass(frozen=True)
class Continuation(Answer):
    """A text and how it goes on.

    Args:
        prompt: what it begins with.
        continuation: what was added.
        mean_log_probability: of the tokens added, in nats.
        unit: of the tokens; words are joined by blanks.
    """

    prompt: str
    continuation: str
    mean_log_probability: float
    unit: str

    def __str__(self) -> str:
        between = " " if self.unit == "words" and self.prompt else ""
        return f"{self.prompt}{between}{self.continuation}"

    def content(self) -> dict[str, Any]:
        return {name: value for name, value in super().content().items() if name != "unit"}
