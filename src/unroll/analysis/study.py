"""Figures of a study."""

from pathlib import Path


def draw_study(folder: Path) -> None:
    pass
