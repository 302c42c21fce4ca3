"""``unroll verdict``: figures and runs, and the sides that are refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll import preparation
from unroll.cli import main
from unroll.config import Config

Refused = Callable[..., str]
Small = Callable[..., Config]
TrainedTo = Callable[[Config, Path], Path]


def test_verdict_judges_figures_and_runs(
    trained: TrainedTo, refused: Refused, tagger: Path, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = preparation.prepared(small("tagging", "bilstm").data)
    trained(small("tagging", "lstm", "seed=3"), tagger.parent / "lstm-3")
    options = ["--prepared", str(prepared), "--out", "m/tagging.json", "--costs", "costs"]
    assert main(["evaluate", str(tagger.parent), *options]) == 0
    capsys.readouterr()
    sides = ["m/tagging.json:bilstm", "m/tagging.json:lstm"]
    assert main(["verdict", *sides, "--costs", "costs"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("tagging: test accuracy")
    assert any("paired bootstrap" in line for line in lines)
    assert not any("no interval for the difference" in line for line in lines)
    assert "4 more seeds of each are needed" in lines[-2]
    assert "the speed of" in lines[-1]
    runs = ["runs/tagging/bi*", "runs/tagging/lstm-3"]
    assert main(["verdict", *runs, "--metric", "loss", "--test", "permutation"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("tagging: validation loss")
    assert "no interval for the difference over these 80 items: runs do not keep the scores of their seq" in text
    assert "has runs of bilstm, lstm" in refused("verdict", "runs/tagging", sides[0])
    assert "their split is test and validation" in refused("verdict", sides[0], runs[1])
    assert "--margin" in refused("verdict", *sides, "--margin", "-1")
    assert "has seeds 0 and runs/tagging/lstm-3 3" in refused("verdict", *runs, "--test", "paired")


def write_figures(metric: str, mode: str, task: str, **figures: list[float]) -> None:
    """Figures of architectures, as ``evaluate`` writes them."""
    runs = {
        f"{arch}-{seed}": {
            "arch": arch, "seed": seed, "split": "test", "parameters": 9, "tokens": 9, "order": {"data": "d"},
            "headline": metric, "mode": mode, "task": task, "test": {metric: value}, "validation": {metric: value},
            "items": {metric: 10**6} if metric == "accuracy" else {},
        }
        for arch, values in figures.items() for seed, value in enumerate(values)
    }  # fmt: skip
    Path("runs.json").write_text(json.dumps(runs), encoding="utf-8")


ZERO = re.compile(r"(?<![\d.,])-?0\.0+(?![\d])")  # a figure that was rounded to nothing


@pytest.mark.parametrize("seeds", [3, 9])
@pytest.mark.parametrize("test", ["welch", "paired"])
@pytest.mark.parametrize(
    ("metric", "mode", "task", "small", "large"),
    [
        ("loss", "min", "regressor", 1e-7, 2.0),
        ("loss", "min", "language_model", 1e-6, 3.0),
        ("perplexity", "min", "language_model", 100.0, 1e9),
        ("accuracy", "max", "tagger", 0.00004, 0.99),
        ("loss", "min", "regressor", 1e-300, 1e300),
    ],
)
def test_no_figure_of_a_verdict_is_rounded_to_zero(
    metric: str, mode: str, task: str, small: float, large: float, test: str, seeds: int, project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    around = [1 + 0.001 * seed for seed in range(seeds)]
    write_figures(metric, mode, task, a=[small * part for part in around], b=[large * part for part in around])
    for sides in (("runs.json:a", "runs.json:b"), ("runs.json:b", "runs.json:a")):
        assert main(["verdict", *sides, "--test", test]) == 0
        text = capsys.readouterr().out.replace("P = 0.00 that", "")  # no run of one side is ahead: this is exact
        assert not ZERO.findall(text), text
        assert "in odds" not in text
        assert ("times the odds" in text) == (metric == "accuracy")


def test_a_small_share_is_not_rounded_to_never(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    b = [2.0 + 0.001 * seed for seed in range(20)]
    write_figures("loss", "min", "regressor", a=[1.0 + 0.001 * seed for seed in range(19)] + [2.0005], b=b)
    assert main(["verdict", "runs.json:b", "runs.json:a"]) == 0
    assert re.search(r"P = 0\.00[23] that a run of b is ahead", capsys.readouterr().out)
    assert main(["verdict", "runs.json:a", "runs.json:b"]) == 0
    assert re.search(r"P = 0\.99[78] that a run of a is ahead", capsys.readouterr().out)


def test_small_figures_are_readable_in_a_comparison(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_figures("loss", "min", "regressor", a=[1e-7], b=[2.0])
    Path("targets.yaml").write_text(
        "- {experiment: runs, metric: loss, at_most: 3.0e-6, source: a paper}\n", encoding="utf-8"
    )
    assert main(["compare", "runs.json", "--out", "out", "--targets", "targets.yaml"]) == 0
    text = capsys.readouterr().out
    assert not ZERO.findall(text), text
