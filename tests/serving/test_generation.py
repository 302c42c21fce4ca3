"""Prompts in batches: what is continued does not depend on how many are read together."""

from __future__ import annotations

from typing import Any

import pytest

from unroll.serving import generation

PROMPTS = [f"{'word ' * (n % 7)}{n}" for n in range(40)]


class Echo:
    """Stands for the network of a run, and notes what it is given."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def generate(self, prompts: list[str], vocabulary: Any, length: int, seed: int, *rest: float) -> list[Any]:
        self.calls.append(len(prompts))
        return [(prompt, length, seed + number, *rest) for number, prompt in enumerate(prompts)]


class Run:
    """Stands for a run."""

    def __init__(self) -> None:
        self.network, self.vocabulary, self.config = Echo(), None, self
        self.task = self.description = self
        self.continues = True


@pytest.mark.parametrize(("together", "characters"), [(64, 1 << 15), (1, 1 << 15), (7, 1 << 15), (64, 100), (64, 1)])
def test_each_prompt_has_its_own_seed_whatever_is_read_together(
    together: int, characters: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "TOGETHER", together)
    monkeypatch.setattr(generation, "LONGEST_TOGETHER", characters)
    run: Any = Run()
    answers: list[Any] = list(generation.generate(run, iter(PROMPTS), 5, 100, 0.5, 3, 0.9))
    assert answers == [(prompt, 5, 100 + number, 0.5, 3, 0.9) for number, prompt in enumerate(PROMPTS)]
    assert max(run.network.calls) <= together
    place = 0
    for count in run.network.calls:
        longest = max(map(len, PROMPTS[place : place + count]))
        assert count == 1 or longest * count <= characters
        place += count


def test_prompts_are_read_as_they_are_needed() -> None:
    read = 0

    def prompts() -> Any:
        nonlocal read
        for prompt in PROMPTS * 100:
            read += 1
            yield prompt

    run: Any = Run()
    next(iter(generation.generate(run, prompts(), 5, 0)))
    assert read <= generation.TOGETHER + 1
