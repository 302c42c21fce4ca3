"""The stages of a course by chapter; ``dvc dag`` draws a course too wide to read."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

from unroll import config
from unroll.config.stages import Entry

WIDTH = 120
Kind = Literal["train", "tune", "retrain", "certify", "evaluate"]  # of stage after prepare, in order
KINDS: tuple[Kind, ...] = get_args(Kind)


def graph(path: Path) -> str:
    """The stages of a course: each chapter with its experiments, each experiment with its stages in order.

    Args:
        path: file of the course.

    Raises:
        BadInput: the course is invalid.
    """
    stages = config.stages(path)
    lines = ["resolve, code"]
    for name, chapter in config.course(path).items():
        if chapter["experiments"]:
            lines.append(f"{name} (seeds {', '.join(map(str, chapter['seeds']))})")
        for experiment in chapter["experiments"]:
            lines.append(f"  prepare@{experiment}")
            for kind in KINDS:
                lines += _lines(kind, list(_of(stages[kind], experiment)))
    return "\n".join([*lines, "compare", "→ report"])


def _of(entries: dict[str, Entry] | list[str], experiment: str) -> Iterator[str]:
    """Names of the stages of an experiment."""
    if isinstance(entries, list):
        yield from (name for name in entries if name == experiment)
    else:
        yield from (name for name, entry in entries.items() if entry["experiment"] == experiment)


def _lines(kind: str, names: list[str]) -> list[str]:
    """Stages of a kind on lines of at most ``WIDTH`` columns."""
    text = "  ".join(f"{kind}@{name}" for name in names)
    return textwrap.wrap(text, WIDTH, initial_indent="  → ", subsequent_indent="    ", break_on_hyphens=False)
