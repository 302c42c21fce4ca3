"""All statistics, against scipy, statsmodels and examples worked by hand; and how often each test errs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from processes import some_slow
from scipy import stats
from statsmodels.stats.meta_analysis import effectsize_smd
from statsmodels.stats.power import TTestIndPower, TTestPower

from unroll.analysis.verdict import (
    SPEED,
    Difference,
    Judgement,
    Sample,
    Test,
    boschloo,
    constant,
    difference,
    effect,
    equivalence,
    expected_best,
    hedges,
    holm,
    improvement,
    interval,
    judge,
    judge_against,
    paired,
    permutation,
    seeds_needed,
    sentence,
    smallest_p,
    welch,
)
from unroll.metrics import TOKENS_PER_SECOND, Metric

NATS = Metric("loss", "difference", lower=True, bottom=-math.inf)
MORE = Metric("score", "difference", lower=False, bottom=-math.inf)
ERROR = Metric("loss", "ratio", lower=True)
ACCURACY = Metric("accuracy", "log-odds", lower=False, top=1, items=100)
A, B = [0.91, 0.93, 0.90, 0.95, 0.92], [0.88, 0.94, 0.86]
SAMPLES = [
    (A, B),
    (B, A),
    (A, [1.0, 1.0, 1.0]),  # one that does not vary
    ([1.0, 2.0, 2.5], [1.5, 9.0, 4.0]),
    *((np.random.default_rng(n).normal(0, 1 + n, 3 + n).tolist(), np.random.default_rng(n + 9).normal(n, 1, 4).tolist())
      for n in range(4)),
]  # fmt: skip


@pytest.mark.parametrize("values", [A, B, [1.0, 2.0], SAMPLES[-1][0]])
def test_the_t_interval_is_scipys(values: list[float]) -> None:
    ours = interval(values, NATS)
    low, high = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert ours.mean == pytest.approx(np.mean(values), rel=1e-12)
    assert (ours.low, ours.high) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize("metric", [NATS, ERROR, ACCURACY])
def test_one_seed_has_no_interval(metric: Metric) -> None:
    span = interval([0.5], metric)
    assert span.low is span.high is None
    assert span.mean == 0.5


def test_the_interval_of_a_ratio_is_that_of_its_logarithms_and_stays_above_0() -> None:
    values = [0.0021, 0.0003, 0.0084, 0.0001, 0.0044]  # on their own scale 0.0031 ± 0.0042
    span, logs = interval(values, ERROR), np.log(values)
    low, high = stats.t.interval(0.95, 4, loc=np.mean(logs), scale=stats.sem(logs))
    assert span.mean == pytest.approx(stats.gmean(values))
    assert (span.low, span.high) == pytest.approx((math.exp(low), math.exp(high)))
    assert span.low is not None
    assert span.low > 0


def test_the_interval_of_a_proportion_stays_within_0_and_1_and_of_equal_figures_is_the_figure() -> None:
    for values in ([0.99, 1.0, 0.97, 1.0], [0.0, 0.01, 0.0, 0.05]):
        span = interval(values, ACCURACY)
        assert span.low is not None
        assert span.high is not None
        assert 0 <= span.low < span.mean < span.high <= 1
    assert interval([1.0] * 5, ACCURACY).mean == 1.0
    f1 = interval([0.99, 0.98, 0.8], Metric("f1", "difference", lower=False, top=1))
    assert f1.high == 1


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")  # scipy's, of the one that does not vary
@pytest.mark.parametrize(("a", "b"), SAMPLES)
def test_welch_is_scipys(a: list[float], b: list[float]) -> None:
    ours, scipys = welch(a, b), stats.ttest_ind(a, b, equal_var=False)
    low, high = scipys.confidence_interval(0.95)
    assert ours.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert ours.half_width is not None
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high), rel=1e-9)


@pytest.mark.parametrize(
    ("a", "b"), [([0.5], [0.7]), ([0.5, 0.6], A), (A, [0.5, 0.4]), ([0.5, 0.5, 0.5], [0.7, 0.7, 0.7])]
)
def test_two_seeds_or_no_variance_give_no_test(a: list[float], b: list[float]) -> None:
    difference = welch(a, b)
    assert difference.mean == pytest.approx(np.mean(a) - np.mean(b))
    assert difference.p is None
    assert difference.half_width == (None if min(len(a), len(b)) < 3 else 0.0)


def test_holm_is_the_example_worked_by_hand() -> None:
    # Sorted: 0.005 · 4, 0.01 · 3, 0.03 · 2, 0.04 · 1; the last is raised to the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_holm_never_exceeds_one_and_leaves_out_what_was_not_tested() -> None:
    assert holm([None, 0.9, None, 0.6]) == [None, 1.0, None, 1.0]
    assert holm([None, 0.02]) == [None, 0.02]  # alone, it is not corrected
    assert holm([None]) == [None]
    assert holm([]) == []


# ---- permutations and pairs


def dealt(a: list[float], b: list[float]) -> float:
    """The p of a permutation test, every way gone through."""
    values, gaps = [*a, *b], []
    for places in itertools.combinations(range(len(values)), len(a)):
        mine = [values[place] for place in places]
        others = [value for place, value in enumerate(values) if place not in places]
        gaps.append(fmean(mine) - fmean(others))
    seen = fmean(a) - fmean(b)
    tails = (sum(gap >= seen - 1e-12 for gap in gaps), sum(gap <= seen + 1e-12 for gap in gaps))
    return min(1.0, 2 * min(tails) / len(gaps))


@pytest.mark.parametrize(("a", "b"), [*SAMPLES, ([1.0, 1.0, 1.0], [2.0, 2.0, 2.0]), ([1.0] * 4, [1.0] * 4)])
def test_a_permutation_test_goes_through_every_way(a: list[float], b: list[float]) -> None:
    found = permutation(a, b)
    assert found.p == pytest.approx(dealt(a, b), rel=1e-9)
    assert (found.mean, found.half_width) == (welch(a, b).mean, welch(a, b).half_width)


def test_a_permutation_test_of_many_values_repeats_itself_and_is_near_the_whole() -> None:
    random = np.random.default_rng(1)
    a, b = random.normal(0, 1, 20).tolist(), random.normal(0.6, 1, 20).tolist()
    assert permutation(a, b) == permutation(a, b)
    p, near = permutation(a, b).p, welch(a, b).p
    assert p is not None
    assert near is not None
    assert p == pytest.approx(near, abs=0.01)


@pytest.mark.parametrize(("a", "b", "p"), [(3, 3, 0.1), (4, 4, 2 / 70), (3, 5, 2 / 56), (20, 20, 2 / 20_001)])
def test_the_smallest_p_of_a_permutation_test_is_that_of_sides_wholly_apart(a: int, b: int, p: float) -> None:
    low, high = np.linspace(0, 1, a).tolist(), np.linspace(10, 11, b).tolist()
    assert smallest_p(a, b) == pytest.approx(p)
    assert permutation(low, high).p == pytest.approx(p)


def test_a_paired_test_is_scipys() -> None:
    random = np.random.default_rng(2)
    a = random.normal(0, 1, 9)
    b = a + random.normal(0.3, 0.2, 9)
    ours, scipys = paired(a.tolist(), b.tolist()), stats.ttest_rel(a, b)
    low, high = scipys.confidence_interval(0.95)
    assert ours.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert ours.half_width is not None
    assert (ours.mean - ours.half_width, ours.mean + ours.half_width) == pytest.approx((low, high), rel=1e-9)


def test_seven_pairs_give_no_test_and_eight_do() -> None:
    a, b = [float(n) for n in range(8)], [n + 0.5 + 0.1 * (n % 3) for n in range(8)]
    assert paired(a, b).p is not None
    assert paired(a[:7], b[:7]) == Difference(pytest.approx(fmean(a[:7]) - fmean(b[:7])), None, None)
    assert paired(a, [value + 1 for value in a]) == Difference(-1.0, 0.0, None)


# ---- counts and constants


@pytest.mark.parametrize(
    ("table", "p"),
    [((5, 5, 0, 5), 2 / 1024), ((0, 5, 5, 5), 2 / 1024), ((6, 6, 0, 6), 2 / 4096), ((5, 5, 5, 5), 1.0),
     ((0, 5, 0, 5), 1.0), ((4, 5, 0, 5), 0.0215), ((10, 10, 4, 10), 0.0036)],
)  # fmt: skip
def test_counts_are_compared_by_boschloos_exact_test(table: tuple[int, int, int, int], p: float) -> None:
    assert boschloo(*table) == pytest.approx(p, rel=0.05)
    assert boschloo(*table[2:], *table[:2]) == pytest.approx(boschloo(*table), rel=1e-6)


def test_a_constant_is_compared_by_a_t_test_of_one_sample() -> None:
    ours, scipys = constant(A, 0.8), stats.ttest_1samp(A, 0.8)
    low, high = scipys.confidence_interval(0.95)
    assert ours.p == pytest.approx(scipys.pvalue, rel=1e-9)
    assert ours.half_width is not None
    assert (0.8 + ours.mean - ours.half_width, 0.8 + ours.mean + ours.half_width) == pytest.approx(
        (low, high), rel=1e-9
    )
    assert constant(A[:2], 0.8).p is None


# ---- sizes


def test_the_effect_size_is_the_example_worked_by_hand() -> None:
    # pooled deviation 1, so d = -2; J(4) = Γ(2) / (√2 Γ(3/2)) = √(2/π)
    found = hedges([1.0, 2.0, 3.0], [3.0, 4.0, 5.0])
    assert found is not None
    assert found.size == pytest.approx(-2 * math.sqrt(2 / math.pi))


@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
@pytest.mark.parametrize(("a", "b"), SAMPLES)
def test_the_effect_size_is_statsmodels_and_its_limits_are_the_noncentral_ts(a: list[float], b: list[float]) -> None:
    found = hedges(a, b)
    assert found is not None
    numbers = [(np.mean(side), np.std(side, ddof=1), len(side)) for side in (a, b)]
    theirs = effectsize_smd(*numbers[0], *numbers[1])[0]  # with an approximate J, good to 4 % at two against two
    assert found.size == pytest.approx(theirs, rel=0.05 if len(a) + len(b) < 5 else 0.01)
    freedom, scale = len(a) + len(b) - 2, math.sqrt(1 / len(a) + 1 / len(b))
    factor = stats.ttest_ind(a, b).statistic / found.size  # from g to t
    assert abs(factor) > 1 / scale  # g is d without its bias, which is away from zero
    tails = [stats.nct.sf(found.size * factor, freedom, limit * factor) for limit in (found.low, found.high)]
    assert tails == pytest.approx([0.025, 0.975], abs=1e-4)


def test_where_nothing_varies_there_is_no_effect_size() -> None:
    assert hedges([1.0, 1.0], [2.0, 2.0]) is None
    assert hedges([1.0, 1.0], [2.0, 3.0]) is not None


def test_a_tie_is_half_an_improvement() -> None:
    assert improvement([1.0, 2.0], [1.0, 0.0]) == (0.5 + 1 + 1 + 1) / 4
    assert improvement([3.0, 4.0], [1.0, 2.0]) == 1
    assert improvement(A, B) == pytest.approx(stats.mannwhitneyu(A, B).statistic / (len(A) * len(B)))


@pytest.mark.parametrize("gap", [0.3, 0.8, 1.5, 3.0])
@pytest.mark.parametrize("level", [0.05, 0.05 / 21])
def test_the_seeds_needed_are_statsmodels(gap: float, level: float) -> None:
    a = stats.norm.ppf(np.linspace(0.05, 0.95, 10)).tolist()
    b = [value + gap for value in a]
    found = hedges(a, b)
    assert found is not None
    solved = TTestIndPower().solve_power(abs(found.size), power=0.8, alpha=level)
    assert seeds_needed(a, b, "welch", level) == seeds_needed(b, a, "permutation", level) == max(5, math.ceil(solved))


@pytest.mark.parametrize("gap", [0.3, 1.0])
def test_the_pairs_needed_are_statsmodels_and_eight_at_least(gap: float) -> None:
    random = np.random.default_rng(3)
    a = random.normal(0, 5, 10)
    gaps = random.normal(0, 1, 10)
    b = a + (gaps - gaps.mean()) + gap
    bias = math.gamma(4.5) / (math.gamma(4) * math.sqrt(4.5))
    solved = TTestPower().solve_power(bias * gap / gaps.std(ddof=1), power=0.8, alpha=0.05)
    assert seeds_needed(a.tolist(), b.tolist(), "paired", 0.05) == max(8, math.ceil(solved))


def test_a_side_that_does_not_vary_leaves_welch_half_the_freedom() -> None:
    a, b = [1.0, 1.0, 1.0], [1.5, 2.0, 3.5]
    variance = np.var(b, ddof=1)
    size = math.sqrt(2 / math.pi) * (np.mean(b) - 1) / math.sqrt(variance / 2)
    power = [TTestIndPower().power(size, n, 0.05, df=n - 1) for n in range(5, 100)]
    assert seeds_needed(a, b, "welch", 0.05) == 5 + sum(value < 0.8 for value in power)


def test_no_number_of_seeds_shows_what_is_not_there() -> None:
    assert seeds_needed(A, A, "welch", 0.05) is None
    assert seeds_needed([1.0, 2.0], [1.00001, 2.00001], "welch", 0.05) is None  # more than anybody runs
    assert seeds_needed([1.0, 1.0], [1.0, 1.0], "welch", 0.05) is None
    assert seeds_needed([1.0, 1.0], [2.0, 2.0], "welch", 0.05) == 5
    assert seeds_needed([1.0, 1.0 + 1e-9], [2.0, 2.0 + 1e-9], "welch", 0.05) == 5


def test_far_apart_the_power_is_that_of_the_spread_alone() -> None:
    # scipy has none here: t = 100 √(χ²/1) must exceed the 1 - 0.05/42 quantile of Cauchy's distribution
    assert math.isnan(TTestIndPower().power(100, 2, 0.05 / 21, df=1))
    random = np.random.default_rng(5).normal(size=100_000)
    share = np.mean((random[1::2] + 100) / np.abs(random[::2]) > stats.t.isf(0.05 / 42, 1))
    assert effect._power(100, 2, 0.05 / 21, 1) == pytest.approx(share, abs=0.01)


def test_far_apart_the_limits_of_the_effect_size_go_on_as_they_were() -> None:
    near, far = (hedges([1.0, 1 + spread], [2.0, 2 + spread]) for spread in (1.4145e-3, 1.4135e-3))
    assert near is not None
    assert far is not None
    assert far.low == pytest.approx(near.low, rel=2e-3)
    assert far.high == pytest.approx(near.high, rel=2e-3)


@pytest.mark.parametrize("lower", [True, False])
def test_the_expected_best_is_the_mean_over_every_draw(lower: bool) -> None:
    values = [3.0, 1.0, 4.0, 1.0]
    best = min if lower else max
    for k, expected in enumerate(expected_best(values, lower), start=1):
        assert expected == pytest.approx(fmean(best(draw) for draw in itertools.product(values, repeat=k)))
    assert expected_best(values, lower)[0] == fmean(values)


# ---- how often: ties, differences that are there, margins


def shares(sides: Callable[[np.random.Generator, int], np.ndarray], count: int, shift: float,
           test: Callable[[list[float], list[float]], float | None], times: int = 1000) -> float:  # fmt: skip
    """How often a test of two sides of so many values, the second shifted, has a p below 0.05."""
    random = np.random.default_rng(count)
    found = [test(sides(random, count).tolist(), (sides(random, count) + shift).tolist()) for _ in range(times)]
    return fmean(p is not None and p < 0.05 for p in found)


def allowed(share: float, times: int = 1000) -> float:
    """A share, and two standard errors of it."""
    return share + 2 * math.sqrt(share * (1 - share) / times)


def normal(random: np.random.Generator, count: int) -> np.ndarray:
    return random.normal(size=count)


def skewed(random: np.random.Generator, count: int) -> np.ndarray:
    return random.lognormal(size=count)


@pytest.mark.parametrize("count", some_slow([5, 20], 5))
@pytest.mark.parametrize(("test", "values"), [(welch, normal), (welch, skewed), (permutation, normal)])
def test_of_a_thousand_ties_no_more_are_called_a_difference_than_the_level_allows(
    test: Callable[..., Difference], values: Callable[..., np.ndarray], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(difference, "RESAMPLES", 499)  # valid with any number; beyond 5 against 5 they are drawn
    false = shares(values, count, 0, lambda a, b: test(a, b).p)
    assert false <= allowed(0.05)
    assert false > 0.005  # a test that never speaks would be none


def test_of_a_thousand_paired_ties_no_more_are_called_a_difference_than_the_level_allows() -> None:
    assert 0.01 < shares(normal, 8, 0, lambda a, b: paired(a, b).p) <= allowed(0.05)


@pytest.mark.parametrize("count", [5, 20])
def test_a_difference_that_is_there_is_found_as_often_as_statsmodels_says(count: int) -> None:
    for shift in (0.8, 1.5):
        told = TTestIndPower().power(shift, count, 0.05)
        found = shares(normal, count, shift, lambda a, b: welch(a, b).p)
        # that Welch's test must estimate its freedom costs it up to three in a hundred
        assert told - 0.03 - 2 * math.sqrt(told * (1 - told) / 1000) <= found <= allowed(told)


def test_sides_that_differ_by_the_margin_are_not_called_equivalent_too_often_and_equal_ones_often() -> None:
    for count, shift in ((5, 1.5), (20, -1.5)):
        found = shares(normal, count, shift, lambda a, b: equivalence(welch(a, b), 1.5))
        assert 0.005 < found <= allowed(0.05)
    assert shares(normal, 20, 0, lambda a, b: equivalence(welch(a, b), 1.5), 100) > 0.9


@pytest.mark.parametrize(("a", "b"), SAMPLES)
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def test_equivalence_is_two_one_sided_tests_of_scipy(a: list[float], b: list[float]) -> None:
    margin = 0.05
    above = stats.ttest_ind(np.add(a, margin), b, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(np.subtract(a, margin), b, equal_var=False, alternative="less").pvalue
    assert equivalence(welch(a, b), margin) == pytest.approx(max(above, below), rel=1e-6)


def test_paired_equivalence_is_by_the_differences() -> None:
    a = [float(n) for n in range(8)]
    b = [n + 0.01 * (-1) ** n for n in range(8)]
    gaps = np.subtract(a, b)
    tests = [stats.ttest_1samp(gaps, -0.02, alternative="greater"), stats.ttest_1samp(gaps, 0.02, alternative="less")]
    assert equivalence(paired(a, b), 0.02) == pytest.approx(max(found.pvalue for found in tests))
    assert equivalence(paired(a[:7], b[:7]), 0.02) is None
    assert equivalence(welch([1.0, 2.0], [1.0, 2.0]), 0.02) is None


# ---- the whole, and its sentence

FAR, NEAR = [2.0, 2.1, 2.2, 2.05, 1.95], [1.0, 1.1, 1.2, 1.05, 0.95]


def judged(a: list[float], b: list[float], metric: Metric = NATS, test: Test = "welch", margin: float | None = None,
           solved: tuple[int, int] | None = None, comparisons: int = 1) -> Judgement:  # fmt: skip
    counts = solved or (None, None)
    return judge(Sample(a, counts[0]), Sample(b, counts[1]), metric, test, margin, comparisons)


def said(a: list[float], b: list[float], metric: Metric = NATS, digits: int = 2, **options: Any) -> str:
    return sentence("gru", "lstm", judged(a, b, metric, **options), digits)


def test_a_difference_is_stated_with_its_interval_and_p() -> None:
    assert said(FAR, NEAR) == "lstm is better than gru by 1.00 ± 0.14 (p < 0.001)."
    assert said(FAR, NEAR, MORE) == "gru is better than lstm by 1.00 ± 0.14 (p < 0.001)."
    corrected = replace(judged(FAR, NEAR), difference=Difference(0.1234, 0.0456, 0.0004), p=0.0123)
    assert sentence("gru", "lstm", corrected, 3) == "lstm is better than gru by 0.123 ± 0.046 (p = 0.012)."
    assert "by 0.12 ± 0.05 (p" in sentence("gru", "lstm", corrected, 1)  # never ± 0, which would read as certainty


def test_a_ratio_is_stated_as_a_factor_with_its_interval() -> None:
    few, many = [0.00013, 0.00011, 0.00016, 0.00012, 0.00014], [0.0021, 0.0005, 0.0084, 0.0011, 0.0044]
    found = judged(few, many, ERROR)
    logs = stats.ttest_ind(np.log(many), np.log(few), equal_var=False)
    low, high = np.exp(logs.confidence_interval(0.95))
    assert found.p == pytest.approx(logs.pvalue)
    times = f"16.2 times ({low:.1f} to {high:.1f})"
    assert sentence("gru", "lstm", found, 4) == (
        f"gru is better than lstm: the loss of lstm is {times} that of gru (p = 0.005).")  # fmt: skip
    assert welch(few, many).p is not None
    assert stats.ttest_ind(few, many, equal_var=False).pvalue > 0.05  # which it was without logarithms


def test_a_verdict_on_perplexity_is_that_on_its_nats() -> None:
    perplexity = Metric("perplexity", "ratio", lower=True)
    nats, other = [4.1, 4.2, 4.15, 4.11, 4.3], [4.4, 4.2, 4.5, 4.41, 4.6]
    a, b = ([math.exp(value) for value in side] for side in (nats, other))
    assert judged(a, b, perplexity).p == pytest.approx(judged(nats, other).p)
    assert "times" in said(a, b, perplexity)


def test_proportions_are_stated_with_their_odds() -> None:
    good, bad = [0.99, 0.995, 0.98, 0.996, 0.992], [0.9, 0.92, 0.91, 0.93, 0.88]
    many = replace(ACCURACY, items=1000)
    assert said(good, bad, many, digits=3) == (
        "gru is better than lstm: accuracy is 0.992 for gru and 0.909 for lstm, odds 11.6 times (5.6 to 24.2) as high "
        "(p < 0.001).")  # fmt: skip
    places = [[math.log((k + 0.5) / (1000 - k + 0.5)) for k in 1000 * np.array(side)] for side in (good, bad)]
    assert judged(good, bad, many).p == pytest.approx(stats.ttest_ind(*places, equal_var=False).pvalue)


@pytest.mark.parametrize("metric", [NATS, MORE, ERROR, ACCURACY])
@pytest.mark.parametrize("test", ["welch", "permutation"])
@pytest.mark.parametrize("swapped", [False, True])
def test_the_better_one_is_named_whichever_way_is_better(metric: Metric, test: Test, swapped: bool) -> None:
    high, low = [0.91, 0.9, 0.92, 0.93, 0.89], [0.5, 0.51, 0.48, 0.52, 0.5]
    a, b = (low, high) if swapped else (high, low)
    found = judged(a, b, metric, test)
    winner = int(metric.lower != swapped)
    assert found.better == (winner if test == "welch" else None)
    assert found.effect is not None
    assert (found.effect.size > 0) == (winner == 0)
    assert found.effect.low < found.effect.size < found.effect.high
    assert found.improvement == (winner == 0)
    text = sentence("a", "b", found, 2)
    assert text.startswith(f"{'ab'[winner]} is better than {'ab'[1 - winner]}") == (test == "welch")


def test_a_permutation_test_is_worded_by_what_it_tests() -> None:
    text = said(FAR, NEAR, test="permutation")
    assert text.startswith("gru and lstm do not come from one distribution, by a permutation test (p = 0.008)")
    assert "better" not in text
    assert "spread" in text


@pytest.mark.parametrize(
    ("a", "b", "clause"),
    [(1, 5, "4 more seeds of gru are needed"), (2, 2, "3 more seeds of each are needed"),
     (2, 4, "3 more seeds of gru and 1 of lstm are needed"), (9, 2, "3 more seeds of lstm are needed")],
)  # fmt: skip
def test_below_three_seeds_a_side_there_is_no_test_and_the_sentence_counts_what_is_missing(
    a: int, b: int, clause: str
) -> None:
    random = np.random.default_rng(0)
    sides = random.normal(5, 0.1, a).tolist(), random.normal(1, 0.1, b).tolist()
    for test in ("welch", "permutation"):
        found = judged(*sides, test=test)
        assert found.p is found.effect is found.improvement is found.needed is found.better is None
        text = sentence("gru", "lstm", found, 2)
        assert text.startswith("gru and lstm differ by ")
        assert "below 3 seeds of each there is no test" in text
        assert clause in text


@pytest.mark.parametrize(("a", "b", "clause"), [(3, 3, "2 more seeds of each are"), (4, 10, "1 more seed of gru is"),
                                                (3, 4, "2 more seeds of gru and 1 of lstm are")])  # fmt: skip
def test_below_five_seeds_a_side_nothing_is_called_better(a: int, b: int, clause: str) -> None:
    random = np.random.default_rng(0)
    for solved, metric in ((None, NATS), ((a, 0), ERROR)):
        found = judged(random.normal(5, 0.1, a).tolist(), random.normal(1, 0.1, b).tolist(), metric, solved=solved)
        assert found.p is not None
        assert found.p < 0.05 or solved
        assert found.better is None
        text = sentence("gru", "lstm", found, 2)
        assert "is better" not in text
        assert "below 5 seeds of each neither is called better" in text
        assert f"{clause} needed" in text


def test_from_five_seeds_on_it_is() -> None:
    assert judged(FAR, NEAR).better == 1
    assert judged(FAR[:4], NEAR).better is None


def test_few_pairs_are_counted() -> None:
    few = judged(FAR, NEAR, test="paired", margin=1)
    assert few.p is few.equivalence is None
    assert sentence("gru", "lstm", few, 2) == (
        "gru and lstm differ by 1.00; a paired t test needs 8 pairs: 3 more are needed.")  # fmt: skip


def test_three_seeds_have_no_smaller_p() -> None:
    assert said([2.0, 2.1, 2.2, 2.3], [1.0, 1.1, 1.2], test="permutation").count("p = 0.057") == 1
    five = judged([2.0, 2.1, 2.2, 2.3, 2.4], [1.0, 1.1, 1.2, 2.5, 2.6], test="permutation")
    assert "seeds of each would be needed by Welch's test." in sentence("gru", "lstm", five, 2)


def test_a_count_of_solutions_is_stated() -> None:
    good, bad = [0.001] * 5, [0.16, 0.17, 0.16, 0.15, 0.17]
    assert said(good, bad, ERROR, solved=(5, 0)) == (
        "gru is better than lstm: solved by 5 of 5 seeds against 0 of 5 (p = 0.002).")  # fmt: skip
    assert said(bad, good, ERROR, solved=(0, 5)) == (
        "lstm is better than gru: solved by 5 of 5 seeds against 0 of 5 (p = 0.002).")  # fmt: skip
    none = said(good, [*good[:4], 0.17], ERROR, solved=(5, 4))
    assert none.startswith(
        "No evidence of a difference between gru and lstm: solved by 5 of 5 seeds against 4 of 5 (p = "
    )
    diverged = said(good, [*bad[:4], math.nan], ERROR, solved=(5, 0))
    assert diverged.startswith("gru is better than lstm: solved by 5 of 5 seeds against 0 of 5 (1 diverged)")


def test_counts_decide_on_any_scale_and_are_named_below_five_seeds() -> None:
    f1 = Metric("f1", "difference", lower=False, top=1)
    good, bad = [0.95, 0.96, 0.94, 0.95, 0.97], [0.1, 0.2, 0.1, 0.3, 0.1]
    assert said(good, bad, f1, solved=(5, 0)) == (
        "gru is better than lstm: solved by 5 of 5 seeds against 0 of 5 (p = 0.002).")  # fmt: skip
    four = said(good[:4], bad[:4], f1, solved=(4, 0))
    assert four.startswith("gru against lstm: solved by 4 of 4 seeds against 0 of 4 (p = 0.008), but below 5 seeds")
    two = said(good[:2], bad[:2], f1, solved=(2, 0))
    assert two.startswith(
        "gru against lstm: solved by 2 of 2 seeds against 0 of 2; below 3 seeds of each there is no test"
    )


def test_a_permutation_test_calls_nothing_better_at_any_number_of_seeds() -> None:
    text = said(FAR[:4], NEAR[:4], test="permutation")
    assert text == ("gru and lstm do not come from one distribution, by a permutation test (p = 0.029); their means "
                    "may differ, or only their spread: they differ by 1.00 ± 0.15.")  # fmt: skip
    text = said(FAR[:3], NEAR[:3], test="permutation")
    assert text.endswith("(p = 0.100); with 3 and 3 seeds a permutation test has no p below 0.100.")


def test_seeds_that_agree_against_a_constant_leave_nothing_to_test() -> None:
    found = judge(Sample([2.0] * 5), Sample([1.0], is_constant=True), ERROR)
    assert sentence("gru", "kn", found, 1) == (
        "The loss of gru is 2.00 times that of kn on every seed alike, which leaves nothing to test.")  # fmt: skip


def test_where_every_run_solves_the_problem_or_none_does_means_are_compared() -> None:
    few, many = [0.00013, 0.00011, 0.00016, 0.00012, 0.00014], [0.0021, 0.0015, 0.0034, 0.0011, 0.0024]
    for solved in ((5, 5), (0, 0)):
        assert judged(few, many, ERROR, solved=solved).method == "welch"
    assert judged(few, many, ERROR, solved=(5, 4)).method == "boschloo"
    samples = {"a": Sample(few, 5), "b": Sample(many, 5), "c": Sample([0.1] * 5, 0), "d": Sample([0.2] * 5, 0)}
    against = judge_against("a", samples, ERROR)
    assert {arch: found.method for arch, found in against.items()} == {"b": "welch", "c": "boschloo", "d": "boschloo"}
    # Holm over all six pairs, of both kinds: c against d is no difference at all
    ps = holm([judged(few, many, ERROR).p, *[boschloo(5, 5, 0, 5)] * 4, 1.0])
    assert [found.p for found in against.values()] == pytest.approx(ps[:3])


def test_five_seeds_are_enough_for_counts_up_to_seven_architectures_and_six_up_to_twelve() -> None:
    for archs, seeds, enough in ((7, 5, True), (8, 5, False), (8, 6, True), (12, 6, True)):
        samples = {str(arch): Sample([0.16] * seeds, 0) for arch in range(1, archs)}
        against = judge_against("best", {"best": Sample([0.001] * seeds, seeds)} | samples, ERROR)
        assert {found.better for found in against.values()} == {0 if enough else None}
        text = sentence("best", "1", against["1"], 4)
        assert enough or f"even {seeds} of {seeds} against 0 of {seeds} has p = 0.055, so that more seeds" in text


def test_what_has_no_randomness_is_a_constant_and_not_a_sample() -> None:
    ngram, values = Sample([200.0], is_constant=True), [154.0, 155.0, 157.0, 158.0, 151.0]
    for sides, names in (((ngram, Sample(values)), ("kn", "gru")), ((Sample(values), ngram), ("gru", "kn"))):
        found = judge(*sides, ERROR)
        assert found.p == pytest.approx(stats.ttest_1samp(np.log(values), math.log(200)).pvalue)
        assert found.method == "constant"
        text = sentence(*names, found, 1)
        assert text.startswith(
            "gru is better than kn: the loss of kn is 1.29 times (1.26 to 1.32) that of gru (p < 0.001)"
        )
        assert found.effect is not None
        assert (found.effect.size > 0) == (names[0] == "gru")
    few = sentence("kn", "gru", judge(ngram, Sample(values[:3]), ERROR), 1)
    assert "below 5 seeds neither is called better: 2 more seeds of gru are needed" in few
    both = sentence("kn3", "kn5", judge(Sample([210.0], is_constant=True), ngram, ERROR), 1)
    assert both == "The loss of kn3 is 1.05 times that of kn5; neither has any randomness, so there is nothing to test."


def test_a_constant_has_no_share_of_seeds_to_compare() -> None:
    found = judge(Sample([200.0], 0, is_constant=True), Sample([1.0] * 5, 5), ERROR)
    assert found.better is None
    assert "not compared: solved by 0 of 1 seeds against 5 of 5, and kn has no randomness" in sentence(
        "kn", "gru", found, 1
    )


def test_no_evidence_is_a_result_and_goes_by_the_corrected_p() -> None:
    # 0.03 alone would pass; corrected for the other comparisons it does not.
    found = replace(judged(FAR, NEAR), difference=Difference(-0.1, 0.09, 0.03), p=0.06, needed=1234, comparisons=2)
    start = "No evidence of a difference between gru and lstm: they differ by 0.10 ± 0.09 (p = 0.060 corrected for 2 "
    start += "comparisons; like the interval, p = 0.030 for this pair alone); "
    assert sentence("gru", "lstm", found, 2) == start + "about 1,234 seeds of each would be needed."
    assert sentence("gru", "lstm", replace(found, needed=None), 2) == (
        start + "more than 10,000 seeds of each would be needed.")  # fmt: skip
    pairs = replace(found, method="paired", sides=(Sample(FAR * 2), Sample(NEAR * 2)))
    assert "about 1,234 pairs would be needed." in sentence("gru", "lstm", pairs, 2)


def test_more_seeds_are_needed_than_there_are_where_there_is_no_evidence() -> None:
    random = np.random.default_rng(4)
    for _ in range(30):
        count, archs = int(random.integers(3, 7)), int(random.integers(2, 5))
        samples = {str(arch): Sample(random.normal(arch / 2, 1 + arch, count).tolist()) for arch in range(archs)}
        best = min(samples, key=lambda arch: MORE.rank(samples[arch].values))
        for found in judge_against(best, samples, MORE).values():
            assert found.p is not None
            assert found.p < 0.05 or found.needed is None or found.needed > count


def test_the_seeds_needed_are_for_a_level_that_holds_over_all_comparisons() -> None:
    assert judged(A, B, MORE, comparisons=21).needed == seeds_needed(A, B, "welch", 0.05 / 21)
    assert judged(A, B, MORE).needed == seeds_needed(A, B, "welch", 0.05) != judged(A, B, MORE, comparisons=21).needed
    samples = {"a": Sample(A), "b": Sample(B), "c": Sample(FAR)}
    assert judge_against("c", samples, MORE)["a"] == replace(
        judged(FAR, A, MORE, comparisons=3), p=holm([welch(A, B).p, welch(A, FAR).p, welch(B, FAR).p])[1])  # fmt: skip


def test_equivalence_within_a_margin_is_a_result_too() -> None:
    same = [value + 0.001 for value in NEAR]
    text = said(NEAR, same, margin=0.3)
    assert text.startswith("gru and lstm are equivalent within 0.3 (p < 0.001")
    assert text.endswith("): they differ by 0.00 ± 0.14.")
    assert said(FAR, NEAR, margin=2) == (
        "lstm is better than gru by 1.00 ± 0.14 (p < 0.001), yet equivalent within 2 (p < 0.001).")  # fmt: skip
    assert "nor that they are equivalent within 0.01 (p = 0.4" in said(NEAR, same, margin=0.01)


def test_the_margin_of_a_ratio_is_a_factor_and_that_of_a_proportion_one_of_odds() -> None:
    same = [1.001 * value for value in NEAR]
    text = said(NEAR, same, ERROR, margin=1.3)
    assert text.startswith("gru and lstm are equivalent within a factor of 1.3 (p ")
    logs = judged([math.log(value) for value in NEAR], [math.log(value) for value in same], margin=math.log(1.3))
    assert judged(NEAR, same, ERROR, margin=1.3).equivalence == pytest.approx(logs.equivalence)
    shares = [0.9, 0.91, 0.92, 0.9, 0.91]
    assert "equivalent within a factor of 1.5 in odds (p " in said(shares, shares[::-1], ACCURACY, margin=1.5)


def test_below_five_seeds_nothing_is_called_equivalent() -> None:
    assert judged(NEAR[:4], NEAR[:4], margin=5.0).equivalence is None


def test_seeds_that_all_agree_are_neither_too_few_nor_no_evidence() -> None:
    # Two archs that solve a task exactly have the same figure for every seed.
    assert said([1.0] * 5, [1.0] * 5, digits=4, margin=0.1) == (
        "gru and lstm have the same loss on every seed, which leaves nothing to test.")  # fmt: skip
    text = said([0.00013] * 5, [0.0021] * 5, ERROR)
    assert (
        text == "gru is better than lstm: the loss of lstm is 16.2 times that of gru on every seed alike (p = 0.008)."
    )
    assert judged([1.0] * 5, [2.0] * 5).p == smallest_p(5, 5)


@pytest.mark.parametrize("test", ["welch", "permutation", "paired"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("metric", [NATS, ERROR])
def test_a_seed_that_diverged_is_stated_and_nothing_else(test: Test, value: float, metric: Metric) -> None:
    found = judged([1.0, value, *FAR, 3.0], [1.0, 2.0, *NEAR, 3.0], metric, test, margin=2)
    assert found.p is found.effect is found.improvement is found.needed is found.equivalence is found.better is None
    assert sentence("gru", "lstm", found, 2) == (
        "A run of gru diverged (1 of 8 seeds), so gru and lstm are not compared by their means.")  # fmt: skip


def test_both_ends_of_a_scale_have_no_mean_and_come_last() -> None:
    assert replace(ACCURACY, items=None).rank([0.0, 1.0])[0]


@pytest.mark.parametrize(
    ("values", "metric", "words"),
    [([0.0, 0.1, 0.2, 0.1, 0.3], ERROR, ["loss of lstm is 0 on 1 of 5 seeds", "no logarithm", "solved:"]),
     ([-0.1, 0.1, -0.2, 0.1, 0.3], ERROR, ["loss of lstm is out of its range on 2 of 5 seeds"]),
     ([1.0, 0.9, 0.9, 0.0, 0.8], replace(ACCURACY, items=None), ["is 0 or 1 on 2 of 5", "run unroll evaluate again"]),
     ([1.1, 0.9, 0.9, 0.9, 0.8], ACCURACY, ["accuracy of lstm is out of its range on 1 of 5"])],
)  # fmt: skip
def test_a_figure_without_a_place_on_the_scale_is_explained(
    values: list[float], metric: Metric, words: list[str]
) -> None:
    for test in ("welch", "permutation"):
        found = judged([0.5, 0.6, 0.4, 0.5, 0.55], values, metric, test, margin=2)
        assert found.p is found.effect is found.better is None
        text = sentence("gru", "lstm", found, 2)
        assert all(word in text for word in words)
        assert text.endswith("so gru and lstm are not compared by their means.")


def test_an_error_of_0_is_no_obstacle_to_counts() -> None:
    assert judged([0.0, 1e-4, 0.0, 1e-5, 0.0], [0.16] * 5, ERROR, solved=(5, 0)).better == 0


def test_seeds_that_have_the_same_count_by_chance_have_the_spread_of_an_item() -> None:
    few = replace(ACCURACY, items=50)
    same, other = [1.0] * 5, [0.98, 0.96, 0.98, 1.0, 0.96, 0.98, 0.94, 0.98, 1.0, 0.96]
    found = judged(same, other, few).p
    plain = welch([few.onto(value) for value in same], [few.onto(value) for value in other]).p
    assert found is not None
    assert plain is not None
    assert found > 0.01 > 10 * plain
    span = interval([1.0] * 5, few)
    assert span.low is not None
    assert (span.mean, span.high) == (1.0, 1.0)
    assert 0.9 < span.low < 1
    assert judged([1.0] * 5, [0.9] * 5, ACCURACY).better == 0
    assert "No evidence" in said([1.0] * 5, [1.0] * 5, ACCURACY)
    assert replace(ACCURACY, items=100_000).grain(2.0) < 1e-6
    assert NATS.grain(1.0) == ERROR.grain(1.0) == replace(ACCURACY, items=None).grain(1.0) == 0


def test_speeds_have_words_of_their_own() -> None:
    fast, slow = ([base * factor for factor in (1.0, 1.02, 0.98, 1.01, 0.99)] for base in (2000.0, 1000.0))
    text = sentence("lstm", "gru", judged(fast, slow, TOKENS_PER_SECOND), 0, SPEED)
    assert text == "lstm is faster than gru: the speed of lstm is 2.00 times (1.95 to 2.05) that of gru (p < 0.001)."
    few = sentence("lstm", "gru", judged(fast[:2], slow[:2], TOKENS_PER_SECOND), 0, SPEED)
    assert few.startswith("The speed of lstm is ")
    assert "below 5 measurements of each neither is called faster: 3 more measurements of each are needed" in few
