"""A finished run is loaded as its network alone: what trains it is not imported."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.config import Config

# torch's compiler, which torch imports only when it is used, takes as long to import as lightning
HEAVY = ("lightning", "torchmetrics", "mlflow", "scipy", "matplotlib", "pandas", "hydra", "optuna", "torch._dynamo")
VERB = "from unroll.cli import main; assert main(sys.argv[1:]) == 0"
MODEL = "from unroll.serving.model import _load_pyfunc; _load_pyfunc('run').predict(sys.argv[1:])"
RUNS = [("tagging", "bilstm-chars-crf"), ("tagging", "lstm-feedback"), ("grammar", "lstm"), ("grammar", "ngram"),
        ("adding", "cnn")]  # fmt: skip


def imports(code: str, *words: str) -> set[str]:
    """What a process of its own imports of HEAVY."""
    code = f"import sys; {code}; print('imported', *({{*{HEAVY}}} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    ("name", "arch"),
    [pytest.param(name, arch, id=arch, marks=[] if arch == "bilstm-chars-crf" else pytest.mark.slow)
     for name, arch in RUNS],
)  # fmt: skip
def test_prediction_imports_nothing_of_training(
    name: str, arch: str, small: Callable[..., Config], project: Path
) -> None:
    config = small(name, arch)
    experiment.train(config, preparation.prepared(config.data), project / "run")
    line = "0.5,1 0.25,0" if name == "adding" else "the dog"
    words = ["generate", "run", f"--prompt={line}"] if name == "grammar" else ["predict", "run", line]
    assert imports(VERB, *words) == set()
    assert imports(MODEL, line) == set()


def test_evaluation_imports_what_judges(small: Callable[..., Config], project: Path) -> None:
    """The test above sees what is imported."""
    config = small("tagging", "bilstm")
    experiment.train(config, preparation.prepared(config.data), project / "run")
    assert "lightning" in imports(VERB, "predict", "run", "--file", "data/small/test.conllu", "--evaluate")
