"""All statistics, against scipy and against examples worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from unroll.analysis.verdict import Difference, holm, sentence, t_interval, welch

A, B = [0.91, 0.93, 0.90, 0.95, 0.92], [0.88, 0.94, 0.86]
SAMPLES = [
    (A, B),
    (B, A),
    (A, [1.0, 1.0, 1.0]),  # one that does not vary
    ([1.0, 2.0], [1.5, 9.0]),
    *((np.random.default_rng(n).normal(0, 1 + n, 3 + n).tolist(), np.random.default_rng(n + 9).normal(n, 1, 4).tolist())
      for n in range(4)),
]  # fmt: skip


@pytest.mark.parametrize("values", [A, B, [1.0, 2.0], SAMPLES[-1][0]])
def test_the_t_interval_is_scipys(values: list[float]) -> None:
    ours = t_interval(values)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert ours.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert ours.half_width is not None
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high), rel=1e-9)


def test_one_seed_has_no_interval() -> None:
    assert t_interval([0.5]).half_width is None
    assert t_interval([0.5]).mean == 0.5


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy's, of the one that does not vary
@pytest.mark.parametrize(("a", "b"), SAMPLES)
def test_welch_is_scipys(a: list[float], b: list[float]) -> None:
    ours, scipys = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    low, high = scipys.confidence_interval(0.95)
    assert ours.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert ours.half_width is not None
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize(("a", "b"), [([0.5], [0.7]), ([0.5], A), (A, [0.5]), ([0.5, 0.5], [0.7, 0.7, 0.7])])
def test_one_seed_or_no_variance_gives_no_test(a: list[float], b: list[float]) -> None:
    difference = welch(a, b)
    assert difference.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert difference.p is None
    assert difference.half_width == (None if min(len(a), len(b)) == 1 else 0.0)


def test_holm_is_the_example_worked_by_hand() -> None:
    # Sorted: 0.005 · 4, 0.01 · 3, 0.03 · 2, 0.04 · 1; the last is raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one_and_leaves_out_what_was_not_tested() -> None:
    assert holm([None, 0.9, None, 0.6]) == [None, 1.0, None, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]  # alone, it is not corrected
    assert holm([None]) == [None]
    assert holm([]) == []


def test_one_seed_says_that_there_was_no_test() -> None:
    said = sentence("gru", "lstm", Difference(-0.1234, None, None), None, 2)
    assert said == "gru and lstm differ by 0.12; too few seeds for a test."


def test_a_difference_is_told_with_its_interval_and_corrected_p() -> None:
    said = sentence("gru", "lstm", Difference(0.1234, 0.0456, 0.0004), 0.0123, 3)
    assert said == "gru is better than lstm by 0.123 ± 0.046 (p = 0.012)."
    assert "p < 0.001" in sentence("gru", "lstm", Difference(0.1, 0.04, 1e-9), 1e-8, 3)


def test_no_evidence_is_a_result_and_goes_by_the_corrected_p() -> None:
    # 0.03 alone would pass; corrected for the other comparisons it does not.
    said = sentence("gru", "lstm", Difference(-0.1, 0.09, 0.03), 0.06, 2)
    assert said == "No evidence of a difference between gru and lstm (0.10 ± 0.09, p = 0.060)."


def test_many_seeds_that_do_not_vary_are_not_called_too_few() -> None:
    # Two archs that solve a task exactly have the same figure for every seed.
    seeds = [1.0] * 5
    said = sentence("gru", "lstm", welch(seeds, seeds), None, 4)
    assert "too few seeds" not in said
    assert math.isclose(welch(seeds, seeds).mean, 0)
