"""The house: who may import whom, what start-up may import, and that it has no drawers."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from processes import some_slow

PACKAGE = Path(__file__).parent.parent / "src" / "unroll"

# may be imported by all, and import nothing but each other
LEAVES = {
    "errors",
    "plugins",
    "formats",
    "outputs",
    "history",
    "interruption",
    "terminal",
    "launching",
    "metrics",
    "names",
    "locks",
    "credentials",
}
MAY_IMPORT = {
    "errors": set(),
    "outputs": {"errors"},
    "names": set(),
    "locks": {"errors"},
    "credentials": set(),
    "history": {"outputs"},
    "interruption": {"errors", "terminal"},
    "terminal": {"launching"},
    "launching": {"errors"},
    "metrics": {"errors"},
    "plugins": {"errors"},
    "formats": {"errors"},
    "cells": {"errors"},
    "networks": {"cells"},
    "data": set(),
    "tasks": {"networks", "data"},
    "training": set(),
    "tracking": set(),
    "config": {"data", "tasks"},
    "preparation": {"config", "data"},
    "own_corpus": {"config", "data"},
    "experiment": {"config", "data", "networks", "tasks", "training", "tracking", "cells"},
    "certificate": {"config", "data", "networks", "tasks", "training", "tracking", "experiment"},
    "serving": {"config", "data", "networks", "tasks", "training", "experiment"},
    "tuning": {"config", "data", "tasks", "tracking", "preparation", "experiment"},
    "analysis": {"tasks", "tracking"},
    "pipeline": {"config", "preparation"},
    "disk": {"config", "pipeline", "tracking"},
    "cli": {"config", "preparation", "own_corpus", "experiment", "serving", "certificate", "analysis", "data",
            "networks", "tracking", "tuning", "pipeline", "disk", "__init__"},
    "__init__": set(),
}  # fmt: skip


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def imported(path: Path) -> set[str]:
    """Every module of this package that a file imports, at its head or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        if names == ["unroll"]:
            names = [f"unroll.{alias.name}" for alias in node.names]
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name for name in names if name.split(".")[0] == "unroll"}
    return found


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_follow_the_directions_of_the_design(path: Path) -> None:
    allowed = MAY_IMPORT[room(path)] | LEAVES | {room(path)}
    rooms = {name.split(".")[1] if "." in name else "__init__" for name in imported(path)}
    rooms = {"__init__" if target == "__version__" else target for target in rooms}
    assert rooms <= allowed


def test_the_check_of_imports_sees_a_breach() -> None:
    assert "unroll.tasks.base" in imported(PACKAGE / "experiment" / "building.py")
    assert "tasks" not in MAY_IMPORT["networks"]


@pytest.mark.parametrize(
    ("library", "only"),
    [
        ("mlflow", {"mlflow.py", "pages.py", "parent.py", "serve.py", "spool.py", "store.py"}),
        ("hydra", {"hydra.py"}),
        ("optuna", {"backend.py"}),
    ],
)
def test_a_library_has_one_door(library: str, only: set[str]) -> None:
    users = set()
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            users |= {path.name for name in names if name.split(".")[0] == library}
    assert users == only


def test_there_are_no_drawers() -> None:
    assert not {path.stem for path in modules()} & {"utils", "util", "helpers", "helper", "common", "misc"}


def test_no_two_classes_have_one_name() -> None:
    names = [node.name for path in modules() for node in ast.parse(path.read_text(encoding="utf-8")).body
             if isinstance(node, ast.ClassDef)]  # fmt: skip
    assert sorted(names) == sorted(set(names))


def test_files_and_functions_have_the_sizes_of_the_design() -> None:
    for path in modules():
        text = path.read_text(encoding="utf-8")
        assert len(text.splitlines()) <= 300, path
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                assert node.end_lineno is not None
                assert node.end_lineno - node.lineno < 60, f"{path}: {node.name}"


@pytest.mark.parametrize("module", ["unroll", "unroll.cli", "unroll.config", "unroll.preparation", "unroll.pipeline",
                                    "unroll.disk", "unroll.analysis.comparison", "unroll.analysis.report",
                                    "unroll.analysis.verdict_text", "unroll.tuning.tune"])  # fmt: skip
def test_quick_verbs_import_neither_lightning_nor_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('lightning', 'torch', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


WORK = ["unroll.experiment.seeds", "unroll.tuning.worker"]


@pytest.mark.parametrize("module", some_slow(WORK, "unroll.tuning.worker"))
def test_training_imports_nothing_that_it_does_not_need(module: str) -> None:
    code = f"import sys, {module}; sys.exit(any(name in sys.modules for name in ('sklearn', 'pandas', 'mlflow')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_core_runs_where_only_its_own_dependencies_are_installed() -> None:
    # scipy and matplotlib are left out: torchmetrics imports them by itself where they are installed
    extras = ("mlflow", "dvc", "optuna", "statsmodels", "pooch", "jinja2", "conllu")
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name.split('.')[0] in {extras!r}: raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "import unroll.cli, unroll.preparation, unroll.experiment\n"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
