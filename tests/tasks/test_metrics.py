"""Metrics: sums over real tokens, whatever the batches were."""

from __future__ import annotations

import math

import pytest
import torch

from unroll.tasks.metrics import GroupedMean, TokenMean

VALUES = torch.tensor([[1.0, 2.0, 3.0, 99.0], [4.0, 99.0, 99.0, 99.0]])
MASK = torch.tensor([[True, True, True, False], [True, False, False, False]])


def test_a_mean_counts_real_tokens_alone() -> None:
    mean = TokenMean()
    mean.update(VALUES, MASK)
    assert float(mean.compute()) == 2.5


def test_a_mean_over_batches_is_that_over_all_tokens_not_that_of_means() -> None:
    mean = TokenMean()
    for row in (0, 1):
        mean.update(VALUES[row : row + 1], MASK[row : row + 1])
    assert float(mean.compute()) == 2.5  # the mean of the means 2 and 4 would be 3


def test_many_small_values_are_summed_without_loss() -> None:
    mean = TokenMean()
    mean.update(torch.tensor([2.0**24]), torch.tensor([True]))
    for _ in range(8):
        mean.update(torch.ones(1), torch.tensor([True]))
    assert float(mean.compute()) == (2**24 + 8) / 9  # in single precision each 1 would vanish


def test_a_mean_of_nothing_is_none() -> None:
    mean = TokenMean()
    mean.update(VALUES, torch.zeros_like(MASK))
    assert math.isnan(float(mean.compute()))


def test_groups_are_averaged_apart_and_what_is_not_probed_is_left_out() -> None:
    means = GroupedMean(3)
    groups = torch.tensor([[0, 1, 1, -1], [0, -1, -1, -1]])
    means.update(VALUES, groups)
    first, second, third = means.compute().tolist()
    assert (first, second) == (2.5, 2.5)
    assert math.isnan(third)
    means.reset()
    means.update(VALUES, torch.full_like(groups, 2))
    assert means.compute()[2] == pytest.approx(float(VALUES.mean()))
