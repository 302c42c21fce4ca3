"""Every command of README.md, docs/training.md and docs/studies.md is run, under `slow`; what pages link is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.config import Config, compose, load

ROOT = Path(__file__).parent.parent


def commands(page: str) -> list[str]:
    """Commands that a page shows."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


COMMANDS = commands("README.md")
QUICK = [command for command in COMMANDS if command.startswith("unroll ")]
LONG = [command for command in COMMANDS if command.startswith("make ")]
BY_DVC = [command for command in COMMANDS if command.startswith("dvc ")]  # tests/pipeline/test_dvc_commands.py


def test_every_command_is_run_somewhere() -> None:
    assert len(QUICK) >= 9
    assert set(COMMANDS) == {*QUICK, *LONG, *BY_DVC}
    by_ci = {line.removeprefix("time ") for line in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()}
    assert set(LONG) <= by_ci


@pytest.mark.slow
@pytest.mark.parametrize("page", ["README.md", "docs/training.md"])
def test_quick_commands_work_in_the_order_of_the_page(
    page: str, project: Path, small: Callable[..., Config], store: str
) -> None:
    for name, arch in (("tagging", "bilstm"), ("tagging", "lstm"), ("grammar", "lstm")):
        config = small(name, arch)
        experiment.train(config, preparation.prepared(config.data), project / "outputs" / "runs" / name / arch / "0")
        assert compose([f"experiment={name}"]).data.name == "grammar"
    shutil.copytree(
        project / "data" / "small", project / "data" / "tagging", dirs_exist_ok=True
    )  # as the course has it
    (project / "my-treebank").mkdir()
    for split, source in (("train", "train"), ("dev", "validation"), ("test", "test")):
        shutil.copy(project / "data" / "small" / f"{source}.conllu", project / "my-treebank" / f"{split}.conllu")
    for command in [command for command in commands(page) if command.startswith("unroll ")]:
        run(command)


def run(command: str) -> str:
    """Run a command as a shell does, and return what it prints."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    environment.pop("UNROLL_MIRROR", None)
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    _, redirected, path = command.partition(" > ")
    assert Path(path).stat().st_size if redirected else done.stdout
    return done.stdout


@pytest.mark.slow
def test_commands_on_studies_work_in_the_order_of_the_page(project: Path, store: str) -> None:
    path, page = project / "conf" / "study" / "lstm-vs-gru.yaml", "docs/studies.md"
    given = path.read_text(encoding="utf-8")
    assert given.partition("\n")[2] in (ROOT / page).read_text(encoding="utf-8")  # the page shows the file
    less = {"training.tokens: 300000": "training.tokens: 4000", "trials: 24": "trials: 4",
            "[10, 11, 12, 13, 14]": "[10, 11]"}  # fmt: skip
    for full, small in less.items():
        assert full in given
        given = given.replace(full, small)
    path.write_text(given, encoding="utf-8")
    # PostgreSQL's is that of tests/tuning/test_postgres.py, and the chapter's runs are made by make repro
    tune, *others, verdict = [command for command in commands(page)
                              if command.startswith("unroll ") and "postgresql" not in command]  # fmt: skip
    folder = project / Path(run(tune).splitlines()[-1]).parent
    outputs, anew = project / "outputs", ("lstm/10", "lstm/11", "gru/10", "gru/11")
    runs = {name: load(folder / "retrain" / f"{name}.yaml") for name in anew}
    prepared = preparation.prepared(runs["lstm/10"].data)
    for name, config in runs.items():
        experiment.train(config, prepared, outputs / "runs" / "lstm-vs-gru" / name)
    folders = [outputs / "runs" / "lstm-vs-gru" / name for name in runs]
    experiment.evaluate(folders, prepared, outputs / "metrics" / "lstm-vs-gru.json", None)
    for command in [*others, verdict]:
        run(command)


def test_files_that_the_page_links_are_there() -> None:
    for page in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_make_help_lists_every_target() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in ("setup", "repro", "study", "paper", "test", "check", "soak", "dag", "ui", "report", "clean", "help"):
        assert f"make {target} " in told


@pytest.mark.slow
def test_make_repro_works_in_a_fresh_clone(tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "-q", str(ROOT), str(tmp_path / "clone")], check=True)
    subprocess.run(["make", "repro"], cwd=tmp_path / "clone", check=True)
    assert (tmp_path / "clone" / "outputs" / "report" / "index.html").exists()
