"""Texts continued by a language model."""

from __future__ import annotations

from collections.abc import Iterable

from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.tasks.answer import Answer


def generate(run: Trained, prompts: Iterable[str], length: int, temperature: float, seed: int) -> list[Answer]:
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
    if not run.config.task.description.continues:
        raise BadInput(f"{run.config.name} is not a language model; use unroll predict.")
    return [
        run.network.generate(prompt, run.vocabulary, length, temperature, seed + number)
        for number, prompt in enumerate(prompts)
    ]
