"""Where windows are cut: every step counts once, and none reaches back farther than k."""

from __future__ import annotations

from itertools import pairwise, product

import pytest

from unroll.data.windows import Cut, cut, window_count

CASES = [
    (steps, k, s) for steps, k, s in product((1, 2, 7, 12, 13), (1, 2, 3, 5, 12, 40), (1, 2, 3, 5, 12, 40)) if s <= k
]


def cuts(steps: int, k: int | None, s: int | None) -> list[Cut]:
    return [cut(number, steps, k, s) for number in range(window_count(steps, s))]


@pytest.mark.parametrize(("steps", "k", "s"), CASES)
def test_every_step_counts_once_and_reads_back_as_far_as_k_allows(steps: int, k: int, s: int) -> None:
    found = cuts(steps, k, s)
    assert [step for part in found for step in range(part.counted, part.end)] == list(range(steps))
    for number, part in enumerate(found):
        assert part.end - part.counted <= s
        assert part.begin == max(0, (number + 1) * s - k)
        assert part.end - part.begin <= k


@pytest.mark.parametrize(("steps", "k", "s"), CASES)
def test_the_state_that_is_carried_on_is_that_before_the_next_window(steps: int, k: int, s: int) -> None:
    found = cuts(steps, k, s)
    assert all(one.begin + one.carry == two.begin for one, two in pairwise(found))
    assert found[-1].begin + found[-1].carry == steps  # whatever comes after goes on from the end


def test_no_truncation_is_one_window() -> None:
    assert cuts(7, None, None) == [Cut(0, 0, 7, 7)]
