"""What docs/your-own-cell.md shows, run: one Python file, one YAML file, and the cell is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import readme_block

from unroll.cli import main
from unroll.config import Config
from unroll.plugins import VARIABLE

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "your-own-cell.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """A copy of this project with the two files of the page."""
    for name in ("conf", "src"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("src/unroll/cells/minimal_gated.py", "conf/arch/mgu.yaml"):
        (tmp_path / name).write_text(readme_block(PAGE, name), encoding="utf-8")
    return tmp_path


def run(project: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(project / "src"), "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_commands_of_the_page_train_the_cell(copied: Path) -> None:
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        program = [sys.executable, "-m", "unroll.cli", *shlex.split(command)[1:], "tracking=none"]
        done = run(copied, *program)
        assert done.returncode == 0, done.stderr
        assert "outputs/adhoc/tagging-mgu-0-" in done.stdout


def test_the_cell_of_the_page_is_its_equations(copied: Path) -> None:
    code = """
import torch
from unroll.cells import cell_named
from unroll.networks.scan import scan
cell = cell_named("minimal_gated")(3, 4).double()
x, h = torch.randn(2, 5, 3, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
output, _ = scan(cell, x, torch.tensor([5, 5]), type(cell.initial_state(2))(h))
(uf, un), (wf, wn), (bf, bn) = cell.weight_input.chunk(2), cell.weight_recurrent.chunk(2), cell.bias.chunk(2)
for t in range(5):
    f = torch.sigmoid(x[:, t] @ uf.T + h @ wf.T + bf)
    h = (1 - f) * h + f * torch.tanh(x[:, t] @ un.T + bn + f * (h @ wn.T))
    torch.testing.assert_close(output[:, t], h, rtol=0, atol=1e-10)
"""
    done = run(copied, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr


HEAD = "import torch\nfrom unroll.cells import Cell, GRUCell, HiddenState, LSTMCell\n\n\n"
STEP = """\
    def step(self, projected, state):
        hidden = torch.tanh(projected + self.recur(state.hidden))
        return hidden, HiddenState(hidden)
"""
OWN = {  # file → arguments and its class
    "plain": ({}, f"class OwnCell(Cell):\n{STEP}"),
    "inherited": ({"forget_bias": 2.0}, "class OwnCell(LSTMCell):\n    pass\n"),
    "keyword": ({"count": 3}, f"""\
class OwnCell(Cell):
    def __init__(self, input_size, hidden_size, *, count=1):
        super().__init__(input_size, hidden_size)
        self.counted = list(range(count))

{STEP}"""),
    "numbers": ({}, f"""\
class OwnCell(Cell):
    def __init__(self, input_size, hidden_size):
        super().__init__(input_size, hidden_size)
        assert float(self.weight_recurrent.abs().sum()) > 0

{STEP}"""),
    "passed": ({"count": 2, "reset": "before"}, """\
class Middle(GRUCell):
    def __init__(self, width, height, count=1, **others):
        super().__init__(width, height, **others)
        assert count == 2 and self.reset == "before"


class OwnCell(Middle):
    pass
"""),
}  # fmt: skip
LATER = {  # what a check on a few sequences cannot see: wrong at another batch size
    "batch": f"class OwnCell(Cell):\n{STEP.replace('self.recur(state.hidden))', 'projected.new_zeros(2, 1))  # HERE')}",
    "raised": "class OwnCell(Cell):\n    def step(self, projected, state):\n        if len(projected) > 3:\n"
              "            raise KeyError('no')  # HERE\n" + STEP.partition("\n")[2],
}  # fmt: skip
BROKEN = {  # file → arguments, its class with the wrong line marked, and what is said beside
    "shape": ({}, f"class OwnCell(Cell):\n{STEP.replace('self.recur(state.hidden))', 'state.hidden.T)  # HERE')}",
              "size"),
    "start": ({}, f"class OwnCell(Cell):\n{STEP}\n    def initial_state(self, batch_size):\n"
                  "        return HiddenState(torch.zeros(nonsense))  # HERE\n", "nonsense"),
    "constructor": ({"gate": "none"}, f"""\
class OwnCell(Cell):
    def __init__(self, input_size, hidden_size, gate):
        super().__init__(input_size, hidden_size)
        self.gate = {{"some": 1}}[gate]  # HERE

{STEP}""", "none"),
    "imported": ({}, f"import nonsense  # HERE\n\n\nclass OwnCell(Cell):\n{STEP}", "nonsense"),
    "syntax": ({}, f"class OwnCell(Cell:  # HERE\n{STEP}", "own_syntax.py"),
    "ignored": ({}, f"class OwnCell(Cell):  # HERE\n{STEP.replace('self.recur(state.hidden)', 'state.hidden')}",
                "arch.encoder.layer_norm=false"),
    "argument": ({"nonsense": 1}, f"class OwnCell(Cell):\n{STEP}", "nonsense"),
}  # fmt: skip


def plant(name: str, arguments: dict[str, Any], code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a plug-in with a cell, and the settings that name it."""
    (folder / "cells").mkdir()
    (folder / "cells" / f"own_{name}.py").write_text(HEAD + code, encoding="utf-8")
    monkeypatch.setenv(VARIABLE, str(folder))
    encoder = {"name": "recurrent", "cell": f"own_{name}", "cell_arguments": arguments, "bidirectional": False}
    Path("conf/arch/own.yaml").write_text(yaml.safe_dump({"name": "own", "encoder": encoder}), encoding="utf-8")


@pytest.fixture
def tiny(small: Callable[..., Config]) -> list[str]:
    """Words of the command line for a small run of the planted cell."""
    small("tagging", "lstm")  # makes its data
    files = [f"data.{split}=data/small/{split}.conllu" for split in ("train", "validation", "test")]
    return ["experiment=tagging", "arch=own", *files, "data.generator=null", "training.tokens=300", "tracking=none",
            "training.validations=1", "arch.encoder.hidden_size=5", "arch.inputs.size=3"]  # fmt: skip


@pytest.mark.parametrize("name", OWN)
def test_a_cell_takes_the_arguments_that_its_classes_take(
    name: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(name, *OWN[name], tmp_path, monkeypatch)
    assert main(["train", *tiny, "--out", "run"]) == 0
    assert main(["certify", "run"]) == 0


@pytest.mark.parametrize("name", BROKEN)
def test_a_mistake_in_a_cell_ends_in_a_sentence_with_its_line(
    name: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, code, words = BROKEN[name]
    plant(name, arguments, code, tmp_path, monkeypatch)
    normed = ["arch.encoder.layer_norm=true"] if name == "ignored" else []
    assert main(["train", *tiny, *normed, "--out", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line
    numbers = [number for number, text in enumerate((HEAD + code).splitlines(), start=1) if "# HERE" in text]
    for number in numbers:
        assert f"own_{name}.py, line {number}" in line
    assert not Path("run").exists()


@pytest.mark.parametrize("name", LATER)
def test_a_mistake_that_shows_in_training_alone_ends_in_a_sentence_too(
    name: str, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plant(f"later_{name}", {}, LATER[name], tmp_path, monkeypatch)
    assert main(["train", *tiny, "training.batch_size=8", "--out", "run"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    (number,) = [number for number, text in enumerate((HEAD + LATER[name]).splitlines(), start=1) if "# HERE" in text]
    assert f"own_later_{name}.py, line {number}: " in line
    assert not Path("run").exists()
