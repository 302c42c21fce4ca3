"""Runs of format 0, kept as they were written: converted, they answer as they did; newer formats are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import yaml

from unroll.cli import main
from unroll.config import format as formats
from unroll.config import load

STORED = Path(__file__).parent / "data" / "format0"
SENTENCES, SERIES = "the old dog that barks sees her .\nEzra zibbles\n", "0.5,1 0.25,0 0.7,1\n0.1,0 0.9,1\n"
# what the version that trained each of them answered
ANSWERS = {
    "tagging-bilstm-chars-crf": (
        ["predict", "--file", "sentences.txt"],
        [["DET", *["PUNCT"] * 7], ["PUNCT", "PUNCT"]],
    ),
    "oldest-tagging": (
        ["predict", "--file", "sentences.txt"],
        [["PROPN", "SCONJ", "SCONJ", "SCONJ", "PROPN", "PROPN", "PROPN", "PROPN"], ["PROPN", "PROPN"]],
    ),
    "adding-gru": (["predict", "--file", "series.txt"], [0.3906194269657135, 0.4017975926399231]),
    "recall-lstm": (["generate", "--prompt", "the", "--temperature", "0", "--length", "8"], [". . . the hi Mary . ."]),
    "grammar-feedforward": (
        ["generate", "--prompt", "the", "--temperature", "0", "--length", "8"], [" ".join(["the"] * 8)],
    ),
}  # fmt: skip


@pytest.fixture
def old(project: Path) -> Path:
    """Copies of the runs of format 0, in a project."""
    Path("sentences.txt").write_text(SENTENCES, encoding="utf-8")
    Path("series.txt").write_text(SERIES, encoding="utf-8")
    return shutil.copytree(STORED, project / "old")


def answer(run: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> list[object]:
    capsys.readouterr()
    assert main([command[0], str(run), *command[1:], "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return [line.get("labels") or line.get("continuation") or line["prediction"] for line in lines]


def test_every_run_that_is_kept_is_tried() -> None:
    assert ANSWERS.keys() == {path.name for path in STORED.iterdir()}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_run_of_format_0_is_refused_and_once_upgraded_answers_as_it_did(
    name: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, (command, expected) = old / name, ANSWERS[name]
    weights = (run / "weights.safetensors").read_bytes()
    assert main([command[0], str(run), *command[1:]]) == 2
    assert f"unroll upgrade {run}" in capsys.readouterr().err
    assert main(["upgrade", str(run)]) == 0
    assert (run / "weights.safetensors").read_bytes() == weights
    assert answer(run, command, capsys) == expected
    for file in ("run.json", "vocabulary.json"):
        assert json.loads((run / file).read_text(encoding="utf-8"))["format"] == 1
    assert yaml.safe_load((run / "config.yaml").read_text(encoding="utf-8"))["format"] == 1
    assert main(["upgrade", str(run)]) == 2
    assert "nothing to upgrade" in capsys.readouterr().err


def test_an_upgrade_may_leave_the_run_as_it_is(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = old / "adding-gru"
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert main(["upgrade", str(run), "--out", "new"]) == 0
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before
    assert answer(Path("new"), ANSWERS["adding-gru"][0], capsys) == pytest.approx(ANSWERS["adding-gru"][1])


@pytest.mark.parametrize("file", ["config.yaml", "vocabulary.json", "run.json", "weights.safetensors", "history.csv"])
@pytest.mark.parametrize("damage", ["missing", "cut", "other"])
def test_an_old_run_that_is_damaged_is_refused_and_stays(
    file: str, damage: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = old / "tagging-bilstm-chars-crf"
    content = (run / file).read_bytes()
    if damage == "missing":
        (run / file).unlink()
    else:
        (run / file).write_bytes(content[: len(content) // 2] if damage == "cut" else b"[1, 2]\n")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    assert main(["upgrade", str(run)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert {path.name: path.read_bytes() for path in run.iterdir()} == before


@pytest.mark.parametrize("file", ["config.yaml", "vocabulary.json", "run.json"])
@pytest.mark.parametrize("version", ["2", '"1"', "true"])
def test_a_run_of_a_newer_format_is_refused(
    file: str, version: str, old: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = old / "adding-gru"
    assert main(["upgrade", str(run)]) == 0
    text = (run / file).read_text(encoding="utf-8")
    key = "format: " if file == "config.yaml" else '"format": '
    assert key in text
    (run / file).write_text(text.replace(f"{key}1", f"{key}{version}", 1), encoding="utf-8")
    assert main(["predict", str(run), "0.5,1"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert str(run / file) in message
    if version == "2":
        assert "has format 2, and this version of unroll reads 1; install a newer version." in message
        assert main(["upgrade", str(run)]) == 2
        assert file == "vocabulary.json" or "install a newer version" in capsys.readouterr().err


def test_a_setting_that_was_added_later_has_a_stated_meaning_for_runs_without_it(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = old / "adding-gru"
    assert main(["upgrade", str(run)]) == 0
    path = run / "config.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    del content["training"]["batch_tokens"]
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["predict", str(run), "0.5,1"]) == 2
    monkeypatch.setattr(formats, "ADDED", {"training.batch_tokens": None})
    assert load(path).training.batch_tokens is None
    assert main(["predict", str(run), "0.5,1"]) == 0


def test_runs_from_before_unknown_words_were_trained_keep_their_meaning(old: Path) -> None:
    """Of the tasks, only those that have the setting get it."""
    for name, rate in {"tagging-bilstm-chars-crf": 0.0, "grammar-feedforward": None}.items():
        assert main(["upgrade", str(old / name)]) == 0
        path = old / name / "config.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        assert content["task"].pop("unknown_rate", None) == rate
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        config = load(path)
        assert getattr(config.task, "unknown_rate", None) == rate
        assert config.data.min_count == 1


def test_a_run_between_two_formats_is_named_as_such(old: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = old / "adding-gru" / "config.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["data"]["reader"] = {"name": "series"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    assert main(["upgrade", str(path.parent)]) == 2
    message = capsys.readouterr().err
    assert "between two releases" in message
    assert "train the run again" in message
