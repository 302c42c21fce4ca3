"""A cell, a reader and a task from a folder outside the package: every verb takes them; nothing runs them unasked."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from documents import readme_block

from unroll.cli import main
from unroll.plugins import VARIABLE

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


def test_a_task_a_reader_and_a_cell_from_a_folder_serve_every_verb(
    mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert (shown["task"], shown["arch"]["encoder"]["cell"]) == ({"name": "topic", "smoothing": 0.1}, "leaky")
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
    [("cells/raises.py", "\nraise RuntimeError('no')\n", ["raises.py, line 2", "RuntimeError: no"]),
     ("cells/lstm.py", CELL, ["lstm", "both define"]),
     ("cells/nothing.py", "x = 1\n", ["must define one cell"]),
     ("readers/conllu.py", READER, ["conllu", "both define"]),
     ("readers/broken.py", "import nonsense_of_mine\n", ["broken.py, line 1", "nonsense_of_mine"]),
     ("readers/other.py", "x = 1\n", ["must define exactly one Reader"]),
     ("tasks/tagger/description.py", DESCRIPTION, ["tagger", "both define"]),
     ("tasks/half/description.py", DESCRIPTION, ["has no answers.py"]),
     ("tasks/empty/module.py", MODULE, ["has no description.py"]),
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


@pytest.mark.parametrize(("part", "missing"), [("answers", "build(blocks, options)"), ("module", "exactly one Task")])
def test_a_task_whose_file_lacks_its_part_is_one_sentence(
    part: str, missing: str, mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"topic_without_{part}"  # modules are imported once by name
    shutil.copytree(mine / "tasks/topic", mine / "tasks" / name)
    (mine / "tasks" / name / f"{part}.py").write_text("x = 1\n", encoding="utf-8")
    Path(f"conf/task/{name}.yaml").write_text(f"name: {name}\nsmoothing: 0.1\n", encoding="utf-8")
    words = ["train", "experiment=topics", "arch=leaky", f"task={name}", "tracking=none"]
    assert main(["--plugins", str(mine), *words]) == 2
    assert f"{part}.py must define {missing}; correct it." in capsys.readouterr().err


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
