"""What docs/your-own-cell.md shows, run: one Python file, one YAML file, and the cell is there."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from documents import readme_block

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "your-own-cell.md").read_text(encoding="utf-8")
COMMANDS = [line for block in re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL) for line in block.splitlines()]


@pytest.fixture
def project(tmp_path: Path) -> Path:
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
def test_the_commands_of_the_page_train_the_cell(project: Path) -> None:
    assert len(COMMANDS) == 2
    for command in COMMANDS:
        program = [sys.executable, "-m", "unroll.cli", *shlex.split(command)[1:], "tracking=none"]
        done = run(project, *program)
        assert done.returncode == 0, done.stderr
        assert "outputs/adhoc/tagging-mgu-0-" in done.stdout


def test_the_cell_of_the_page_is_its_equations(project: Path) -> None:
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
    done = run(project, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
