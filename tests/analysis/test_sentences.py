"""What ``compare`` and ``verdict`` say of tables that are easily misread, at the command line."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from unroll.analysis.verdict import Sample, judge_against, sentence
from unroll.cli import main
from unroll.metrics import NATS

Runs = dict[str, dict[str, Any]]
Said = Callable[..., tuple[int, str]]
TASKS = {"perplexity": "language_model", "loss": "regressor", "accuracy": "cloze", "f1": "tagger"}


def written(figures: dict[str, list[float]], metric: str = "perplexity", fixed: str = "", **more: Any) -> Runs:
    """What ``evaluate`` writes; ``fixed`` is an architecture without randomness."""
    return {
        f"{arch}-{seed}": {
            "arch": arch, "seed": seed, "split": "test", "parameters": 0 if arch == fixed else 1000, "tokens": 5000,
            "order": {}, "vocabulary": "v", "data": dict.fromkeys(("train", "validation", "test"), "d"),
            "evaluation": {}, "test": {metric: value}, "validation": {metric: value}, "headline": metric,
            "mode": "min" if metric in ("perplexity", "loss") else "max", "task": TASKS[metric], "solved": None,
            "deterministic": arch == fixed, **more,
        }
        for arch, values in figures.items() for seed, value in enumerate(values)
    }  # fmt: skip


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Said:
    monkeypatch.chdir(tmp_path)

    def run(verb: str, runs: Runs, *words: str) -> tuple[int, str]:
        Path("m.json").write_text(json.dumps(runs), encoding="utf-8")
        a, b = list(dict.fromkeys(run["arch"] for run in runs.values()))[:2] if verb == "verdict" else ("", "")
        sides = [f"m.json:{a}", f"m.json:{b}"] if verb == "verdict" else ["m.json"]
        code = main([verb, *sides, *words])
        out, error = capsys.readouterr()
        return code, out + error

    return run


@pytest.mark.parametrize("verb", ["compare", "verdict"])
@pytest.mark.parametrize(("seeds", "clause"), [(1, "4 more seeds of gru are"), (2, "3 more seeds of gru are"),
                                               (4, "1 more seed of gru is")])  # fmt: skip
def test_a_network_of_few_seeds_is_no_constant_beside_an_n_gram(said: Said, verb: str, seeds: int, clause: str) -> None:
    code, text = said(verb, written({"gru": [90.0, 91.0, 92.0, 90.5][:seeds], "kn": [120.0] * seeds}, fixed="kn"))
    assert code == 0
    assert clause in text
    assert "alike" not in text
    assert "improvement" not in text or seeds > 2
    assert "of each" not in text
    assert "better than" not in text


def test_a_permutation_test_is_worded_by_what_it_tests_below_five_seeds_too(said: Said) -> None:
    runs = written({"a": [90.0, 91.0, 92.0, 90.5], "b": [120.0, 121.0, 119.0, 118.0]})
    last = said("verdict", runs, "--test", "permutation")[1].splitlines()[-1]
    assert "do not come from one distribution" in last
    assert "better" not in last
    few = said("verdict", {name: run for name, run in runs.items() if run["seed"] < 3}, "--test", "permutation")[1]
    assert "with 3 and 3 seeds a permutation test has no p below 0.100" in few


def test_a_test_that_was_not_asked_for_is_given_with_its_reason(said: Said) -> None:
    words = ("--test", "permutation")
    text = said("verdict", written({"gru": [90.0, 91.0, 92.0, 90.5, 90.2], "kn": [120.0] * 5}, fixed="kn"), *words)[1]
    assert "since kn is deterministic" in text
    assert "of gru, for a power of 0.8" in text
    runs = written({"a": [0.001] * 5, "b": [0.16] * 5}, "loss", solved="loss <= 0.01")
    assert "since only some runs solve the problem" in said("verdict", runs, *words)[1]


@pytest.mark.parametrize("verb", ["compare", "verdict"])
def test_a_sentence_begins_with_a_capital_letter_whatever_the_names(said: Said, verb: str) -> None:
    # "acc" is the beginning of accuracy as well
    runs = written({"acc": [0.5, 0.51], "b": [0.4, 0.39]}, "accuracy", items={"accuracy": 5000})
    assert "Accuracy is 0.5050 for acc" in said(verb, runs)[1]


@pytest.mark.parametrize("metric", ["perplexity", "f1"])
@pytest.mark.parametrize("fixed", ["", "a", "both"])
def test_equal_figures_are_called_the_same_and_not_a_factor_of_one(said: Said, metric: str, fixed: str) -> None:
    runs = written({"a": [0.5] * 5, "b": [0.5] * 5}, metric)
    for run in runs.values():
        run["deterministic"] = fixed in (run["arch"], "both")
    for verb in ("compare", "verdict"):
        text = said(verb, runs)[1]
        assert f"a and b have the same {metric}" in text
        assert "1.00 times that" not in text
        assert "nothing to test" in text


def test_a_diverged_side_keeps_the_decimals_of_the_other(said: Said) -> None:
    text = said("verdict", written({"a": [math.nan, 0.1, 0.2], "b": [0.3, 0.31, 0.32]}, "loss"))[1]
    assert "loss of a   not a number over 3 seeds" in text
    assert "0.3099 (0.2" in text
    assert "nan" not in text


def test_a_side_far_below_the_other_is_not_written_as_0(said: Said) -> None:
    text = said("verdict", written({"a": [0.00000123], "b": [0.3]}, "loss"))[1]
    assert "0.00000123 over 1 seed" in text


@pytest.mark.parametrize("verb", ["compare", "verdict"])
def test_figures_beyond_reading_have_an_exponent(said: Said, verb: str) -> None:
    text = said(verb, written({"a": [1e-300] * 5, "b": [1e300, 1e299, 1e300, 1e300, 1e300]}, "loss"))[1]
    assert max(map(len, text.splitlines())) < 200
    assert "1e-300" in text
    assert "6.31e+299" in text
    assert "10 to the power of 600 times" in text
    assert "inf" not in text


def test_another_validation_split_is_stated_and_not_called_learned_from(said: Said) -> None:
    runs = written({"a": [90.0, 91.0, 92.0, 90.5, 90.2], "b": [120.0, 121.0, 119.0, 118.0, 121.0]})
    assert "expected on validation" in said("verdict", runs)[1]
    for run in runs.values():
        run["data"] = {**run["data"], "validation": run["arch"]}
    assert "a and b did not choose their weights on the same validation split" in said("compare", runs)[1]
    text = said("verdict", runs)[1]
    assert "validation data differ" in text
    assert "expected on validation" not in text  # of two validation splits


DAMAGE: list[tuple[str, Any]] = [
    ("items", 500), ("items", {"perplexity": "x"}), ("items", {"perplexity": True}), ("sequences", {"loss": {}}),
    ("sequences", 3), ("sequences", {"loss": {"numbers": [1], "sums": ["x"], "counts": [1]}}),
    ("sequences", {"loss": {"numbers": [1, 2], "sums": [1.0], "counts": [1]}}), ("test", {"perplexity": "12"}),
    ("test", {"perplexity": True}), ("validation", [1]), ("deterministic", "yes"), ("solved", 3), ("task", 7),
    ("vocabulary", ["v"]), ("seed", 0.5), ("parameters", "many"), ("tokens", None), ("items", None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "value"), DAMAGE)
@pytest.mark.parametrize("verb", ["compare", "verdict"])
def test_figures_that_evaluate_does_not_write_are_refused(said: Said, verb: str, key: str, value: Any) -> None:
    runs = written({"a": [90.0, 91.0, 92.0], "b": [120.0, 121.0, 119.0]})
    code, text = said(verb, runs | {"a-0": {**runs["a-0"], key: value}})
    assert code == 2
    assert "m.json was not written by unroll evaluate" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("verb", ["compare", "verdict"])
def test_a_seed_does_not_count_twice(said: Said, verb: str) -> None:
    runs = written({"a": [90.0, 91.0, 92.0, 90.5], "b": [120.0, 121.0, 119.0, 118.0, 121.0]})
    code, text = said(verb, runs | {"again": runs["a-0"]})
    assert code == 2
    assert "m.json has 2 runs of arch=a seed=0" in text


def test_the_lower_limit_of_a_factor_keeps_its_digits(said: Said) -> None:
    runs = written({"a": [1e-3, 1e-3, 2e-1, 1e-3, 3e-1], "b": [0.5, 0.4, 0.6, 0.5, 1e-3]}, "loss")
    for verb in ("compare", "verdict"):
        text = said(verb, runs)[1]
        assert "15.8 times (0.23 to 1,093.8)" in text  # and not (0.2


@pytest.mark.parametrize(
    ("a", "more", "words", "why"),
    [
        ([90.0, 91.0, 92.0], {}, (), "fewer than 5 seeds of each"),
        ([90.0, 91.0, 92.0, 93.0, 94.0], {}, ("--test", "paired"), "fewer than 8 pairs"),
        ([90.0, 91.0, 92.0, 93.0, math.nan], {}, (), "not a number"),
        ([90.0] * 5, {}, (), "the figures do not vary"),
        ([90.0] * 5, {"solved": "perplexity <= 95"}, (), "counts"),
    ],
)
def test_a_margin_that_was_asked_for_and_not_tested_has_its_reason(
    said: Said, a: list[float], more: dict[str, Any], words: tuple[str, ...], why: str
) -> None:
    b = [100.0 + (value - 90 if len(set(a)) > 1 and value == value else 0) for value in a]
    code, text = said("verdict", written({"a": a, "b": b}, **more), "--margin", "1.5", *words)
    assert code == 0
    (line,) = [line for line in text.splitlines() if line.startswith("  p of a margin")]
    assert "not tested" in line
    assert why in line


def test_a_p_beside_the_level_shows_on_which_side_it_is() -> None:
    from unroll.analysis.verdict import p_value

    assert (p_value(0.04996), p_value(0.0504), p_value(0.0494), p_value(0.0506)) == (
        "0.04996", "0.05040", "0.049", "0.051")  # fmt: skip


def test_a_corrected_p_beside_an_interval_that_excludes_no_difference_says_which_p_fits_it() -> None:
    values = {"lstm": [2.0, 2.1, 1.9], "gru": [2.2, 2.3, 2.25], "rnn": [2.0, 2.3, 1.8], "irnn": [2.1, 2.2, 1.9]}
    samples = {name: Sample(figures) for name, figures in values.items()}
    found = judge_against("lstm", samples, NATS)
    assert found["gru"].difference.p < 0.05 <= found["gru"].p
    text = sentence("lstm", "gru", found["gru"], 2)
    assert re.search(r"No evidence of a difference .* ± .*\(p = 0\.\d{3} corrected for 6 comparisons; like the "
                     r"interval, p = 0\.\d{3} for this pair alone\)", text)  # fmt: skip
    other = sentence("lstm", "rnn", found["rnn"], 2)
    assert "corrected" not in other
