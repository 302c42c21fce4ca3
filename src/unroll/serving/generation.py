"""Texts continued by a language model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from unroll.errors import BadInput
from unroll.experiment import Trained
from unroll.tasks.answer import Answer

TOGETHER = 64  # prompts that are continued in one batch
LONGEST_TOGETHER = 1 << 15  # characters of the longest prompt times prompts, unless one alone has more


def generate(
    run: Trained, prompts: Iterable[str], length: int, seed: int = 0, temperature: float = 1.0, top_k: int = 0,
    top_p: float = 1.0,
) -> Iterator[Answer]:  # fmt: skip
    """A continuation of each prompt, which does not depend on the others.

    Args:
        run: a language model.
        prompts: what texts begin with.
        length: tokens to add.
        seed: of the draws for the first prompt; each further one has the next seed.
        temperature: divides the logits; 0 takes the likeliest token.
        top_k: number of likeliest tokens from which the next one is drawn; 0 for all.
        top_p: probability of the likeliest tokens from which the next one is drawn; 1 for all.

    Raises:
        BadInput: the run is not a language model, or a number is not in its range.
    """
    if not run.config.task.description.continues:
        raise BadInput(f"{run.config.name} is not a language model; use unroll predict.")
    return _continued(run, prompts, length, seed, temperature, top_k, top_p)


def _continued(
    run: Trained, prompts: Iterable[str], length: int, seed: int, temperature: float, top_k: int, top_p: float
) -> Iterator[Answer]:
    for together in _batches(prompts):
        yield from run.network.generate(together, run.vocabulary, length, seed, temperature, top_k, top_p)
        seed += len(together)


def _batches(prompts: Iterable[str]) -> Iterator[list[str]]:
    """Prompts that are read together, in their order."""
    batch: list[str] = []
    longest = 0
    for prompt in prompts:
        longest = max(longest, len(prompt))
        if batch and (len(batch) == TOGETHER or longest * (len(batch) + 1) > LONGEST_TOGETHER):
            yield batch
            batch, longest = [], len(prompt)
        batch.append(prompt)
    if batch:
        yield batch
