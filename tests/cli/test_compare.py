"""``unroll compare``: what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Refused = Callable[..., str]


def test_a_folder_of_figures_needs_its_course(project: Path, refused: Refused) -> None:
    Path("metrics").mkdir()
    message = refused("compare", "metrics", "--out", "out")
    assert "metrics is a folder" in message
    assert "metrics/*.json" in message
    assert "--course" in message
    assert not Path("out").exists()
