"""``unroll ui``: a store without runs is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Refused = Callable[..., str]


def test_ui_without_runs_says_how_to_get_some(project: Path, refused: Refused) -> None:
    assert "There are no runs in" in refused("ui")
    assert "write the path in full" in refused("ui", "--uri", "sqlite:///~/mlflow.db")
