"""All statistics, against scipy, statsmodels and examples worked by hand; and how often ties are told apart."""

from __future__ import annotations

import gc
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.meta_analysis import effectsize_smd
from statsmodels.stats.power import TTestIndPower, TTestPower

from unroll.analysis.verdict import (
    SPEED,
    Difference,
    Test,
    difference,
    effect,
    equivalence,
    expected_best,
    hedges,
    holm,
    improvement,
    judge,
    judge_against,
    judgement,
    paired,
    permutation,
    seeds_needed,
    sentence,
    smallest_p,
    t_interval,
    welch,
)

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


@pytest.mark.parametrize(("a", "b", "p"), [(3, 3, 0.1), (4, 4, 2 / 70), (2, 5, 2 / 21), (20, 20, 2 / 20_001)])
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
    assert seeds_needed(a, b, "welch", level) == seeds_needed(b, a, "permutation", level) == max(2, math.ceil(solved))


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
    power = [TTestIndPower().power(size, n, 0.05, df=n - 1) for n in range(2, 100)]
    assert seeds_needed(a, b, "welch", 0.05) == 2 + sum(value < 0.8 for value in power)


def test_no_number_of_seeds_shows_what_is_not_there() -> None:
    assert seeds_needed(A, A, "welch", 0.05) is None
    assert seeds_needed([1.0, 2.0], [1.00001, 2.00001], "welch", 0.05) is None  # more than anybody runs
    assert seeds_needed([1.0, 1.0], [1.0, 1.0], "welch", 0.05) is None
    assert seeds_needed([1.0, 1.0], [2.0, 2.0], "welch", 0.05) == 2
    assert seeds_needed([1.0, 1.0 + 1e-9], [2.0, 2.0 + 1e-9], "welch", 0.05) == 2


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


@pytest.mark.parametrize("count", [5, 20])
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


@pytest.mark.slow
def test_among_equal_architectures_none_is_called_better_more_often_than_the_level_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The best is chosen by the figures that judge it: corrected over its own comparisons alone, this fails.
    for size in ("seeds_needed", "hedges", "improvement"):  # which take time, and decide nothing
        monkeypatch.setattr(judgement, size, lambda *_: None)
    monkeypatch.setattr(gc, "collect", lambda: 0)  # statsmodels calls it each time that it corrects
    random, false = np.random.default_rng(6), 0
    for _ in range(1000):
        samples = {arch: random.normal(size=20).tolist() for arch in ("rnn", "irnn", "lstm", "gru", "coupled", "cnn")}
        best = max(samples, key=lambda arch: fmean(samples[arch]))
        judged = judge_against(best, samples, lower=False)
        false += any("is better" in sentence(best, arch, found, 2) for arch, found in judged.items())
    assert false / 1000 <= allowed(0.05)


def test_sides_that_differ_by_the_margin_are_not_called_equivalent_too_often_and_equal_ones_often() -> None:
    for count, shift in ((5, 1.5), (20, -1.5)):
        found = shares(normal, count, shift, lambda a, b: equivalence(a, b, 1.5, "welch"))
        assert 0.005 < found <= allowed(0.05)
    assert shares(normal, 20, 0, lambda a, b: equivalence(a, b, 1.5, "welch"), 100) > 0.9


@pytest.mark.parametrize(("a", "b"), SAMPLES)
@pytest.mark.filterwarnings("ignore:Precision loss:RuntimeWarning")
def test_equivalence_is_two_one_sided_tests_of_scipy(a: list[float], b: list[float]) -> None:
    margin = 0.05
    above = stats.ttest_ind(np.add(a, margin), b, equal_var=False, alternative="greater").pvalue
    below = stats.ttest_ind(np.subtract(a, margin), b, equal_var=False, alternative="less").pvalue
    assert equivalence(a, b, margin, "welch") == pytest.approx(max(above, below), rel=1e-6)


def test_paired_equivalence_is_by_the_differences() -> None:
    a = [float(n) for n in range(8)]
    b = [n + 0.01 * (-1) ** n for n in range(8)]
    gaps = np.subtract(a, b)
    tests = [stats.ttest_1samp(gaps, -0.02, alternative="greater"), stats.ttest_1samp(gaps, 0.02, alternative="less")]
    assert equivalence(a, b, 0.02, "paired") == pytest.approx(max(found.pvalue for found in tests))
    assert equivalence(a[:7], b[:7], 0.02, "paired") is None
    assert equivalence([1.0], [1.0, 2.0], 0.02, "welch") is None


# ---- the whole, and its sentence

FAR, NEAR = [2.0, 2.1, 2.2, 2.05, 1.95], [1.0, 1.1, 1.2, 1.05, 0.95]


@pytest.mark.parametrize("test", ["welch", "permutation"])
@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize(("a", "b"), [(FAR, NEAR), (NEAR, FAR)])
def test_the_better_one_is_named_whichever_way_is_better(
    a: list[float], b: list[float], lower: bool, test: Test
) -> None:
    judged = judge(a, b, lower, test)
    winner, loser = ("a", "b") if (fmean(a) < fmean(b)) == lower else ("b", "a")
    assert sentence("a", "b", judged, 2).startswith(f"{winner} is better than {loser} by 1.00 ± 0.14 (p ")
    assert judged.effect is not None
    assert (judged.effect.size > 0) == (winner == "a")
    assert judged.effect.low < judged.effect.size < judged.effect.high
    assert judged.improvement == (winner == "a")


def test_too_few_values_are_told_how_many_a_test_needs_and_get_no_p() -> None:
    tests: dict[Test, str] = {"welch": "Welch's test", "permutation": "a permutation test"}
    for test, name in tests.items():
        judged = judge([0.5], [0.6234, 0.7], True, test)
        assert judged.p is judged.effect is judged.improvement is judged.needed is None
        said = f"gru and lstm differ by 0.16; too few seeds for {name}, which needs 2 of each."
        assert sentence("gru", "lstm", judged, 2) == said
    few = judge(FAR, NEAR, True, "paired", margin=1)
    assert few.p is few.equivalence is None
    assert sentence("gru", "lstm", few, 2) == (
        "gru and lstm differ by 1.00; too few seeds for a paired t test, which needs 8 of each.")  # fmt: skip


def test_three_seeds_are_told_that_they_have_no_smaller_p() -> None:
    judged = judge([2.0, 2.1, 2.2], [1.0, 1.1, 1.2], True, "permutation")
    assert judged.p == pytest.approx(0.1)
    said = sentence("gru", "lstm", judged, 2)
    assert said == ("No evidence of a difference between gru and lstm (1.00 ± 0.23, p = 0.100); "
                    "with 3 and 3 seeds a permutation test has no p below 0.100.")  # fmt: skip
    more = sentence("gru", "lstm", replace(judge(A, B, False, "permutation"), needed=17), 2)
    assert more.endswith("about 17 seeds of each would be needed by Welch's test.")


def test_a_difference_is_told_with_its_interval_and_corrected_p() -> None:
    judged = replace(judge(FAR, NEAR, True), difference=Difference(0.1234, 0.0456, 0.0004), p=0.0123)
    assert sentence("lstm", "gru", judged, 3) == "gru is better than lstm by 0.123 ± 0.046 (p = 0.012)."
    assert "(p < 0.001)" in sentence("lstm", "gru", replace(judged, p=1e-8), 3)
    assert sentence("lstm", "gru", replace(judged, lower=False), 0, SPEED) == (
        "lstm is faster than gru by 0.12 ± 0.05 tokens/s (p = 0.012).")  # fmt: skip
    # never an interval of 0, which would be told as certainty
    assert "by 0.12 ± 0.05 (p" in sentence("lstm", "gru", judged, 1)


def test_no_evidence_is_a_result_and_goes_by_the_corrected_p() -> None:
    # 0.03 alone would pass; corrected for the other comparisons it does not.
    judged = replace(judge(A, B, True), difference=Difference(-0.1, 0.09, 0.03), p=0.06, needed=1234)
    said = "No evidence of a difference between gru and lstm (0.10 ± 0.09, p = 0.060); "
    assert sentence("gru", "lstm", judged, 2) == said + "about 1,234 seeds of each would be needed."
    assert sentence("gru", "lstm", replace(judged, needed=None), 2) == (
        said + "more than 10,000 seeds of each would be needed.")  # fmt: skip
    assert "about 1,234 pairs would be needed." in sentence("gru", "lstm", replace(judged, test="paired"), 2)


def test_more_seeds_are_needed_than_there_are_where_there_is_no_evidence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gc, "collect", lambda: 0)
    random = np.random.default_rng(4)
    for _ in range(30):
        count, archs = int(random.integers(2, 7)), int(random.integers(2, 5))
        samples = {str(arch): random.normal(arch / 2, 1 + arch, count).tolist() for arch in range(archs)}
        best = max(samples, key=lambda arch: fmean(samples[arch]))
        for judged in judge_against(best, samples, lower=False).values():
            assert judged.p is not None
            assert judged.p < 0.05 or judged.needed is None or judged.needed > count


def test_the_seeds_needed_are_for_a_level_that_holds_over_all_comparisons() -> None:
    assert judge(A, B, False, comparisons=21).needed == seeds_needed(A, B, "welch", 0.05 / 21)
    assert judge(A, B, False).needed == seeds_needed(A, B, "welch", 0.05) != judge(A, B, False, comparisons=21).needed
    samples = {"a": A, "b": B, "c": FAR}
    assert judge_against("c", samples, lower=False)["a"] == replace(
        judge(FAR, A, False, comparisons=3), p=holm([welch(A, B).p, welch(A, FAR).p, welch(B, FAR).p])[1])  # fmt: skip


def test_equivalence_within_a_margin_is_a_result_too() -> None:
    same = [value + 0.001 for value in NEAR]
    said = sentence("gru", "lstm", judge(NEAR, same, True, margin=0.3), 2)
    assert said.startswith("gru and lstm are equivalent within 0.3 (p < 0.001")
    assert said.endswith("): they differ by 0.00 ± 0.14.")
    wide = sentence("gru", "lstm", judge(FAR, NEAR, True, margin=2), 2)
    assert wide.startswith("lstm is better than gru by 1.00 ± 0.14 (p < 0.001), yet equivalent within 2 (p < 0.001).")
    narrow = sentence("gru", "lstm", judge(NEAR, same, True, margin=0.01), 2)
    assert "nor that they are equivalent within 0.01 (p = 0.4" in narrow


def test_many_seeds_that_do_not_vary_are_not_called_too_few() -> None:
    # Two archs that solve a task exactly have the same figure for every seed.
    judged = judge([1.0] * 5, [1.0] * 5, False, margin=0.1)
    said = "gru and lstm differ by 0.0000 on every seed alike, which leaves nothing to test."
    assert sentence("gru", "lstm", judged, 4) == said


@pytest.mark.parametrize("test", ["welch", "permutation", "paired"])
def test_a_seed_that_diverged_is_told_and_nothing_else(test: Test) -> None:
    judged = judge([1.0, math.nan, *FAR, 3.0], [1.0, 2.0, *NEAR, 3.0], True, test, margin=1)
    assert judged.p is judged.effect is judged.improvement is judged.needed is judged.equivalence is None
    said = "A run of gru or lstm diverged, so there is no difference to tell."
    assert sentence("gru", "lstm", judged, 2) == said
