"""DVC's own commands on a finished pipeline, as README.md shows them: figures, settings, curves, differences."""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from browsing import browsed
from test_pipeline import CONTENT, ENVIRONMENT, ROOT, dvc, small_project, write_grid
from test_readme import BY_DVC

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("pipeline")]
ARCHS, SEEDS = ("rnn", "bilstm"), (0, 1)
BY_FOLDER = re.findall(r"`(dvc [^`]* paper/outputs/[^`]*)`", (ROOT / "README.md").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline of two architectures, run and committed, then run with another budget."""
    folder = small_project(
        tmp_path_factory.mktemp("pipeline"),
        {"tagging": {"experiments": ["tagging"], "archs": [*ARCHS], "seeds": [*SEEDS], "certified": []}},
    )
    shutil.copytree(ROOT / ".dvc", folder / ".dvc", ignore=shutil.ignore_patterns("cache", "tmp", "config.local"))
    (folder / "paper").mkdir()
    for name in ("dvc.yaml", "dvc.lock", "grid.yaml"):
        shutil.copy(ROOT / "paper" / name, folder / "paper" / name)
    write_grid(folder)
    (folder / "data" / "grammar").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (folder / "data" / "grammar" / f"{split}.conllu").write_text(CONTENT, encoding="utf-8")
    subprocess.run(["git", "init", "-q", "."], cwd=folder, check=True)
    dvc(folder, "repro", "-q")
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "add", "."], cwd=folder, check=True)
    subprocess.run(["git", *identity, "commit", "-qm", "a"], cwd=folder, check=True)
    path = folder / "conf" / "experiment" / "tagging.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("tokens: 4000", "tokens: 6000"), encoding="utf-8")
    dvc(folder, "repro", "-q")
    return folder


def rows(text: str) -> list[dict[str, str]]:
    """Rows of a table of DVC in Markdown."""
    header, _, *lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line]
    return [dict(zip(header, line, strict=True)) for line in lines]


def test_every_command_of_the_readme_works(finished: Path) -> None:
    assert len(BY_DVC) == 5
    for command in BY_DVC:
        assert dvc(finished, *command.split()[1:])


def test_a_pipeline_that_did_not_run_adds_no_row_and_no_warning(finished: Path) -> None:
    assert not (finished / "paper" / "outputs").exists()
    for command in BY_DVC:
        done = subprocess.run(
            command.split(), cwd=finished, env=ENVIRONMENT, capture_output=True, text=True, check=True
        )
        assert "failed" not in done.stdout + done.stderr, command
        assert "paper" not in done.stdout, command


def test_the_figures_and_curves_of_the_paper_are_shown_by_their_folders(finished: Path) -> None:
    paper = finished / "paper" / "outputs"
    shutil.copytree(finished / "outputs" / "summary", paper / "summary")
    shutil.copytree(finished / "outputs" / "curves", paper / "curves")
    try:
        assert len(BY_FOLDER) == 2
        for command in BY_FOLDER:
            assert dvc(finished, *command.split()[1:])
        found = rows(dvc(finished, "metrics", "show", "--md", "paper/outputs/summary"))
        assert [row["Path"] for row in found] == [
            f"paper/outputs/summary/tagging/{arch}.json" for arch in sorted(ARCHS)
        ]
    finally:
        shutil.rmtree(paper)


def test_figures_are_a_row_per_experiment_and_architecture(finished: Path) -> None:
    found = rows(dvc(finished, "metrics", "show", "--md"))
    assert [row["Path"] for row in found] == [f"outputs/summary/tagging/{arch}.json" for arch in sorted(ARCHS)]
    for row in found:
        assert {"metric", "mean", "low", "high", "parameters"} <= row.keys()
        assert row["seeds"] == "2"
        assert float(row["tokens_per_second"]) > 0
    changed = rows(dvc(finished, "metrics", "diff", "--md"))
    assert {row["Metric"] for row in changed} >= {"tokens_per_second"}


def test_settings_that_differ_are_named_for_each_run(finished: Path) -> None:
    found = rows(dvc(finished, "params", "diff", "--md"))
    paths = sorted(f"outputs/configs/tagging/{arch}/{seed}.yaml" for arch in ARCHS for seed in SEEDS)
    assert sorted(row["Path"] for row in found) == paths
    assert {(row["Param"], row["HEAD"], row["workspace"]) for row in found} == {("training.tokens", "4000", "6000")}


@pytest.mark.parametrize("verb", ["show", "diff"])
def test_curves_have_every_seed_and_load_nothing(verb: str, finished: Path) -> None:
    shutil.rmtree(finished / "dvc_plots", ignore_errors=True)
    dvc(finished, "plots", verb)
    page = (finished / "dvc_plots" / "index.html").read_text(encoding="utf-8")
    assert "<script src" not in page
    (spec,) = re.findall(r"var spec = (\{.*?\});\n", page)
    points = json.loads(spec)["data"]["values"]
    revisions = {"show": {"workspace"}, "diff": {"workspace", "HEAD"}}[verb]
    lines = {(point["rev"], point["arch"], str(point["seed"])) for point in points}
    assert lines == {(rev, arch, str(seed)) for rev in revisions for arch in ARCHS for seed in SEEDS}


@pytest.mark.browser
def test_a_browser_draws_a_line_per_seed_and_revision(finished: Path) -> None:
    dvc(finished, "plots", "diff")
    done = browsed(finished / "dvc_plots" / "index.html", "--dump-dom")
    assert "CONSOLE" not in done.stderr
    drawn = re.findall(r"<polyline [^>]*><title>(.*?)</title>", done.stdout)
    assert sorted(drawn) == sorted(
        f"{arch} seed {seed} {rev}" for rev in ("workspace", "HEAD") for arch in ARCHS for seed in SEEDS
    )
    assert "outputs/curves/tagging.csv: val/accuracy" in done.stdout


def test_the_curves_are_those_of_the_histories(finished: Path) -> None:
    with (finished / "outputs" / "curves" / "tagging.csv").open(newline="", encoding="utf-8") as file:
        curves = list(csv.DictReader(file))
    for arch in ARCHS:
        for seed in SEEDS:
            history = finished / "outputs" / "runs" / "tagging" / arch / str(seed) / "history.csv"
            with history.open(newline="", encoding="utf-8") as file:
                expected = [row for row in csv.DictReader(file) if row["metric"] == "val/accuracy"]
            mine = [row for row in curves if (row["arch"], row["seed"]) == (arch, str(seed))]
            assert [(float(row["tokens"]), float(row["value"])) for row in mine] == [
                (float(row["tokens"]), float(row["value"])) for row in expected
            ]
