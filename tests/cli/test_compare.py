"""``unroll compare``: whose speeds it shows, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]


def test_a_folder_without_figures_is_refused(project: Path, refused: Refused) -> None:
    Path("metrics").mkdir()
    message = refused("compare", "metrics", "--out", "out")
    assert "metrics has no figures" in message
    assert "unroll evaluate" in message
    assert not Path("out").exists()


@pytest.mark.parametrize("depth", [0, 1, 2, 3])
def test_a_folder_of_runs_is_to_be_evaluated(depth: int, project: Path, refused: Refused) -> None:
    run = Path("runs", *["tagging", "lstm", "0"][3 - depth :])
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}", encoding="utf-8")
    message = refused("compare", "runs", "--out", "out")
    assert "runs has runs, not figures" in message
    assert "unroll verdict" in message
    name = "runs/tagging" if depth == 3 else "runs"
    assert f"unroll evaluate {name} --out outputs/metrics/{Path(name).name}.json" in message
    assert not Path("out").exists()


def test_the_experiments_of_a_folder_are_compared(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_figures("mine")
    Path("metrics/deeper").mkdir(parents=True)
    for name in ("a", "b"):
        Path("metrics", f"{name}.json").write_text(Path("adding.json").read_text(encoding="utf-8"), encoding="utf-8")
    assert main(["compare", "metrics", "adding.json", "--out", "out"]) == 0
    rows = json.loads(Path("out/comparison.json").read_text(encoding="utf-8"))
    assert [row["experiment"] for row in rows] == ["a", "b", "adding"]
    assert "\nb: test loss" in capsys.readouterr().out


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


def test_without_a_folder_nothing_is_written(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_figures("mine")
    before = {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()}
    assert main(["compare", "adding.json"]) == 0
    assert "adding: test loss" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in Path().rglob("*") if path.is_file()} == before
    assert main(["compare", "adding.json", "--out", "out"]) == 0
    assert capsys.readouterr().out.endswith("out written\n")
