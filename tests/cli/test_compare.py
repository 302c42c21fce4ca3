"""``unroll compare``: whose speeds it shows, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]


def test_a_folder_of_figures_needs_its_course(project: Path, refused: Refused) -> None:
    Path("metrics").mkdir()
    message = refused("compare", "metrics", "--out", "out")
    assert "metrics is a folder" in message
    assert "metrics/*.json" in message
    assert "--course" in message
    assert not Path("out").exists()


def write_figures(fingerprint: str) -> None:
    """Figures of a run, as ``evaluate`` writes them, and the speed of one in the default folder."""
    run = {"arch": "lstm", "seed": 0, "fingerprint": "mine", "split": "test", "parameters": 9, "tokens": 9, "order": {},
           "headline": "loss", "mode": "min", "test": {"loss": 0.5}, "validation": {"loss": 0.5}}  # fmt: skip
    Path("adding.json").write_text(json.dumps({"lstm-0": run}), encoding="utf-8")
    speeds = {"lstm": {"run": fingerprint, "tokens_per_second": [12345.0]}}
    Path("outputs/costs").mkdir(parents=True)
    Path("outputs/costs/adding.json").write_text(json.dumps(speeds), encoding="utf-8")


@pytest.mark.parametrize(("fingerprint", "is_own"), [("mine", True), ("another's", False)])
def test_only_speeds_of_the_runs_compared_are_shown(
    fingerprint: str, is_own: bool, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_figures(fingerprint)
    assert main(["compare", "adding.json", "--out", "out"]) == 0
    text = capsys.readouterr().out
    assert ("12,345 tokens/s" in text) == is_own
    assert ("outputs/costs/adding.json was measured on other runs" in text) != is_own


def test_a_folder_of_speeds_that_is_named_must_exist(project: Path, refused: Refused) -> None:
    write_figures("mine")
    message = refused("compare", "adding.json", "--out", "out", "--costs", "cost")
    assert "--costs cost is not a folder" in message
    assert not Path("out").exists()
