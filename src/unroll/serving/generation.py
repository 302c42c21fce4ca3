"""Texts continued by a language model."""

from __future__ import annotations

from collections.abc import Iterable

from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.tasks.language_model.answers import Continuation
from unroll.tasks.language_model.module import LanguageModel


def generate(run: Trained, prompts: Iterable[str], length: int, temperature: float, seed: int) -> list[Continuation]:
    """A continuation of each prompt.

    Args:
        run: a language model.
        prompts: what texts begin with.
        length: tokens to add.
        temperature: divides the logits; 0 takes the likeliest token.
        seed: of the draws for the first prompt; each further one has the next seed.

    Raises:
        BadInput: the run is not a language model.
    """
    if not isinstance(run.task, LanguageModel):
        raise BadInput(f"{run.config.name} is not a language model; use unroll predict.")
    return [
        run.task.generate(prompt, run.vocabulary, length, temperature, seed + number)
        for number, prompt in enumerate(prompts)
    ]
