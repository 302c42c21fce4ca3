"""``unroll config``: settings shown and explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from unroll.cli import main


def test_config_shows_and_explains(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "experiment=tagging"]) == 0
    assert "cell: lstm" in capsys.readouterr().out
    assert main(["config", "--explain"]) == 0
    assert "training.tokens (int): Budget" in capsys.readouterr().out
