"""A cell, a reader and a task from a folder outside the package: every verb takes them; nothing runs them unasked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from documents import readme_block
from processes import some_slow

from unroll.cli import main
from unroll.plugins import VARIABLE
from unroll.tuning import worker

CELL = '''
from __future__ import annotations

import torch
from torch import Tensor

from unroll.cells.base import Cell, HiddenState


class LeakyCell(Cell):
    """h = (1 − a) h + a tanh(W x + U h + b).

    Args:
        input_size, hidden_size: widths.
        leak: a.
    """

    def __init__(self, input_size: int, hidden_size: int, leak: float = 0.5) -> None:
        super().__init__(input_size, hidden_size)
        self.leak = leak

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        found = torch.tanh(projected + self.recur(state.hidden))
        hidden = (1 - self.leak) * state.hidden + self.leak * found
        return hidden, HiddenState(hidden)
'''
PAGE = (Path(__file__).parent.parent / "docs" / "plugins.md").read_text(encoding="utf-8")
READER, DESCRIPTION, ANSWERS, MODULE = (
    readme_block(PAGE, f"my_plugins/{name}")
    for name in (
        "readers/topics.py", "tasks/topic/description.py", "tasks/topic/answers.py", "tasks/topic/module.py"
    )
)  # fmt: skip
ARCH = {
    "name": "leaky",
    "encoder": {"name": "recurrent", "cell": "leaky", "cell_arguments": {"leak": 0.7}, "bidirectional": False},
}  # fmt: skip
STUDY = {
    "question": "Which rate?", "experiment": "topics", "settings": {"tracking": "none", "arch": "leaky"},
    "space": {"training.optimizer.learning_rate": [0.01, 0.03]}, "sampler": {"name": "grid"},
    "pruner": {"name": "none"},
}  # fmt: skip


@pytest.fixture
def mine(project: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of plug-ins beside a project that has the settings which name them."""
    monkeypatch.setenv(VARIABLE, "")  # written by unroll; so it is put back
    folder = project.parent / f"{project.name}-plugins"
    for name, text in {"cells/leaky.py": CELL, "readers/topics.py": READER, "tasks/topic/description.py": DESCRIPTION,
                       "tasks/topic/answers.py": ANSWERS, "tasks/topic/module.py": MODULE}.items():  # fmt: skip
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    Path("data/news").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        lines = "sport|the team won the game\nmoney|the bank sold the shares\nsport|a game of the team\n" * 10
        Path(f"data/news/{split}.topics").write_text(lines, encoding="utf-8")
    for name in ("conf/experiment/topics.yaml", "conf/task/topic.yaml", "conf/data/news.yaml"):
        Path(name).write_text(readme_block(PAGE, name), encoding="utf-8")
    Path("conf/arch/leaky.yaml").write_text(yaml.safe_dump(ARCH), encoding="utf-8")
    Path("conf/study/topics.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    return folder


def trained(folder: Path) -> Path:
    words = ["train", "experiment=topics", "arch=leaky", "tracking=none", "--prepared", "prepared", "--out", "run"]
    assert main(["--plugins", str(folder), "prepare", "experiment=topics", "arch=leaky", "--out", "prepared"]) == 0
    assert main(["--plugins", str(folder), *words]) == 0
    return Path("run")


@pytest.mark.parametrize("workers", some_slow(["in this process", "in a process of its own"], "in this process"))
def test_a_task_a_reader_and_a_cell_from_a_folder_serve_every_verb(
    workers: str, mine: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if workers == "in this process":
        monkeypatch.setattr("unroll.tuning.tune._work", lambda job, study, _: worker.work(job))
    run = trained(mine)
    facts = json.loads((run / "run.json").read_text(encoding="utf-8"))
    assert facts["plugins"].keys() == {"tasks/topic", "readers/topics", "cells/leaky"}
    assert facts["best"]["accuracy"] == 1.0
    assert all(str(mine) not in file.read_text("utf-8", errors="replace") for file in run.iterdir())
    plugged = ["--plugins", str(mine)]
    assert main([*plugged, "evaluate", "run", "--prepared", "prepared", "--out", "topics.json"]) == 0
    assert json.loads(Path("topics.json").read_text(encoding="utf-8"))["leaky-0"]["test"]["accuracy"] == 1.0
    assert main([*plugged, "certify", "run", "--prepared", "prepared"]) == 0
    capsys.readouterr()
    assert main([*plugged, "predict", "run", "the bank sold the shares"]) == 0
    assert capsys.readouterr().out == "money\n"
    assert main([*plugged, "tune", "study=topics"]) == 0
    assert "learning_rate" in capsys.readouterr().out
    assert main([*plugged, "verdict", "run", "topics.json:leaky"]) == 2  # both are known; their splits differ
    assert "split" in capsys.readouterr().err


def test_the_project_may_name_its_own_folder(mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(mine, "my_plugins")
    path = Path("conf/config.yaml")
    path.write_text(path.read_text(encoding="utf-8") + "\nplugins: [my_plugins]\n", encoding="utf-8")
    assert main(["config", "experiment=topics", "arch=leaky"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["task"] == {"name": "topic", "unknown_rate": 0.5, "smoothing": 0.1}
    assert shown["arch"]["encoder"]["cell"] == "leaky"
    assert "plugins" not in shown


def test_a_run_that_was_sent_runs_no_code_that_it_names(mine: Path, monkeypatch: pytest.MonkeyPatch,
                                                        capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    trained(mine)
    monkeypatch.setenv(VARIABLE, "")
    for verb in (["predict", "run", "a"], ["certify", "run"]):
        capsys.readouterr()
        assert main(verb) == 2
        message = capsys.readouterr().err
        assert "plug-in" in message and "--plugins" in message
    module = mine / "tasks" / "topic" / "module.py"
    module.write_text(module.read_text(encoding="utf-8") + "# another\n", encoding="utf-8")
    assert main(["--plugins", str(mine), "predict", "run", "a"]) == 2
    assert "different code" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("file", "text", "parts"),
    [("cells/raises.py", "\nraise RuntimeError('no')\n", ["raises.py, line 2", "RuntimeError: no", "correct the file"]),
     ("cells/lstm.py", CELL, ["cells/lstm.py and ", "both define lstm in cells", "rename one of them"]),
     ("cells/nothing.py", "x = 1\n", ["nothing.py must define one cell", "it has 0"]),
     ("readers/conllu.py", READER, ["both define conllu in readers", "rename one of them"]),
     ("readers/broken.py", "import nonsense_of_mine\n", ["broken.py, line 1", "nonsense_of_mine", "correct the file"]),
     ("readers/other.py", "x = 1\n", ["other.py must define exactly one Reader", "correct the file"]),
     ("tasks/tagger/description.py", DESCRIPTION, ["both define tagger in tasks", "rename one of them"]),
     ("tasks/half/description.py", DESCRIPTION, ["tasks/half has no answers.py", "add it"]),
     ("tasks/empty/module.py", MODULE, ["tasks/empty has no description.py", "add it"]),
     ("tasks/bad/description.py", "1 / 0\n", ["description.py, line 1", "ZeroDivisionError"])],
)  # fmt: skip
def test_a_plug_in_that_is_not_one_is_one_sentence(
    file: str, text: str, parts: list[str], mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mine / file).parent.mkdir(parents=True, exist_ok=True)
    (mine / file).write_text(text, encoding="utf-8")
    if file == "tasks/bad/description.py":
        for part in ("answers.py", "module.py"):
            (mine / "tasks/bad" / part).write_text("", encoding="utf-8")
    cell = Path(file).stem if file.startswith("cells/") else "leaky"
    encoder = {"name": "recurrent", "cell": cell, "cell_arguments": {}, "bidirectional": False}
    Path("conf/arch/leaky.yaml").write_text(yaml.safe_dump({**ARCH, "encoder": encoder}), "utf-8")
    words = ["train", "experiment=topics", "arch=leaky", "tracking=none"]
    assert main(["--plugins", str(mine), *words]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    for part in parts:
        assert part in message


@pytest.fixture
def refused_of(mine: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """The one line of a command that must be refused, with the folder of plug-ins."""

    def refuse(*words: str) -> str:
        capsys.readouterr()
        assert main(["--plugins", str(mine), *words, "tracking=none"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        return line

    return refuse


def changed(text: str, old: str, new: str) -> str:
    """A text with one part replaced."""
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("part", "old", "new", "parts"),
    [("answers", "def build(", "def make(", ["answers.py must define build(blocks, options)", "correct it"]),
     ("answers", "def predict(", "def guess(", ["answers.py: TopicNetwork has no predict", "add it"]),
     ("answers", "def answer(", "def reply(", ["answers.py: TopicNetwork has no answer", "add it"]),
     ("answers", "return TopicNetwork(blocks.encoder(), blocks.spec)", "return None",
      ["answers.py: build(blocks, options) must return a TaskNetwork", "correct it"]),
     ("module", "class TopicTask(Task)", "class TopicTask", ["module.py must define exactly one Task", "correct it"]),
     ("module", "def scores(", "def losses(", ["module.py: TopicTask has no scores", "add it"]),
     ("module", 'return ("accuracy",)', 'return ("acuracy",)',
      ["module.py: scores returns 'accuracy'", "measure_names", "acuracy", "correct one of them"]),
     ("description", 'headlines=("accuracy",)', 'headlines=("acuracy",)',
      ["description.py: There is no metric for headlines, 'acuracy' (did you mean accuracy?)"]),
     ("description", 'monitors=("accuracy",)', "monitors=()", ["description.py: monitors has no metric", "add one"]),
     ("description", 'predicts="category"', 'predicts="categry"',
      ["description.py: There is no role for predicts, 'categry' (did you mean category?)"]),
     ("description", 'loss_over="records"', 'loss_over="record"',
      ["description.py: There is no choice for loss_over, 'record' (did you mean records?)"]),
     ("description", 'Role(("category",))', 'Role(("categry",))',
      ["description.py: There is no kind of field for roles, 'categry' (did you mean category?)"]),
     ("description", '"readout"', '"reedout"',
      ["description.py: There is no block for blocks, 'reedout' (did you mean readout?)"]),
     ("description", "options=TopicOptions", "options=dict", ["description.py: options must be a frozen dataclass"])],
)  # fmt: skip
def test_a_task_whose_file_lacks_a_part_is_one_sentence(
    part: str, old: str, new: str, parts: list[str], mine: Path, refused_of: Callable[..., str]
) -> None:
    name = "topic_" + "".join(filter(str.isalnum, new)).lower()  # modules are imported once by name
    shutil.copytree(mine / "tasks/topic", mine / "tasks" / name)
    path = mine / "tasks" / name / f"{part}.py"
    path.write_text(changed(path.read_text(encoding="utf-8"), old, new), encoding="utf-8")
    Path(f"conf/task/{name}.yaml").write_text(f"name: {name}\nunknown_rate: 0.5\nsmoothing: 0.1\n", encoding="utf-8")
    message = refused_of("train", "experiment=topics", "arch=leaky", f"task={name}", "--out", "run")
    assert [part for part in parts if part not in message] == []
    assert f"tasks/{name}/" in message
    assert not Path("run").exists()


TAGGED = """
from dataclasses import dataclass
from typing import ClassVar

from unroll.data.fields import Labels, Probe, Symbols
from unroll.data.readers.base import Reader, numbered_lines


@dataclass(frozen=True)
class Tagged(Reader):
    name: ClassVar[str] = "NAME"

    @property
    def fields(self):
        return {"tokens": Symbols("words"), "tags": Labels("tokens"), "marks": Probe("tokens")}

    def read(self, path):
        for number, line in numbered_lines(path):
            tags, _, text = line.partition("|")
            yield {"tokens": text.split(), "tags": tags.split(), "marks": []}
"""


@pytest.mark.parametrize(
    ("name", "old", "new", "parts"),
    [("no_read", "def read(", "def lines(", ["no_read.py: Tagged has no read", "add it"]),
     ("no_dataclass", "@dataclass(frozen=True)\n", "", ["no_dataclass.py: Tagged must be a frozen dataclass"]),
     ("no_kind", 'Labels("tokens")', '"labels"', ["name=no_kind: the field 'tags' is 'labels'", "correct the reader"]),
     ("no_field", 'Labels("tokens")', 'Labels("tokns")',
      ["name=no_field: the field 'tags' is aligned with 'tokns' (did you mean tokens?)", "correct the reader"]),
     ("no_value", ', "tags": tags.split()', "",
      ["data/news/train.topics, train record 1: it has no tags", "data.reader.name=no_value", "correct the reader"]),
     ("beside", "tags.split()", "tags.split()[:1]",
      ["data/news/train.topics, train record 2: 1 values of tags, but 2 of tokens", "correct the record"]),
     ("beyond", '"marks": []', '"marks": [(1, "x", "")]',
      ["data/news/train.topics, train record 1: marks has step 1, but tokens has 1 steps", "correct the record"])],
)  # fmt: skip
def test_a_reader_whose_fields_do_not_hold_what_it_declares_is_one_sentence(
    name: str, old: str, new: str, parts: list[str], mine: Path, refused_of: Callable[..., str]
) -> None:
    (mine / "readers" / f"{name}.py").write_text(changed(TAGGED.replace("NAME", name), old, new), encoding="utf-8")
    for split in ("train", "validation", "test"):
        Path(f"data/news/{split}.topics").write_text("X|a\nX Y|a b\nY X|b a\n", encoding="utf-8")
    path = Path("conf/data/news.yaml")
    path.write_text(changed(path.read_text(encoding="utf-8"), "{name: topics}", f"{{name: {name}}}"), encoding="utf-8")
    words = ["experiment=tagging", "data=news", "~data.reader.probe", "judged_by=null"]
    message = refused_of("train", *words, "arch=lstm", "--out", "run")
    assert [part for part in parts if part not in message] == []
    assert not Path("run").exists()


@pytest.mark.parametrize("folder", ["nowhere", "conf"])
def test_a_folder_that_has_no_plug_ins_is_refused(folder: str, mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--plugins", folder, "config", "experiment=tagging"]) == 2
    assert "cells/" in capsys.readouterr().err


@pytest.mark.slow
def test_plug_ins_are_there_in_processes_that_train_together(mine: Path) -> None:
    words = ["train", "experiment=topics", "arch=leaky", "tracking=none", "training.devices=2", "--out", "together"]
    command = [sys.executable, "-m", "unroll.cli", "--plugins", str(mine), *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (Path("together") / "weights.safetensors").is_file()
