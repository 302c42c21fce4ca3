"""``unroll tune``: settings of a study from the command line, and what it must not replace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from studying import write_study

from unroll.cli import main
from unroll.config import Config

Refused = Callable[..., str]
Small = Callable[..., Config]
RATES = {"training.optimizer.learning_rate": [1e-2, 1e-3]}
GRID = {"sampler": {"name": "grid"}, "trials": None, "space": RATES}


def written(folder: Path) -> dict[str, bytes]:
    """What a folder has, by path."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def done(small: Small, project: Path) -> Path:
    """The results of a small study."""
    small("adding", "lstm")
    write_study(**GRID)
    assert main(["tune", "study=tiny", "--out", "out"]) == 0
    return Path("out")


def test_trials_that_the_database_has_lost_are_not_replaced(
    done: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("studies/optuna.db").unlink()
    name = json.loads((done / "study.json").read_text(encoding="utf-8"))["name"]
    before = written(Path("studies", name))
    message = refused("tune", "study=tiny", "--out", "out")
    assert "studies/optuna.db has no trials of" in message
    assert f"studies/{name} has 2 finished ones" in message
    assert f"delete studies/{name}" in message
    assert written(Path("studies", name)) == before
    shutil.rmtree(Path("studies", name))
    assert main(["tune", "study=tiny", "--out", "out"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert "whose results are in out; it starts again from its first trial" in lines[0]
    assert sum("has no trials of" in line for line in lines) == 1


def test_another_study_is_not_replaced(done: Path, refused: Refused) -> None:
    write_study("other", **GRID)
    before = written(done)
    message = refused("tune", "study=other", "--out", "out")
    assert "out is the study tiny" in message
    assert "--out" in message
    assert written(done) == before
