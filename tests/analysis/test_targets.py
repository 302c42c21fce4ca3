"""Targets: the architecture is chosen on validation and judged on test, and PASS or FAIL depends on nothing else."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll.cli import main

NAN = math.nan
Figures = dict[str, tuple[list[Any], list[Any]]]  # numbers or None: architecture → figures on validation, and on test
Compare = Callable[..., tuple[int, str, str]]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Compare:
    """``unroll compare`` with one target of one experiment: its exit code, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(figures: Figures, metric: str = "loss", judged: str = "", **target: Any) -> tuple[int, str, str]:
        runs = {
            f"{arch}-{seed}": {
                "arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": {},
                "test": {metric: test[seed]}, "validation": {metric: validation[seed]}, "headline": metric,
                "mode": "max" if metric == "accuracy" else "min", "deterministic": arch == "ngram", "solved": None,
                "task": {"loss": "language_model", "perplexity": "language_model"}.get(metric, "tagger"),
            }
            for arch, (validation, test) in figures.items() for seed in range(len(test))
        }  # fmt: skip
        Path("a.json").write_text(json.dumps(runs), encoding="utf-8")
        content = [{"experiment": "a", "metric": judged or metric, "source": "a paper"} | target]
        Path("targets.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        return main(["compare", "a.json", "--out", "out", "--targets", "targets.yaml"]), *capsys.readouterr()

    return run


def checked(compare: Compare, figures: Figures, **target: Any) -> dict[str, Any]:
    code, out, error = compare(figures, **target)
    assert (code, error) == (0, "")
    text = Path("out/targets.json").read_text(encoding="utf-8")
    (row,) = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    line = next(line for line in out.splitlines() if line.startswith(("PASS", "FAIL")))
    assert line.startswith(row["result"])
    assert (row["note"] or "") in line
    assert row["source"] == "a paper"
    return {**row, "line": line}


SAME: Figures = {arch: (values, values) for arch, values in
                 {"rnn": [3.0, 3.2, 3.1], "lstm": [2.0, 2.1, 2.05], "gru": [2.1, 2.2, 2.0]}.items()}  # fmt: skip


@pytest.mark.parametrize(
    ("target", "arch", "bound", "result"),
    [
        ({"at_most": 2.06}, "lstm", 2.06, "PASS"),
        ({"at_most": 2.04}, "lstm", 2.04, "FAIL"),
        ({"at_least": 3.09}, "rnn", 3.09, "PASS"),
        ({"at_least": 3.11}, "rnn", 3.11, "FAIL"),
        # `times` names a rival: the bound is a multiple of its figure, and it does not compete.
        ({"at_most": 0.7, "times": "rnn"}, "lstm", 2.17, "PASS"),
        ({"at_most": 0.6, "times": "rnn"}, "lstm", 1.86, "FAIL"),
        ({"at_most": 1.0, "times": "lstm"}, "gru", 2.05, "FAIL"),
        ({"at_least": 1.4, "times": "gru"}, "rnn", 2.94, "PASS"),
        # `archs` names those that compete.
        ({"at_most": 2.06, "archs": ["rnn", "gru"]}, "gru", 2.06, "FAIL"),
        ({"at_most": 3.2, "archs": ["rnn"]}, "rnn", 3.2, "PASS"),
        ({"at_most": 1.2, "archs": ["gru"], "times": "lstm"}, "gru", 2.46, "PASS"),
    ],
)
def test_a_target_is_met_or_missed_by_the_best_mean(
    target: dict[str, Any], arch: str, bound: float, result: str, compare: Compare
) -> None:
    row = checked(compare, SAME, **target)
    assert (row["arch"], row["result"], row["seeds"], row["note"]) == (arch, result, 3, None)
    assert row["bound"] == pytest.approx(bound)
    assert row["direction"] == ("at most" if "at_most" in target else "at least")


@pytest.mark.parametrize(("metric", "bound"), [("loss", {"at_most": 1.5}), ("accuracy", {"at_least": 0.65})])
def test_the_architecture_is_chosen_on_validation_and_judged_on_test(
    metric: str, bound: dict[str, float], compare: Compare
) -> None:
    # the luckiest on test was not the best on validation
    worse, lucky = ([1.0], [2.0]), ([1.2], [1.1])
    if metric == "accuracy":
        worse, lucky = ([0.9], [0.5]), ([0.8], [0.7])
    row = checked(compare, {"gru": lucky, "lstm": worse}, metric=metric, **bound)
    assert (row["arch"], row["result"], row["figure"]) == ("lstm", "FAIL", worse[1][0])


def test_the_mean_is_that_of_the_comparison(compare: Compare) -> None:
    row = checked(compare, {"lstm": ([100.0, 400.0], [100.0, 400.0])}, metric="perplexity", at_most=240)
    assert row["figure"] == pytest.approx(200.0)  # e to the power of the mean of the nats
    assert row["result"] == "PASS"
    for value in (0.7, 0.1, 0.945):
        assert checked(compare, {"lstm": ([value], [value])}, metric="accuracy", at_least=value)["result"] == "PASS"


@pytest.mark.parametrize("names", [("alpha", "beta"), ("beta", "alpha")])
@pytest.mark.parametrize("bound", [{"at_most": 1.5}, {"at_least": 1.5}])
def test_equals_on_validation_pass_only_if_all_of_them_do(
    names: tuple[str, str], bound: dict[str, float], compare: Compare
) -> None:
    row = checked(compare, {names[0]: ([1.0], [1.0]), names[1]: ([1.0], [2.0])}, **bound)
    assert row["result"] == "FAIL"
    assert row["arch"] == names["at_most" in bound]
    assert "tie on validation" in row["note"]
    assert checked(compare, {names[0]: ([1.0], [1.0]), names[1]: ([1.0], [NAN])}, **bound)["result"] == "FAIL"


@pytest.mark.parametrize("names", [("alpha", "beta"), ("beta", "alpha")])
@pytest.mark.parametrize("bound", [{"at_most": 3.0}, {"at_least": 1.0}])
def test_an_architecture_that_diverged_is_not_chosen_wherever_its_name_stands(
    names: tuple[str, str], bound: dict[str, float], compare: Compare
) -> None:
    figures = {names[0]: ([NAN, 1.0], [NAN, 1.0]), names[1]: ([2.0, 2.0], [2.0, 2.0])}
    row = checked(compare, figures, **bound)
    assert (row["arch"], row["result"]) == (names[1], "PASS")
    assert f"{names[0]} could not be chosen" in row["note"]


@pytest.mark.parametrize("bound", [{"at_most": 9.0}, {"at_least": 0.0}])
@pytest.mark.parametrize("lost", [NAN, math.inf, None])
def test_no_number_meets_no_bound_and_the_reason_is_given(
    lost: float | None, bound: dict[str, float], compare: Compare
) -> None:
    way = f"a, loss {'at most 9.0' if 'at_most' in bound else 'at least 0.0'}"
    row = checked(compare, {"lstm": ([1.0, 1.0], [1.0, lost])}, **bound)
    assert (row["result"], row["figure"]) == ("FAIL", None)
    assert row["line"].startswith(f"FAIL  {way}")
    assert "00: lstm has no figure (a paper); lstm has no loss on test: one of its runs diverged" in row["line"]
    row = checked(compare, {"lstm": ([lost], [1.0]), "gru": ([lost], [2.0])}, **bound)
    assert (row["result"], row["arch"], row["figure"]) == ("FAIL", None, None)
    assert "00: no architecture can be chosen (a paper); gru and lstm could not be chosen: no loss" in row["line"]
    row = checked(compare, {"lstm": ([1.0], [1.0]), "ngram": ([1.0], [lost])}, times="ngram", **bound)
    assert (row["result"], row["bound"]) == ("FAIL", None)
    assert "an unknown bound: lstm 1.0000 (a paper); the bound is unknown, since ngram has no loss" in row["line"]
    row = checked(compare, {"lstm": ([1.0], [lost]), "ngram": ([1.0], [lost])}, times="ngram", **bound)
    assert "an unknown bound: lstm has no figure (a paper); lstm has no loss on test" in row["line"]
    for words in ("not known", "no architecture not", "nan", "None"):
        assert words not in row["line"]


@pytest.mark.parametrize(
    ("target", "told"),
    [({"experiment": "absent", "at_most": 1.0}, "target 1: There is no experiment 'absent'; choose one of a."),
     ({"at_most": NAN}, "finite"), ({}, "at_least"), ({"at_most": 1.0, "at_least": 0.5}, "one bound"),
     ({"at_most": 1.0, "times": "cnn"}, "target 1: There is no arch of a 'cnn'"),
     ({"at_most": 1.0, "archs": ["cnn"]}, "target 1: There is no arch of a 'cnn'"),
     ({"at_most": 1.0, "judged": "f1"}, "target 1: There is no metric of a 'f1'; choose one of loss."),
     *(({"at_most": 1.0, key: value}, "are text, and archs is a list") for key, value in
       [("experiment", None), ("judged", 3), ("source", ["x"]), ("times", 3), ("archs", "lstm"), ("archs", [None])]),
     ({"at_most": -1.0}, "target 1: at_most -1: loss is at least 0; choose a bound")],
)  # fmt: skip
def test_a_target_of_what_there_is_not_is_named(target: dict[str, Any], told: str, compare: Compare) -> None:
    code, _, error = compare(SAME, **target)
    assert code == 2
    assert "targets.yaml" in error
    assert told in error
    assert not Path("out").exists()


def test_the_targets_of_the_paper_are_such() -> None:
    from unroll.analysis.targets import _target

    path = Path(__file__).parent.parent.parent / "paper" / "targets.yaml"
    assert all(_target(content).source for content in yaml.safe_load(path.read_text(encoding="utf-8")))


def test_repeats_of_what_has_no_randomness_are_one_measurement(compare: Compare) -> None:
    figures: Figures = {"ngram": ([1.0] * 3, [1.0] * 3), "lstm": ([2.0] * 3, [2.0] * 3)}
    assert checked(compare, figures, at_most=1.5)["seeds"] == 1
    assert checked(compare, figures, at_most=2.5, archs=["lstm"])["seeds"] == 3
