"""Intervals over the items of a small test set."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unroll import experiment, preparation
from unroll.analysis.item_level import DERIVED, ItemInterval, _to_the_first, item_difference, item_interval, wilson
from unroll.cli import main
from unroll.config import Config
from unroll.experiment import tally
from unroll.experiment.prepared_data import PreparedData
from unroll.metrics import FEW_ITEMS, Metric, Scale
from unroll.tasks.registry import metric_of

Small = Callable[..., Config]
SPANS = ["data.reader={name: columns, scheme: bio}"] + [
    f"data.{split}=data/small/spans.conll" for split in ("train", "validation", "test")]  # fmt: skip
CASES = [("grammar", "lstm", []), ("grammar", "ngram", []), ("grammar", "gru", ["training.evaluation_streams=3"]),
         ("tagging", "rnn", []), ("tagging", "bilstm-chars-crf", []), ("tagging", "rnn", SPANS),
         ("tagging", "rnn", ["training.truncation_length=2"]), ("grammar", "bilstm", ["task=cloze"]),
         ("adding", "gru", []), ("adding", "gru", ["training.truncation_length=2"])]  # fmt: skip


def evaluated(small: Small, project: Path, name: str, arch: str, *overrides: str) -> dict[str, Any]:
    """What ``evaluate`` writes of one run, through the command."""
    (project / "data" / "small" / "spans.conll").write_text("Rome B-X\nis O\nbig O\n\nI O\n\n" * 20, encoding="utf-8")
    config = small(name, arch, *overrides, "training.tokens=300", "training.validations=1")
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, project / "runs" / "run-0")
    assert main(["evaluate", "runs", "--prepared", str(prepared), "--out", "m.json"]) == 0
    run: dict[str, Any] = json.loads(Path("m.json").read_text(encoding="utf-8"))[f"{arch}-0"]
    count = len(PreparedData(config, prepared).split("test")["inputs"].lengths)
    assert all(number < count for part in run["sequences"].values() for number in part["numbers"])
    return run


@pytest.mark.parametrize(
    ("name", "arch", "overrides"),
    [
        pytest.param(*case, marks=[] if number in (0, 4, 5, 9) else pytest.mark.slow)
        for number, case in enumerate(CASES)
    ],
)
def test_the_scores_of_sequences_add_up_to_every_figure(
    name: str, arch: str, overrides: list[str], small: Small, project: Path
) -> None:
    run = evaluated(small, project, name, arch, *overrides)
    for figure, value in run["test"].items():
        source, derive = DERIVED.get(figure, (figure, float))
        assert 0 < run["items"][figure] < FEW_ITEMS
        part = run["sequences"][source]
        assert len(set(part["numbers"])) == len(part["numbers"]) > 1
        assert derive(sum(part["sums"]) / sum(part["counts"])) == pytest.approx(value, rel=1e-4)
        if figure not in ("f1", "precision", "recall"):
            assert sum(part["counts"]) == run["items"][figure]


def test_a_sequence_has_the_score_that_it_has_alone(small: Small, project: Path) -> None:
    run = evaluated(small, project, "tagging", "rnn")
    assert run["sequences"]["accuracy"]["counts"][:2] == [3, 5]  # the corpus has sentences of 3 and 5 words in turn
    sums = run["sequences"]["loss"]["sums"]
    assert sums[0] == pytest.approx(sums[2], rel=1e-4)  # and the same two, again and again
    assert sums[1] == pytest.approx(sums[3], rel=1e-4)
    assert sums[0] != pytest.approx(sums[1], rel=1e-2)


def test_a_large_test_set_keeps_no_scores(small: Small, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tally, "FEW_ITEMS", 50)
    run = evaluated(small, project, "tagging", "rnn")
    assert run["items"]["accuracy"] >= 50 > run["items"]["accuracy/left"]
    assert run["sequences"].keys() == {"accuracy/left", "accuracy/right"}


def test_evaluating_again_writes_the_same_bytes(small: Small, project: Path) -> None:
    evaluated(small, project, "grammar", "lstm")
    before = Path("m.json").read_bytes()
    prepared = preparation.prepared(small("grammar", "lstm").data)
    assert main(["evaluate", "runs", "--prepared", str(prepared), "--out", "m.json"]) == 0
    assert Path("m.json").read_bytes() == before


def run_of(name: str, sums: np.ndarray, counts: np.ndarray) -> dict[str, Any]:
    part = {"numbers": list(range(len(sums))), "sums": sums.tolist(), "counts": counts.tolist()}
    return {"test": {name: float(sums.sum() / counts.sum())}, "sequences": {name: part}}


def test_wilsons_interval_is_that_of_the_tables() -> None:
    from statsmodels.stats.proportion import proportion_confint

    for successes, count in ((0, 10), (3, 10), (10, 10), (812, 1000)):
        expected = proportion_confint(successes, count, method="wilson")
        assert wilson(successes, count) == pytest.approx(expected, abs=1e-12)


def test_a_proportion_has_wilsons_interval_and_a_mean_a_bootstrap() -> None:
    draw = np.random.default_rng(1)
    runs = [run_of("accuracy", draw.integers(0, 6, 80), np.full(80, 5)) for _ in range(2)]
    accuracy = replace(metric_of("tagger", "accuracy"), items=400)
    found = item_interval(runs, accuracy)
    assert found is not None
    mean = accuracy.mean([run["test"]["accuracy"] for run in runs])
    assert (found.low, found.high) == pytest.approx(wilson(mean * 400, 400))
    assert found.basis == "400 scored items, Wilson"
    losses = draw.exponential(1.0, 300)
    loss = replace(metric_of("language_model", "loss"), items=300)
    found = item_interval([run_of("loss", losses, np.ones(300))], loss)
    assert found is not None
    half = 1.96 * losses.std() / math.sqrt(300)
    assert found.low == pytest.approx(losses.mean() - half, abs=0.15 * half)
    assert found.high == pytest.approx(losses.mean() + half, abs=0.15 * half)
    assert found == item_interval([run_of("loss", losses, np.ones(300))], loss)  # the same resamples each time


def test_a_difference_is_paired_by_sequence() -> None:
    draw = np.random.default_rng(2)
    hard = draw.exponential(1.0, 200)  # sequences differ far more than the two sides do
    a, b = run_of("loss", hard + 0.1 + draw.normal(0, 0.01, 200), np.ones(200)), run_of("loss", hard, np.ones(200))
    loss = replace(metric_of("language_model", "loss"), items=200)
    found = item_difference([a], [b], loss)
    assert found is not None
    assert found.low > 0.095
    assert found.high < 0.105
    assert "paired bootstrap over 200 sequences" in found.basis
    perplexity = replace(metric_of("language_model", "perplexity"), items=200)
    factor = item_difference([a], [b], perplexity)
    assert factor is not None
    assert factor.low == pytest.approx(math.exp(found.low))  # a difference of nats is a factor of perplexities
    squared = replace(metric_of("regressor", "loss"), items=200)
    factor = item_difference([a], [b], squared)
    assert factor is not None
    assert 1 < factor.low < a["test"]["loss"] / b["test"]["loss"] < factor.high


def test_no_interval_is_made_up() -> None:
    loss = replace(metric_of("language_model", "loss"), items=200)
    run = run_of("loss", np.ones(200), np.ones(200))
    assert item_interval([run], replace(loss, items=None)) is None  # of an older version
    assert item_interval([run], replace(loss, items=FEW_ITEMS)) is None
    assert item_interval([{"test": {"loss": 1.0}}], loss) is None
    assert item_interval([run_of("loss", np.ones(9), np.ones(9))], replace(loss, items=9)) is None
    lost = run_of("loss", np.ones(200), np.ones(200))
    lost["sequences"]["loss"]["sums"][3] = None
    assert item_interval([lost], loss) is item_difference([run], [lost], loss) is None
    accuracy = replace(metric_of("tagger", "accuracy"), items=200)
    assert item_interval([{"test": {"accuracy": math.nan}}], accuracy) is None


# ---- through the commands


def write(lead: float, items: int = 600, spread: float = 0.3) -> str:
    """Figures of two architectures on a small test set: ``lead`` nats apart, sequences varying by ``spread``."""
    draw, count = np.random.default_rng(3), items // 3
    hard = 3 * draw.exponential(1.0, count) + 3
    runs = {}
    for arch, more in (("gru", 0.0), ("lstm", 3 * lead)):
        own = draw.normal(more, spread, count)
        for seed in range(5):
            sums = [float(f"{value:.6g}") for value in hard + own + 0.001 * seed]
            loss = sum(sums) / items
            test = {"loss": loss, "perplexity": math.exp(loss), "accuracy/8": 0.5}
            part = {"numbers": list(range(count)), "sums": sums, "counts": [3] * count}
            runs[f"{arch}-{seed}"] = {
                "arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": {}, "test": test,
                "items": {"loss": items, "perplexity": items, "accuracy/8": 40}, "sequences": {"loss": part},
                "validation": test, "headline": "perplexity", "mode": "min", "task": "language_model",
                "deterministic": False, "solved": None,
            }  # fmt: skip
            folder = Path(f"outputs/runs/small/{arch}/{seed}")
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "history.csv").write_text("tokens,metric,value\n9,val/perplexity,3\n", encoding="utf-8")
    path = Path("outputs/metrics/small.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(runs), encoding="utf-8")
    return str(path)


def printed(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(list(words)) == 0
    return capsys.readouterr().out


def test_every_command_gives_the_interval_over_items_beside_that_over_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(lead=0.1)
    told = printed(capsys, "compare", path, "--out", "outputs/comparison")
    assert told.count("over items: ") == 3  # of each, and of their difference
    assert told.count("600 scored items, bootstrap over 200 sequences") == 2
    assert "paired bootstrap over 200 sequences" in told
    assert "test set is small" not in told
    best, other = json.loads(Path("outputs/comparison/comparison.json").read_text(encoding="utf-8"))
    assert best["items_low"] < best["mean"] < best["items_high"]
    assert best["high"] - best["low"] < best["items_high"] - best["items_low"]  # seeds say nothing of it
    assert 1 < other["difference_items_low"] < other["difference_to_best"] < other["difference_items_high"]
    told = printed(capsys, "verdict", f"{path}:lstm", f"{path}:gru")
    assert f"{other['difference_items_low']:.2f} to {other['difference_items_high']:.2f} times" in told
    told = printed(capsys, "verdict", f"{path}:lstm", f"{path}:gru", "--metric", "accuracy/8")
    assert told.count("40 scored items, Wilson") == 2
    _report(monkeypatch)
    page = Path("outputs/report/index.html").read_text(encoding="utf-8")
    assert page.count(">items: ") == 2
    assert "600 scored items, bootstrap over 200 sequences." in page
    assert other["difference_over_items"] in page


def _report(monkeypatch: pytest.MonkeyPatch) -> None:
    from unroll import config

    about = {"small": {"question": "Which?", "data": "a corpus", "grouped_by": []}}
    monkeypatch.setattr(config, "course", lambda _: {"own": {"experiments": ["small"], "archs": ["gru", "lstm"]}})
    monkeypatch.setattr(config, "about", lambda _: about)
    assert main(["report"]) == 0


def test_where_other_items_might_show_no_difference_every_command_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(lead=0.02, spread=2.0)
    told = printed(capsys, "compare", path, "--out", "outputs/comparison")
    assert " is better than " in told  # seeds hardly differ
    assert "the test set is small: with other items the difference might be nothing" in told
    assert "the test set is small" in printed(capsys, "verdict", f"{path}:lstm", f"{path}:gru")
    _report(monkeypatch)
    assert "the test set is small" in Path("outputs/report/index.html").read_text(encoding="utf-8")


def test_a_large_test_set_needs_no_interval_over_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(lead=0.1, items=FEW_ITEMS + 1)
    assert "over items" not in printed(capsys, "compare", path, "--out", "outputs/comparison")
    assert "over items" not in printed(capsys, "verdict", f"{path}:lstm", f"{path}:gru")
    _report(monkeypatch)
    page = Path("outputs/report/index.html").read_text(encoding="utf-8")
    assert "items" not in page.split("<body>")[1].split("<pre>")[0]


@pytest.mark.parametrize(("scale", "words"), [
    ("log-odds", "over items, the odds of the first are 2.00 to 4.00 times as high, bootstrap"),
    ("ratio", "difference to the first over items: 0.25 to 0.50 times, bootstrap"),
])  # fmt: skip
def test_the_interval_over_items_has_the_direction_of_the_verdict(scale: Scale, words: str) -> None:
    found = ItemInterval(0.25, 0.5, 100, "bootstrap")
    assert _to_the_first(found, Metric("a", scale, lower=False), 2) == words
