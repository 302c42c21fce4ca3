"""Architectures side by side."""

from __future__ import annotations

import csv
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from unroll.analysis.comparison import compare, compare_all, load_results
from unroll.analysis.costs import compare_speeds, load_costs
from unroll.analysis.verdict import Sample, boschloo, holm, interval, judge, welch
from unroll.errors import BadInput
from unroll.metrics import TOKENS_PER_SECOND, Metric, digits
from unroll.tasks.registry import metric_of

FIGURES = {"rnn": [0.3, 0.32, 0.31, 0.315, 0.305], "lstm": [0.2, 0.21, 0.205, 0.202, 0.208],
           "gru": [0.21, 0.22, 0.2, 0.212, 0.208]}  # fmt: skip
NATS, SCORES = metric_of("language_model", "loss"), metric_of("tagger", "precision")
DIRECTIONS = pytest.mark.parametrize(
    ("metric", "order"), [(NATS, ["lstm", "gru", "rnn"]), (SCORES, ["rnn", "gru", "lstm"])],
    ids=["less", "more"],
)  # fmt: skip
TASKS = {"loss": "language_model", "precision": "tagger", "perplexity": "language_model", "accuracy": "tagger"}


def results(figures: dict[str, list[float]], metric: str = "loss", **more: Any) -> dict[str, dict[str, Any]]:
    """What ``evaluate`` writes, runs in no order."""
    runs = [(arch, seed, figure) for arch, values in figures.items() for seed, figure in enumerate(values)]
    return {
        f"{arch}-{seed}": {
            "arch": arch, "seed": seed, "split": "test", "parameters": 100 * len(arch), "tokens": 1000 + seed,
            "fingerprint": f"{arch}-{seed}",
            "test": {metric: figure, "recall": figure / 10}, "validation": {metric: 0.0}, "order": {},
            "headline": metric, "mode": "min" if metric in ("loss", "perplexity") else "max", "task": TASKS[metric],
        } | {key: value(arch) if callable(value) else value for key, value in more.items()}
        for arch, seed, figure in reversed(runs)
    }  # fmt: skip


def errors(figures: dict[str, list[float]], **more: Any) -> dict[str, dict[str, Any]]:
    """The same of a regressor, whose loss is a squared error."""
    return results(figures, "loss", task="regressor", **more)


def verdicts(content: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {row["arch"]: row["verdict"] for row in compare("a", content)}


def stored(folder: Path, **experiments: dict[str, dict[str, Any]]) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, content in experiments.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return [folder / f"{name}.json" for name in experiments]


@DIRECTIONS
def test_rows_come_best_first_with_their_difference_to_the_best(metric: Metric, order: list[str]) -> None:
    rows = compare("a", results(FIGURES, metric.name))
    assert [row["arch"] for row in rows] == order
    best, *others = rows
    assert best["verdict"] is best["difference_to_best"] is best["p_holm"] is best["better"] is None
    for row in rows:
        span = interval(FIGURES[row["arch"]], metric)
        assert (row["mean"], row["seeds"], row["solved"]) == (span.mean, 5, None)
        assert metric is not NATS or (row["low"], row["high"]) == (span.low, span.high)
        assert (row["experiment"], row["metric"], row["split"], row["scale"]) == (
            "a",
            metric.name,
            "test",
            "difference",
        )
        assert (row["parameters"], row["tokens"]) == (100 * len(row["arch"]), 1002)
    for row in others:
        difference = welch(FIGURES[row["arch"]], FIGURES[order[0]])
        assert difference.half_width is not None
        assert row["difference_to_best"] == pytest.approx(difference.mean)
        assert row["difference_high"] - row["difference_low"] == pytest.approx(2 * difference.half_width)
        assert difference.p is not None
        assert row["p_holm"] >= difference.p
        assert row["method"] == "welch"
        assert row["verdict"].count(order[0]) == row["verdict"].count(row["arch"]) == 1
        judged = judge(Sample(FIGURES[order[0]]), Sample(FIGURES[row["arch"]]), metric, comparisons=3)
        assert judged.effect is not None
        assert row["effect_size"] == judged.effect.size > 0  # of the best over this one
        assert row["probability_of_improvement"] == judged.improvement > 0.5
        assert row["seeds_needed"] == judged.needed
        assert row["better"] == ("is better than" in row["verdict"]) == (row["p_holm"] < 0.05)
        assert row["better"] or f"{row['seeds_needed']} seeds of each would be needed" in row["verdict"]


def test_p_values_are_corrected_over_all_pairs_of_the_experiment() -> None:
    # the best was chosen by the same figures: over its own two comparisons alone, gru's p would be doubled
    gru, lstm, others = (welch(FIGURES[a], FIGURES[b]).p for a, b in (("gru", "rnn"), ("lstm", "rnn"), ("gru", "lstm")))
    assert gru is not None
    assert lstm is not None
    assert others is not None
    first, second = sorted((gru, lstm))
    rows = {row["arch"]: row for row in compare("a", results(FIGURES, "precision"))}
    assert sorted((rows["gru"]["p_holm"], rows["lstm"]["p_holm"])) == pytest.approx(
        [3 * first, max(3 * first, 2 * second)]
    )
    assert "rnn is better than gru" in rows["gru"]["verdict"]
    close = {row["arch"]: row for row in compare("a", results(FIGURES))}["gru"]
    assert close["p_holm"] == pytest.approx(others)  # the largest of three
    assert "No evidence of a difference" in close["verdict"]


def test_one_seed_is_compared_without_a_test() -> None:
    rows = compare("a", results({"lstm": [2.0], "gru": [1.0]}))
    assert [row["arch"] for row in rows] == ["gru", "lstm"]
    assert all(row["low"] is row["high"] is row["p_holm"] is None for row in rows)
    assert "4 more seeds of each are needed" in rows[1]["verdict"]


@pytest.mark.parametrize("metric", ["loss", "precision"])
@pytest.mark.parametrize("arch", FIGURES)
def test_an_arch_that_diverged_is_never_the_best(arch: str, metric: str) -> None:
    # NaN is neither less nor more than anything: where it stands after a sort is chance.
    rows = compare("a", results(FIGURES | {arch: [2.0, float("nan"), 2.0]}, metric))
    assert rows[0]["arch"] != arch
    assert rows[-1]["arch"] == arch
    assert f"A run of {arch} diverged (1 of 3 seeds)" in rows[-1]["verdict"]
    assert not rows[-1]["better"]


# ---- scales


def test_squared_errors_are_compared_as_logarithms_and_stated_as_a_factor() -> None:
    # on their own scale, as they were compared before: p = 0.15, and lstm 0.0033 ± 0.0041
    figures = {
        "coupled": [0.00013, 0.00011, 0.00016, 0.00012, 0.00014],
        "lstm": [0.0021, 0.0005, 0.0084, 0.0011, 0.0044],
    }
    best, other = compare("adding", errors(figures))
    assert best["arch"] == "coupled"
    assert other["better"]
    assert other["mean"] == pytest.approx(stats.gmean(figures["lstm"]))
    assert 0 < other["low"] < other["mean"] < other["high"]
    assert other["high"] / other["mean"] == pytest.approx(other["mean"] / other["low"])
    ratio = stats.gmean(figures["lstm"]) / stats.gmean(figures["coupled"])
    assert other["difference_to_best"] == pytest.approx(ratio)
    assert 1 < other["difference_low"] < ratio < other["difference_high"]
    assert f"the loss of lstm is {ratio:.1f} times (" in other["verdict"]


def test_the_order_is_that_of_the_scale_by_which_the_mean_is_formed() -> None:
    # the arithmetic mean of a is the lower one
    figures = {"a": [0.1, 0.1, 0.1, 0.1, 0.1], "b": [0.001, 0.002, 0.001, 0.003, 0.6]}
    assert [row["arch"] for row in compare("a", errors(figures))] == ["b", "a"]
    assert [row["arch"] for row in compare("a", results(figures))] == ["a", "b"]


def test_perplexity_gives_the_verdict_of_its_nats() -> None:
    nats = {"a": [4.1, 4.2, 4.15, 4.11, 4.3], "b": [4.4, 4.2, 4.5, 4.41, 4.6], "c": [5.0, 5.3, 5.1, 5.2, 4.9]}
    perplexity = {arch: [math.exp(value) for value in values] for arch, values in nats.items()}
    for one, other in zip(compare("a", results(nats)), compare("a", results(perplexity, "perplexity")), strict=True):
        assert one["p_holm"] == (None if other["p_holm"] is None else pytest.approx(other["p_holm"]))
        assert math.exp(one["mean"]) == pytest.approx(other["mean"])
        assert one["difference_low"] is None or math.exp(one["difference_low"]) == pytest.approx(
            other["difference_low"]
        )


def test_accuracies_are_compared_by_their_odds_from_counts() -> None:
    figures = {"a": [0.99, 1.0, 0.98, 1.0, 1.0], "b": [0.9, 0.92, 0.91, 0.93, 0.88]}
    best, other = compare("a", results(figures, "accuracy", items={"accuracy": 100}))
    assert best["arch"] == "a"
    assert best["high"] <= 1
    assert other["better"]
    assert "odds 12.2 times" in other["verdict"]
    assert other["difference_to_best"] == pytest.approx(1 / 12.2, rel=0.01)
    assert "run unroll evaluate again" in verdicts(results(figures, "accuracy"))["b"]


def test_an_error_of_0_is_explained() -> None:
    verdict = verdicts(errors({"a": [0.0, 0.1, 0.2, 0.1, 0.2], "b": [0.3, 0.4, 0.5, 0.3, 0.4]}))["b"]
    assert "The loss of a is 0 on 1 of 5 seeds, which has no logarithm" in verdict


def test_figures_that_do_not_name_their_task_are_known_by_their_headline() -> None:
    older = results(FIGURES, "perplexity")
    for run in older.values():
        del run["task"]
    assert {row["scale"] for row in compare("a", older)} == {"ratio"}
    for run in older.values():
        run |= {"headline": "mine", "test": {"mine": 1.0}}
    with pytest.raises(BadInput, match="mine"):
        compare("a", older)


# ---- two kinds of outcomes


GOOD, BAD = [0.001, 0.002, 0.0012, 0.0009, 0.001], [0.16, 0.17, 0.165, 0.16, 0.17]


def test_where_some_runs_solve_the_problem_and_others_do_not_counts_decide() -> None:
    small = [0.0001 + value / 9 for value in GOOD]
    figures = {
        "lstm": BAD,
        "gru": GOOD,
        "coupled": small,
        "irnn": [*GOOD[:3], *BAD[:2]],
    }
    rows = {row["arch"]: row for row in compare("adding", errors(figures, solved="loss <= 0.01"))}
    assert list(rows) == ["coupled", "gru", "irnn", "lstm"]
    assert [row["solved"] for row in rows.values()] == [5, 5, 3, 0]
    assert [row["method"] for row in rows.values()] == [None, "welch", "boschloo", "boschloo"]
    of_means = welch([math.log(value) for value in small], [math.log(value) for value in GOOD]).p
    of_counts = [boschloo(5, 5, solved, 5) for solved in (0, 0, 3, 3)]
    corrected = holm([of_means, *of_counts, boschloo(3, 5, 0, 5)])
    assert rows["lstm"]["p_holm"] == pytest.approx(corrected[1])
    assert rows["lstm"]["verdict"] == "coupled is better than lstm: solved by 5 of 5 seeds against 0 of 5 (p = 0.010)."
    assert rows["lstm"]["difference_to_best"] is None
    assert not rows["irnn"]["better"]
    assert "solved by 5 of 5 seeds against 3 of 5" in rows["irnn"]["verdict"]
    assert "times" in rows["gru"]["verdict"]


def test_the_share_of_solutions_comes_before_the_mean() -> None:
    figures = {"a": [1e-9, 1e-9, 1e-9, 1e-9, 0.16], "b": GOOD}
    assert [row["arch"] for row in compare("a", errors(figures))] == ["a", "b"]
    assert [row["arch"] for row in compare("a", errors(figures, solved="loss <= 0.01"))] == ["b", "a"]


@pytest.mark.parametrize("bound", [1e-9, 0.9])
def test_where_all_runs_solve_the_problem_or_none_does_a_declaration_changes_nothing(bound: float) -> None:
    plain, other = (verdicts(errors({"a": GOOD, "b": BAD}, solved=text)) for text in (None, f"loss <= {bound}"))
    assert plain == other


def test_a_run_that_diverged_has_not_solved_the_problem() -> None:
    figures = {"a": GOOD, "b": [*BAD[:4], float("nan")]}
    verdict = verdicts(errors(figures, solved="loss <= 0.01"))["b"]
    assert verdict.startswith("a is better than b: solved by 5 of 5 seeds against 0 of 5 (1 diverged)")


def test_three_seeds_of_two_kinds_make_no_winner() -> None:
    for solved in (None, "loss <= 0.01"):
        rows = compare("a", errors({"a": GOOD[:3], "b": BAD[:3], "c": BAD[:3]}, solved=solved))
        assert not any(row["better"] for row in rows)
        assert "2 more seeds of each are needed" in rows[1]["verdict"]


def test_runs_of_two_declarations_are_refused() -> None:
    content = errors({"a": GOOD, "b": BAD}, solved=lambda arch: "loss <= 0.01" if arch == "a" else None)
    with pytest.raises(BadInput, match=r"solved=.*solved="):
        compare("adding", content)


@pytest.mark.parametrize(("text", "words"), [("loss >= 0.1", "write <="), ("los <= 0.1", "did you mean loss"),
                                             ("f1 >= 0.1", "f1")])  # fmt: skip
def test_a_declaration_that_cannot_be_is_named_with_the_experiment(text: str, words: str) -> None:
    with pytest.raises(BadInput, match=words) as caught:
        compare("adding", errors({"a": GOOD, "b": BAD}, solved=text))
    assert str(caught.value).startswith("adding: ")


# ---- what has no randomness


def test_an_n_gram_is_one_measurement_and_never_a_sample() -> None:
    figures = {"ngram": [200.0] * 5, "lstm": [154.0, 155.0, 157.0, 158.0, 151.0]}
    content = results(figures, "perplexity", deterministic=lambda arch: arch == "ngram")
    best, ngram = compare("a", content)
    assert (ngram["seeds"], ngram["deterministic"], ngram["low"], ngram["high"]) == (1, True, None, None)
    assert ngram["mean"] == 200.0
    assert ngram["method"] == "constant"
    logs = [math.log(value) for value in figures["lstm"]]
    assert ngram["p_holm"] == pytest.approx(stats.ttest_1samp(logs, math.log(200)).pvalue)
    assert ngram["verdict"].startswith(
        "lstm is better than ngram: the perplexity of ngram is 1.29 times (1.26 to 1.32)"
    )
    assert best["seeds"] == 5


def test_the_table_shows_no_interval_of_an_n_gram(tmp_path: Path) -> None:
    content = results({"ngram": [200.0] * 3, "lstm": [154.0, 155.0, 157.0]}, "perplexity",
                      deterministic=lambda arch: arch == "ngram")  # fmt: skip
    text = compare_all(stored(tmp_path / "metrics", a=content), tmp_path / "cost", tmp_path / "out", None)
    (line,) = [line for line in text.splitlines() if line.startswith("  ngram")]
    assert line.split()[:2] == ["ngram", "200.0"]
    assert "200.0 ±" not in text
    assert "(200.0 to" not in text


def test_the_columns_of_the_table_stand_below_each_other(tmp_path: Path) -> None:
    content = errors({"lstm": [0.001, 0.002, 0.003], "gru-reset-before": [0.02, 5.0, 0.004], "rnn": [7.0, 800.0, 9.0]},
                     solved="loss <= 0.01")  # fmt: skip
    metrics = stored(tmp_path / "metrics", a=content)
    stored(tmp_path / "cost", a=costs(**{"lstm": [2000.0] * 6, "gru-reset-before": [90.0] * 6}))
    text = compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    lines = [line for line in text.splitlines() if re.match(r"  \S", line)]
    assert len(lines) == 3
    assert all("solved by" in line for line in lines)
    for word in (" parameters", " tokens/s"):
        assert len({line.index(word) for line in lines if word in line}) == 1
    assert len({line.index(line.split()[1]) for line in lines}) == 1
    assert not any(line.endswith(" ") for line in lines)


@pytest.mark.parametrize(("figures", "is_said"), [([0.0, 5.0, 6.0], True), ([0.0] * 3, False), ([1.0] * 3, False)])
def test_a_figure_of_zero_does_not_make_an_architecture_first_in_silence(figures: list[float], is_said: bool) -> None:
    first = compare("a", errors({"lstm": [0.1, 0.2, 0.3], "gru": figures}))[0]
    noted = "its loss is 0 on 1 of 3 seeds" in (first["caveat"] or "")
    assert (first["arch"], noted) == ("gru" if 0.0 in figures else "lstm", is_said)


def test_what_has_no_randomness_must_not_vary() -> None:
    with pytest.raises(BadInput, match="a/ngram is deterministic"):
        compare("a", results({"ngram": [200.0, 201.0]}, "perplexity", deterministic=True))


# ---- files


def test_csv_and_json_hold_the_same_rows_for_every_experiment(tmp_path: Path) -> None:
    metrics = stored(tmp_path / "metrics", a=results(FIGURES), b=results(FIGURES, "precision"))
    text = compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "comparison.csv",
        "comparison.json",
    ]
    rows = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert rows == compare("a", results(FIGURES)) + compare("b", results(FIGURES, "precision"))
    with (tmp_path / "out" / "comparison.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert table == [{key: "" if value is None else str(value) for key, value in row.items()} for row in rows]
    for row in rows:
        assert row["arch"] in text
        assert (row["verdict"] or "") in text


def test_speeds_go_beside_the_outs_and_never_into_them(tmp_path: Path) -> None:
    metrics = stored(tmp_path / "metrics", a=results(FIGURES))
    compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    around = [0.99, 0.995, 1.0, 1.005, 1.01]
    stored(tmp_path / "cost", a=costs(lstm=[2000 * part for part in around], gru=[1000 * part for part in around]))
    text = compare_all(metrics, tmp_path / "cost", tmp_path / "out", None)
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before
    span = interval([2000 * part for part in around], TOKENS_PER_SECOND)
    assert f"2,000 ({span.low:,.0f} to {span.high:,.0f}) tokens/s" in text
    faster = "lstm is faster than gru: the speed of lstm is 2.00 times (1.98 to 2.02) that of gru (p < 0.001)."
    assert faster in text
    with (tmp_path / "cost" / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["arch"], row["tokens_per_second"], row["measurements"]) for row in rows] == [
        ("lstm", "2000", "5"), ("gru", "1000", "5")]  # fmt: skip
    assert [row["verdict"] for row in rows] == ["", faster]


def costs(**speeds: list[float]) -> dict[str, dict[str, Any]]:
    """What ``evaluate --costs`` writes of the first seed of each architecture."""
    return {arch: {"run": f"{arch}-0", "tokens_per_second": values} for arch, values in speeds.items()}


def test_speeds_too_few_or_alike_have_words_of_their_own(tmp_path: Path) -> None:
    (once,) = stored(tmp_path, a=costs(lstm=[2000.0], gru=[1000.0]))
    lstm, gru = compare_speeds("a", load_costs(once, [*results({"lstm": [1.0], "gru": [1.0]}).values()]).speeds)
    assert lstm["low"] is lstm["verdict"] is gru["p_holm"] is None
    assert gru["verdict"].startswith("The speed of lstm is 2.00 times that of gru; below 3 measurements of each")
    speeds = {"lstm": [10.0, 30.0, 20.0, 22.0, 19.0], "gru": [11.0, 28.0, 20.0, 21.0, 18.0]}
    near = compare_speeds("a", speeds)[1]["verdict"]
    assert near.startswith("No evidence of a difference between lstm and gru: the speed of lstm is 1.01 times (")
    assert "measurements of each would be needed" in near
    assert compare_speeds("a", {}) == []


@pytest.mark.parametrize("content", [3, [], {"lstm": {"tokens_per_second": 3.0}}, {"lstm": {"tokens_per_second": []}},
                                     {"lstm": {"tokens_per_second": [0.0]}}, {"lstm": 3},
                                     {"lstm": {"tokens_per_second": ["fast"]}},
                                     {"lstm": {"tokens_per_second": [float("nan")]}}])  # fmt: skip
def test_costs_of_another_form_are_named(content: Any, tmp_path: Path) -> None:
    (path,) = stored(tmp_path, a=content)
    with pytest.raises(BadInput, match="remove it, and measure again") as caught:
        load_costs(path, [])
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("value", "written"),
    [(0.0, "0.0000"), (0.00012345, "0.000123"), (-0.0099, "-0.00990"), (0.01, "0.0100"), (0.98765, "0.9877"),
     (1.499, "1.4990"), (12.345, "12.35"), (136.42, "136.4")],
)  # fmt: skip
def test_a_figure_is_written_with_the_digits_that_its_size_leaves(value: float, written: str) -> None:
    assert f"{value:.{digits(value)}f}" == written


@pytest.mark.parametrize("content", [b"", b"not json", b"{}", b"[]", b"3", b'"text"', b'{"lstm-0": {"arch": "lstm"}}',
                                     b'{"lstm-0": 3}', b"\xff\xfe"])  # fmt: skip
def test_a_bad_metrics_file_is_named_and_nothing_is_written(content: bytes, tmp_path: Path) -> None:
    good = stored(tmp_path / "metrics", a=results(FIGURES))
    bad = tmp_path / "bad.json"
    bad.write_bytes(content)
    with pytest.raises(BadInput, match="was not written by unroll evaluate") as caught:
        compare_all([*good, bad], tmp_path / "cost", tmp_path / "out", None)
    assert str(bad) in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "key", ["arch", "seed", "split", "parameters", "tokens", "order", "test", "validation", "headline", "mode"]
)
def test_a_metrics_file_without_a_key_is_named(key: str, tmp_path: Path) -> None:
    content = results(FIGURES)
    del content["gru-1"][key]
    (path,) = stored(tmp_path / "metrics", a=content)
    with pytest.raises(BadInput, match="was not written by unroll evaluate") as caught:
        load_results(path)
    assert str(path) in str(caught.value)


def test_a_missing_metrics_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist") as caught:
        load_results(tmp_path / "absent.json")
    assert str(tmp_path / "absent.json") in str(caught.value)


def test_a_folder_of_metrics_is_told_from_a_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        load_results(tmp_path)
    assert str(tmp_path) in str(caught.value)
