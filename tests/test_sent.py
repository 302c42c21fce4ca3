"""Settings that somebody else wrote, with values that nobody checked: each is refused by its key, value and place."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import some_slow

from unroll.cli import main
from unroll.config import Config, compose_study, load_here
from unroll.terminal import say

Small = Callable[..., Config]


def refused(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """The one sentence with which a command ends in status 2."""
    capsys.readouterr()
    assert main([*command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def write(content: Any) -> None:
    Path("sent.yaml").write_text(yaml.safe_dump(content, sort_keys=False, width=1000), encoding="utf-8")


@pytest.mark.parametrize(("arch", "name", "value", "due"), [
    ("lstm", "forget_bias", "much", "expects a number"), ("lstm", "forget_bias", True, "expects a number"),
    ("lstm", "forget_bias", [1.0], "number"), ("lstm", "forget_bias", None, "number"),
    ("lstm", "forget_bias", 10**400, "verflow"), ("lstm", "forget_bias", 1e39, "overflow"),
    ("lstm", "forget_bias", float("inf"), "finite number"),
    ("peephole", "forget_bias", "1.0", "expects a number"), ("irnn", "scale", "wide", "expects a number"),
    ("gru", "reset", 3, "expects text"), ("gru", "reset", "beside", "after, before"),
    ("rnn", "nonlinearity", False, "expects text"), ("rnn", "nonlinearity", "", "tanh"),
])  # fmt: skip
def test_an_argument_of_a_cell_of_the_wrong_kind_is_refused_by_its_key(
    arch: str, name: str, value: object, due: str, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = small("tagging", arch).model_dump(mode="json")
    content["arch"]["encoder"]["cell_arguments"] = {name: value}
    write(content)
    line = refused(capsys, "train", "--config", "sent.yaml")
    assert "arch.encoder.cell_arguments" in line
    assert name in line
    assert due in line
    assert "src/unroll/cells" not in line
    assert len(line) < 600
    assert not Path("outputs/adhoc").exists()


@cache
def reach() -> str:
    """A study with all its settings, every corner of which has been checked."""
    return compose_study("reach").dump()


RETRAINED: list[dict[str, Any]] = [{"nonsense": 1}, {"training.tokens": "many"}, {"training.tokens": -1},
                                   {"training": {"tokens": 9}}, {"arch": "gru"}, {"seed": 3}]  # fmt: skip


@pytest.mark.parametrize("settings", some_slow(RETRAINED, *RETRAINED[::2]))
@pytest.mark.parametrize("seeds", some_slow([[], [7]], []), ids=str)
def test_settings_of_what_is_trained_again_are_checked_without_seeds_too(
    settings: dict[str, Any], seeds: list[int], small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = yaml.safe_load(reach())
    content["study"]["retrain"] = {"seeds": seeds, "settings": settings}
    write(content)
    line = refused(capsys, "tune", "--config", "sent.yaml")
    assert next(iter(settings)) in line
    assert not Path("outputs/adhoc").exists()
    assert not Path("studies").exists()


CHOICES = ["task", "data.reader", "arch.inputs", "arch.encoder", "arch.output"]
NO_TEXTS = [None, 5, 1.5, True, ["softmax"], {"name": "softmax"}, {datetime.date(2020, 1, 1): 1}]


@pytest.mark.parametrize("value", NO_TEXTS, ids=str)
@pytest.mark.parametrize("section", CHOICES)
def test_a_choice_whose_name_is_not_text_is_refused(
    section: str, value: object, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = small("tagging", "lstm").model_dump(mode="json")
    part = content
    for key in section.split("."):
        part = part[key]
    part["name"] = value
    write(content)
    line = refused(capsys, "train", "--config", "sent.yaml")
    assert f"{section}.name=" in line
    assert "choose one of" in line


@pytest.mark.parametrize("reader", ["a\nunroll: done", ["\x1b]0;title\x07"], {"name": "\x1b[2J"}], ids=repr)
def test_control_characters_of_settings_do_not_reach_the_terminal(
    reader: object, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = small("tagging", "lstm").model_dump(mode="json")
    content["data"]["reader"] = reader
    write(content)
    assert refused(capsys, "train", "--config", "sent.yaml").isprintable()


def test_control_characters_of_another_tracker_do_not_reach_the_terminal(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = small("tagging", "lstm").model_dump(mode="json")
    content["tracking"] = {"name": "mlflow", "uri": "a\n\x1b[2Jb", "system_metrics": False, "log_model": False}
    write(content)
    load_here(Path("sent.yaml"), [], reads_data=True)
    (line,) = capsys.readouterr().err.splitlines()
    assert "another tracker" in line
    assert line.isprintable()


def test_control_characters_of_the_name_of_a_file_do_not_reach_the_terminal(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, "train", "--config", "a\n\x1b[2J.yaml").isprintable()


@pytest.mark.parametrize("kind", ["study", "run", "project"])
def test_half_a_character_is_refused_with_its_line(
    kind: str, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    half = 'title: "a \\ud800"\n'
    if kind == "project":
        path, command = Path("conf/experiment/tagging.yaml"), ["config", "experiment=tagging"]
        text = path.read_text(encoding="utf-8") + half
    else:
        path, command = Path("sent.yaml"), ["tune" if kind == "study" else "train", "--config", "sent.yaml"]
        whole = reach() if kind == "study" else small("tagging", "lstm").dump()
        text = whole + half
    path.write_text(text, encoding="utf-8")
    line = refused(capsys, *command)
    assert f"{path}, line {len(text.splitlines())}: " in line
    assert "half a character" in line


def test_control_characters_of_a_corpus_do_not_reach_the_terminal(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Path("conf/data/recall.yaml")
    content = yaml.safe_load(settings.read_text(encoding="utf-8"))
    settings.write_text(yaml.safe_dump(content | {"title": "a\x1b[2Jb\rc"}), encoding="utf-8")
    assert main(["data", "list"]) == 0
    shown = capsys.readouterr().out
    assert "a\\x1b[2Jb\\rc" in shown
    assert "\x1b" not in shown
    say("licence: a\x1b[2J\nb\u009b")
    assert capsys.readouterr().err == "licence: a\\x1b[2J\nb\\x9b\n"
