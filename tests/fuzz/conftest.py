"""A tiny project with a corpus, a run and its figures."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from conftest import ROOT, TAGGED

from unroll.cli import main

SETTINGS = [
    "experiment=tagging", "data=tiny", "arch=bilstm", "judged_by=null", "tracking=none", "training.tokens=200",
    "training.validations=1", "training.batch_size=4", "training.threads=1", "training.precision=32",
    "arch.encoder.hidden_size=4", "arch.inputs.size=3",
]  # fmt: skip


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("fuzzed")
    shutil.copytree(ROOT / "conf", home / "conf")
    with pytest.MonkeyPatch.context() as patched:
        patched.chdir(home)
        Path("own.conllu").write_text(TAGGED * 5, encoding="utf-8")
        assert main(["data", "add", "own.conllu", "--name", "tiny", "--force"]) == 0
        assert main(["prepare", *SETTINGS, "--out", "prepared"]) == 0
        assert main(["train", *SETTINGS, "--prepared", "prepared", "--out", "runs/bilstm-0"]) == 0
        evaluation = ["--prepared", "prepared", "--out", "metrics/tiny.json", "--costs", "costs"]
        assert main(["evaluate", "runs", *evaluation]) == 0
        Path("text.txt").write_text("the dög barks 🐶\n", encoding="utf-8")
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, as the current folder."""
    shutil.copytree(made, tmp_path / "home")
    monkeypatch.chdir(tmp_path / "home")
    return tmp_path / "home"
