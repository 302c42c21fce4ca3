"""``unroll config``: settings shown and explained."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]


def test_config_shows_and_explains(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=tagging"]) == 0
    assert "cell: lstm" in capsys.readouterr().out
    assert main(["config", "--explain"]) == 0
    assert "training.tokens (int): Training budget" in capsys.readouterr().out


def explained(capsys: pytest.CaptureFixture[str], *words: str) -> list[str]:
    """Lines of an explanation."""
    capsys.readouterr()
    assert main(["config", *words]) == 0
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("section", "lines"),
    [
        ("training", ["training.tokens (int): ", "training.optimizer.learning_rate (float): "]),
        ("training.optimizer", ["training.optimizer.learning_rate (float): "]),
        (
            "arch",
            ["arch.name (str): ", "arch.inputs.size (int): ", "arch.encoder.hidden_size (int): ", "arch.output.beam "],
        ),
        ("arch.inputs", ["arch.inputs.frozen (bool): ", "arch.inputs.characters.size (int): "]),
        ("data", ["data.min_count (int | null): ", "data.split.train (float): "]),
        ("archs", ["archs.NAME.KEY: "]),
        ("study", ["trials (int | null): "]),
        ("pruner", ["pruner.reduction (int): "]),
        ("space", ["space.KEY.choices "]),
    ],
)
def test_a_section_is_explained_alone(
    section: str, lines: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = explained(capsys, "--explain", section)
    assert set(shown) < set(explained(capsys, "--explain"))
    keys = [line.strip() for line in shown if line.startswith("  ")]
    assert [line for line in lines if not any(key.startswith(line) for key in keys)] == []
    below = "" if section == "study" else section  # whose settings have no section before their names
    assert all(key.startswith(below) for key in keys)


def test_a_section_is_explained_with_its_defaults(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = "\n".join(explained(capsys, "--explain"))
    for key, default in {
        "training.tokens": "500000", "training.optimizer.name": "adamw", "training.batch_tokens": "null",
        "arch.encoder.hidden_size": "128", "data.roles": "{}", "tracking.name": "mlflow", "arch.encoder.cell": "lstm",
        "seed": "0", "judged_by": "null", "pruner.startup_trials": "4", "storage": "sqlite:///studies/optuna.db",
    }.items():  # fmt: skip
        assert re.search(rf"^  {re.escape(key)} \(.*\): .* Default: {re.escape(default)}\.$", shown, re.MULTILINE), key
    for key in ("data.train", "task.name", "arch.encoder.order", "arch.encoder.kernel_width", "question"):
        lines = [line for line in shown.splitlines() if line.startswith(f"  {key} (")]
        assert lines
        assert not any("Default:" in line for line in lines)


def test_an_unknown_section_is_refused_with_those_that_there_are(project: Path, refused: Refused) -> None:
    message = refused("config", "--explain", "trainin")
    assert "'trainin' (did you mean training?)" in message
    assert "training.optimizer" in message
    assert "sampler" in message


def test_settings_are_not_explained(project: Path, refused: Refused) -> None:
    assert "no settings" in refused("config", "--explain", "training", "experiment=tagging")
