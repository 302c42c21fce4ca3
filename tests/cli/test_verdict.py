"""``unroll verdict``: figures and runs, and the sides that are refused."""

from __future__ import annotations

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
    assert "4 more seeds of each are needed" in lines[-2]
    assert "the speed of" in lines[-1]
    runs = ["runs/tagging/bi*", "runs/tagging/lstm-3"]
    assert main(["verdict", *runs, "--metric", "loss", "--test", "permutation"]) == 0
    assert capsys.readouterr().out.startswith("tagging: validation loss")
    assert "has runs of bilstm, lstm" in refused("verdict", "runs/tagging", sides[0])
    assert "their split is test and validation" in refused("verdict", sides[0], runs[1])
    assert "--margin" in refused("verdict", *sides, "--margin", "-1")
    assert "has seeds 0 and runs/tagging/lstm-3 3" in refused("verdict", *runs, "--test", "paired")
