"""``unroll tune``: settings of a study from the command line, and what it must not replace."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from studying import write_study

from unroll.cli import main
from unroll.config import Config
from unroll.tuning import worker

Refused = Callable[..., str]
Small = Callable[..., Config]
RATES = {"training.optimizer.learning_rate": [1e-2, 1e-3]}
RATE = {"training.optimizer.learning_rate": [1e-2]}
GRID = {"sampler": {"name": "grid"}, "trials": None, "space": RATES}


def written(folder: Path) -> dict[str, bytes]:
    """What a folder has, by path."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="session")
def golden_study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of a study that was worked at for one test, to be copied for the others."""
    return tmp_path_factory.mktemp("study")


@pytest.fixture
def done(small: Small, project: Path, golden_study: Path) -> Path:
    """The results of a small study, of workers as the command starts them."""
    small("adding", "lstm")
    write_study(**GRID)
    if not (golden_study / "out").exists():
        assert main(["tune", "study=tiny", "--out", "out"]) == 0
        for name in ("out", "studies", "outputs"):
            shutil.copytree(name, golden_study / name)
    shutil.copytree(golden_study, project, dirs_exist_ok=True)
    return Path("out")


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the command work at its trials itself: a worker takes seconds to start."""
    monkeypatch.setattr("unroll.tuning.tune._work", lambda job, study, workers: worker.work(job))


one_worker = pytest.mark.xdist_group("tune")  # so that the study is worked at once


@pytest.mark.slow
@one_worker
def test_trials_that_the_database_has_lost_are_not_replaced(
    done: Path, refused: Refused, at_once: None, capsys: pytest.CaptureFixture[str]
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
    assert "whose results are in out; the study starts again from its first trial" in lines[0]
    assert "has no trials of" in lines[0]


@one_worker
def test_another_study_is_not_replaced(done: Path, refused: Refused) -> None:
    write_study("other", **GRID)
    before = written(done)
    message = refused("tune", "study=other", "--out", "out")
    assert "out contains the study tiny" in message
    assert "--out" in message
    assert written(done) == before


@pytest.mark.parametrize("key", ["data.probe", "data.token_column", "data.unit"])
@pytest.mark.parametrize("section", ["settings", "space"])
def test_a_key_that_was_renamed_is_named_with_its_new_name(
    key: str, section: str, project: Path, refused: Refused
) -> None:
    name = key.partition(".")[2]
    write = {"settings": {"settings": {key: None}, "space": RATES}, "space": {"space": {key: ["a", "b"], **RATES}}}
    write_file({**write[section], "sampler": {"name": "grid"}})
    message = refused("tune", "study=tiny")
    assert f"'{key}' was renamed to data.reader.{name}" in message
    assert "conf/study/tiny.yaml" in message


def write_file(content: dict[str, Any]) -> None:
    """Write a study of words by their classes, unchecked."""
    whole = {"question": "Does it work?", "experiment": "tagging", **content}
    Path("conf/study/tiny.yaml").write_text(yaml.safe_dump(whole, sort_keys=False), encoding="utf-8")


@pytest.mark.parametrize(
    ("settings", "words", "told"),
    [
        ({"training.tokns": 5}, [], "did you mean training.tokens?"),
        ({"data.reader.prob": "x"}, [], "did you mean data.reader.probe?"),
        ({"arch": "lstmm"}, [], "did you mean lstm?"),
        ({"data.reader.name": "columns", "judged_by": None}, [], "remove it with ~data.reader.probe"),
        ({"task": "regressor"}, [], "regressor"),
        ({}, ["training.tokns=5"], "did you mean training.tokens?"),
        ({}, ["~data.reader.prob"], "did you mean probe?"),
        ({}, ["~seed"], "every run has seed"),
        ({}, ["~trials"], "trials"),
        ({}, ["~data"], "removes all of data"),
        ({}, ["~data.reader.probe=x"], "write ~data.reader.probe without a value"),
        ({"~data.reader.probe": "x"}, [], "set it to null"),
    ],
)
def test_a_fault_of_a_study_names_its_file(
    settings: dict[str, Any], words: list[str], told: str, project: Path, refused: Refused
) -> None:
    write_file({"settings": settings, "space": RATES, "sampler": {"name": "grid"}})
    message = refused("tune", "study=tiny", *words)
    assert told in message
    if "=" not in "".join(words):
        assert "conf/study/tiny.yaml" in message


def judged_settings() -> dict[str, Any]:
    """Settings of every trial of a small study of tagging."""
    files = {f"data.{split}": f"data/small/{split}.conllu" for split in ("train", "validation", "test")}
    return {**files, "data.generator": None, "judged_by": None, "training.tokens": 800, "training.batch_size": 4,
            "training.validations": 1, "tracking": "none", "arch.encoder.hidden_size": 4}  # fmt: skip


@pytest.mark.parametrize("by_file", [False, True])
def test_a_study_takes_a_setting_away(by_file: bool, small: Small, project: Path, at_once: None) -> None:
    small("tagging", "lstm")
    away = {"~data.reader.probe": None} if by_file else {}
    write_file({"settings": {**judged_settings(), **away}, "space": RATE, "sampler": {"name": "grid"}})
    words = [] if by_file else ["~data.reader.probe"]
    assert main(["tune", "study=tiny", *words, "--out", "out"]) == 0
    best = yaml.safe_load(Path("out/best-lstm.yaml").read_text(encoding="utf-8"))
    assert best["data"]["reader"]["probe"] is None
    assert main(["config", "experiment=tagging"]) == 0


def test_a_study_takes_away_what_it_sets_itself(small: Small, project: Path, at_once: None) -> None:
    small("tagging", "lstm")
    settings = {**judged_settings(), "arch.encoder.dropout": 0.5}
    write_file({"settings": settings, "space": RATE, "sampler": {"name": "grid"}})
    assert main(["tune", "study=tiny", "~arch.encoder.dropout", "++arch.inputs.size=5", "--out", "out"]) == 0
    best = yaml.safe_load(Path("out/best-lstm.yaml").read_text(encoding="utf-8"))
    assert (best["arch"]["encoder"]["dropout"], best["arch"]["inputs"]["size"]) == (0.0, 5)
