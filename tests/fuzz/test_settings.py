"""Files of settings, of runs, corpora, studies and of ``conf/``, are understood or refused in one sentence."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from fuzzing import SETTINGS, TIERS, altered, command_ends_well, damaged, fuzz, refusal
from hypothesis import strategies as st

from unroll.config import compose, compose_study, course, dump_data, load_data_here, load_here, load_study_here


@cache
def _resolved() -> dict[str, str]:
    """A file of each kind that commands read with ``--config`` or ``--data``."""
    run = compose(["experiment=tagging", "arch=bilstm-chars-crf", "tracking=none"])
    other = compose(["experiment=adding", "arch=irnn", "tracking=none"])
    return {
        "run": run.dump(),
        "other run": other.dump(),
        "data": dump_data(run.data),
        "study": compose_study("reach").dump(),
    }


READ: dict[str, Callable[[Path], Any]] = {
    "run": lambda path: load_here(path, [], reads_data=True),
    "other run": lambda path: load_here(path, [], reads_data=True),
    "data": lambda path: load_data_here(path, []),
    "study": lambda path: load_study_here(path, [], reads_data=True),
}


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("tier", TIERS)
def test_a_file_that_was_sent_is_understood_or_refused(tier: str, kind: str, project: Path) -> None:
    path, text = Path("sent.yaml"), _resolved()[kind]

    def check(content: bytes) -> None:
        path.write_bytes(content)
        refusal(lambda: READ[kind](path))

    examples = {"run": 1000, "other run": 600, "data": 1000, "study": 200}[kind]
    fuzz(tier, examples, _drawn(text), check)


CONF = {
    "config.yaml": ["experiment=tagging"], "experiment/tagging.yaml": ["experiment=tagging"],
    "experiment/adding.yaml": ["experiment=adding"], "data/grammar.yaml": ["experiment=tagging"],
    "arch/bilstm-chars-crf.yaml": ["experiment=tagging", "arch=bilstm-chars-crf"],
    "task/tagger.yaml": ["experiment=tagging"],
    "training/default.yaml": ["experiment=tagging"], "tracking/mlflow.yaml": ["experiment=tagging"],
}  # fmt: skip


@pytest.mark.parametrize("name", CONF)
@pytest.mark.parametrize("tier", TIERS)
def test_a_file_of_the_project_is_understood_or_refused(tier: str, name: str, project: Path) -> None:
    path = Path("conf") / name
    text = path.read_text(encoding="utf-8")

    def check(content: bytes) -> None:
        path.write_bytes(content)
        command_ends_well(["config", *CONF[name]])

    fuzz(tier, 100, _drawn(text), check)


@pytest.mark.parametrize("name", ["data/recall.yaml", "config.yaml"])
@pytest.mark.parametrize("tier", TIERS)
def test_corpora_are_listed_or_the_file_is_refused(tier: str, name: str, project: Path) -> None:
    path = Path("conf") / name
    text = path.read_text(encoding="utf-8")

    def check(content: bytes) -> None:
        path.write_bytes(content)
        command_ends_well(["data", "list"])

    fuzz(tier, 150, _drawn(text), check)


@pytest.mark.parametrize("tier", TIERS)
def test_a_course_is_understood_or_refused(tier: str, project: Path) -> None:
    path = Path("conf/course.yaml")
    text = path.read_text(encoding="utf-8")

    def check(content: bytes) -> None:
        path.write_bytes(content)
        refusal(lambda: course(path))

    fuzz(tier, SETTINGS - 2800 - 800 - 300, _drawn(text), check)


def _drawn(text: str) -> st.SearchStrategy[bytes]:
    """Edits of the text of a file, and of its values."""
    head = text.partition("\n")[0] + "\n" if text.startswith("#") else ""
    values = altered(yaml.safe_load(text)).map(lambda content: head + yaml.safe_dump(content, sort_keys=False))
    return st.one_of(damaged(text.encode()), values.map(lambda made: made.encode("utf-8", "surrogatepass")))
