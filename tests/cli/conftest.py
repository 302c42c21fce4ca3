"""Trained runs, and how a command is given its input and refused."""

from __future__ import annotations

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config

Small = Callable[..., Config]
TrainedTo = Callable[[Config, Path], Path]


@pytest.fixture
def trained() -> TrainedTo:
    """Train a run to a folder."""

    def train(config: Config, out: Path) -> Path:
        experiment.train(config, preparation.prepared(config.data), out)
        return out

    return train


@pytest.fixture(scope="session")
def golden_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs that were trained for one test, to be copied for the others."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def tagger(small: Small, trained: TrainedTo, project: Path, golden_runs: Path) -> Path:
    """A run that labels words."""
    config, name = small("tagging", "bilstm", "training.tokens=8000"), "tagging/bilstm-0"
    if not (golden_runs / name).exists():
        trained(config, golden_runs / name)
    return shutil.copytree(golden_runs / name, project / "runs" / name)


@pytest.fixture
def language_model(small: Small, trained: TrainedTo, project: Path, golden_runs: Path) -> Path:
    """A run that continues texts."""
    config, name = small("grammar", "lstm"), "grammar/lstm-0"
    if not (golden_runs / name).exists():
        trained(config, golden_runs / name)
    return shutil.copytree(golden_runs / name, project / "runs" / name)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line on standard error of a command that must be refused."""

    def refuse(*arguments: str) -> str:
        capsys.readouterr()
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("unroll: ")
        return line

    return refuse


@pytest.fixture
def type_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    """Put bytes on standard input."""

    def put(content: bytes) -> None:
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", errors="surrogateescape")
        monkeypatch.setattr(sys, "stdin", text)

    return put


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The settings that words of the command line make."""

    def show(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["config", *words]) == 0
        content: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
        return content

    return show
