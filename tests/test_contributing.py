"""CONTRIBUTING.md: the files that its table names are all that each addition needs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import readme_block
from test_plugins import CELL, PAGE

ROOT = Path(__file__).parent.parent
ARCH = (ROOT / "conf" / "arch" / "lstm.yaml").read_text(encoding="utf-8")
GENERATOR = """
from unroll.data.generators.base import Generator


def item(draw, number):
    values = [round(draw(), 6) for _ in range(3)]
    return f"{sum(values)}\\t{' '.join(map(str, values))}\\n"


GENERATOR = Generator(item, {"train": 40, "validation": 9, "test": 9}, seed=7, suffix=".series")
"""
EMBEDDED = """\
name: sums
title: Sums of three numbers
generator: sums
reader: {name: series}
train: data/sums/train.series
validation: data/sums/validation.series
test: data/sums/test.series
"""
READER = readme_block(PAGE, "my_plugins/readers/topics.py")
OPTION = '    loud: Annotated[bool, Option(description="Whether to shout.")] = False\n'
WRITTEN = {  # row of the table → its files with their contents
    "a cell": {
        "cells/leaky.py": CELL,
        "conf/arch/leaky.yaml": re.sub(r"forget_bias: 1.0", "leak: 0.7", ARCH.replace("lstm", "leaky")),
    },
    "a reader": {"data/readers/topics.py": READER},
    "an option of a reader": {"data/readers/topics.py": READER.replace("    @property", f"{OPTION}\n    @property", 1)},
    "a corpus": {"conf/data/news.yaml": readme_block(PAGE, "conf/data/news.yaml")},
    "an embedded corpus": {"data/generators/sums.py": GENERATOR, "conf/data/sums.yaml": EMBEDDED},
    "a task": {
        **{f"tasks/topic/{part}.py": readme_block(PAGE, f"my_plugins/tasks/topic/{part}.py")
           for part in ("description", "answers", "module")},
        "conf/task/topic.yaml": readme_block(PAGE, "conf/task/topic.yaml"),
    },
    "an experiment": {"conf/experiment/topics.yaml": readme_block(PAGE, "conf/experiment/topics.yaml")},
}  # fmt: skip


def documented() -> dict[str, set[str]]:
    """Files of each row of the table, with ``<name>`` in the place of a name."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| [^|]+ \|$", page.partition("## Adding things")[2], re.MULTILINE)
    return {row: set(re.findall(r"`([\w/<>.]+\.(?:py|yaml))`", files)) for row, files in rows}


def place(project: Path, file: str) -> Path:
    return project / file if file.startswith("conf/") else project / "src" / "unroll" / file


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project with every addition of the table."""
    project = tmp_path_factory.mktemp("extended")
    shutil.copytree(ROOT / "src" / "unroll", project / "src" / "unroll")
    shutil.copytree(ROOT / "conf", project / "conf")
    for files in WRITTEN.values():
        for file, text in files.items():
            place(project, file).parent.mkdir(parents=True, exist_ok=True)
            place(project, file).write_text(text, encoding="utf-8")
    (project / "data" / "news").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (project / "data" / "news" / f"{split}.topics").write_text("sport|a game\nmoney|a bank\n" * 10, "utf-8")
    return project


def unroll(project: Path, *words: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(project / "src")}
    done = subprocess.run([sys.executable, "-m", "unroll.cli", *words], cwd=project, env=environment,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("row", WRITTEN)
def test_the_table_names_the_files_of_each_addition(row: str) -> None:
    names = {re.sub(r"(leaky|topics?|news|sums)(?=[./])", "<name>", file) for file in WRITTEN[row]}
    assert documented()[row] == names


def test_a_cell_a_reader_a_corpus_a_task_and_an_experiment_are_found_by_their_files(extended: Path) -> None:
    unroll(extended, "train", "experiment=topics", "arch=leaky", "tracking=none", "training.tokens=200", "--out", "run")
    assert (extended / "run" / "weights.safetensors").is_file()


def test_an_option_of_a_reader_and_corpora_are_found_by_their_files(extended: Path) -> None:
    assert "Whether to shout." in unroll(extended, "config", "--explain", "data.reader")
    listed = unroll(extended, "data", "list")
    assert "news" in listed and "sums" in listed
    unroll(extended, "prepare", "experiment=adding", "data=sums", "--out", "prepared")
    assert (extended / "data" / "sums" / "train.series").read_text(encoding="utf-8").count("\n") == 40
