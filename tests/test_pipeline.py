"""The pipeline: what re-runs when something changes, equal bytes when nothing does, and a question of one's own."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import torch
import yaml
from documents import readme_block

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.xdist_group("pipeline")  # one worker, so that the pipeline is run to its end once
ENVIRONMENT = {**os.environ, "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}


def dvc(folder: Path, *arguments: str, **more: str) -> str:
    environment = ENVIRONMENT | {"PYTHONPATH": str(folder / "src")}  # its own code, which tests change
    environment |= more
    done = subprocess.run(["dvc", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def stale(folder: Path) -> set[str]:
    """Stages that would run, as far as can be told before the first of them has run."""
    return set(json.loads(dvc(folder, "status", "--json")))


def digests(folder: Path) -> dict[str, str]:
    """Hash of every output without measured speeds, from the lock file."""
    lock = yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    measured = ("outputs/report", "outputs/summary")
    return {out["path"]: out["md5"] for stage in lock.values() for out in stage["outs"] if out["path"] not in measured}


def small_project(folder: Path, grid: dict[str, list[object]]) -> Path:
    """A copy of this project whose course is one chapter of short runs, without MLflow."""
    for name in ("conf", "src", "dvc.yaml", ".dvcignore", ".gitignore"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, folder / name, **({"ignore": shutil.ignore_patterns("__pycache__", "*.egg-info")}
                                            if copy is shutil.copytree else {}))  # fmt: skip
    (folder / "conf" / "course.yaml").write_text(yaml.safe_dump(grid), encoding="utf-8")
    settings = folder / "conf" / "config.yaml"
    settings.write_text(settings.read_text(encoding="utf-8").replace("tracking: mlflow", "tracking: none"), "utf-8")
    for name in ("grammar", "tagging"):
        path = folder / "conf" / "experiment" / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        text = re.sub(r"(?m)^judged_by:.*\n", "", text)  # which needs more data than this
        path.write_text(text.split("training:")[0] + "training: {tokens: 4000, validations: 2}\n", encoding="utf-8")
    return folder


def write_grid(folder: Path) -> None:
    subprocess.run(["unroll", "course"], cwd=folder, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def own_corpus(folder: Path, content: str) -> None:
    for split in ("train", "dev", "test"):
        (folder / f"{split}.conllu").write_text(content, encoding="utf-8")


CONTENT = "".join(
    f"1\tthe\t_\tDET\t_\t_\t_\t_\t_\t_\n2\t{noun}\t_\tNOUN\t_\t_\t_\t_\t_\t_\n3\t{verb}\t_\tVERB\t_\t_\t_\t_\t_\t"
    f"Context={context}|Attractors=0|Contrast=the\n\n"
    for context in ("left", "right") for noun in ("dog", "cat", "bird") for verb in ("runs", "sleeps") for _ in range(4)
)  # fmt: skip


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small pipeline on a corpus of its own, run to its end."""
    folder = small_project(
        tmp_path_factory.mktemp("pipeline"),
        {"tagging": {"experiments": ["tagging"], "archs": ["rnn", "bilstm"], "seeds": [0], "certified": ["rnn-0"]}},
    )
    write_grid(folder)
    (folder / "data" / "grammar").mkdir(parents=True)
    for split in ("train", "validation", "test"):
        (folder / "data" / "grammar" / f"{split}.conllu").write_text(CONTENT, encoding="utf-8")
    dvc(folder, "init", "-q", "--no-scm")
    dvc(folder, "repro", "-q")
    return folder


@pytest.fixture
def pipeline(finished: Path, tmp_path: Path) -> Path:
    """A copy of it to change."""
    return shutil.copytree(finished, tmp_path / "copy", symlinks=True)


TRAIN = {"train@tagging-rnn", "train@tagging-bilstm"}


@pytest.mark.slow
def test_nothing_changed_nothing_runs(pipeline: Path) -> None:
    assert stale(pipeline) == set()


@pytest.mark.slow
def test_one_arch_edited_runs_just_its_runs(pipeline: Path) -> None:
    path = pipeline / "conf" / "arch" / "bilstm.yaml"
    path.write_text(
        path.read_text(encoding="utf-8").replace("bidirectional: true", "bidirectional: true\n  layers: 2"),
        encoding="utf-8",
    )
    dvc(pipeline, "repro", "-q", "-s", "resolve")
    assert stale(pipeline) & TRAIN == {"train@tagging-bilstm"}
    assert not {name for name in stale(pipeline) if name.startswith("prepare")}


@pytest.mark.slow
def test_a_question_put_in_other_words_runs_no_run(pipeline: Path) -> None:
    path = pipeline / "conf" / "experiment" / "tagging.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace('question: "', 'question: "Again: '), encoding="utf-8")
    dvc(pipeline, "repro", "-q", "-s", "resolve")
    assert stale(pipeline) == {"report"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "file", ["cells/lstm.py", "networks/recurrent.py", "tasks/tagger/module.py", "experiment/building.py"]
)
def test_code_of_a_model_edited_runs_all_runs(pipeline: Path, file: str) -> None:
    path = pipeline / "src" / "unroll" / file
    path.write_text(path.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")
    dvc(pipeline, "repro", "-q", "-s", "code")
    assert stale(pipeline) >= TRAIN


@pytest.mark.slow
def test_code_of_the_analysis_edited_runs_no_run(pipeline: Path) -> None:
    path = pipeline / "src" / "unroll" / "analysis" / "comparison.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")
    assert stale(pipeline) == {"compare", "report"}


@pytest.mark.slow
def test_code_of_the_certificate_edited_certifies_alone(pipeline: Path) -> None:
    path = pipeline / "src" / "unroll" / "certificate" / "checks.py"
    path.write_text(path.read_text(encoding="utf-8") + "\nADDED = 1\n", encoding="utf-8")
    assert stale(pipeline) == {"certify@tagging-rnn-0"}


@pytest.mark.slow
def test_a_test_file_edited_evaluates_alone(pipeline: Path) -> None:
    (pipeline / "data" / "grammar" / "test.conllu").write_text(CONTENT * 2, encoding="utf-8")
    dvc(pipeline, "repro", "-q", "-s", "prepare@tagging")
    assert {name for name in stale(pipeline) if not name.startswith(("prepare", "report"))} == {"evaluate@tagging"}


@pytest.mark.slow
def test_a_chapter_more_leaves_the_others_as_they_are(pipeline: Path) -> None:
    course = pipeline / "conf" / "course.yaml"
    grid = yaml.safe_load(course.read_text(encoding="utf-8"))
    own = {"experiments": ["grammar"], "archs": ["rnn"], "seeds": [0]}
    course.write_text(yaml.safe_dump(grid | {"own": own}), encoding="utf-8")
    write_grid(pipeline)
    dvc(pipeline, "repro", "-q", "-s", "resolve")
    others = {name for name in stale(pipeline) if not name.startswith("prepare")}
    assert others == {"train@grammar-rnn", "evaluate@grammar", "compare", "report"}


@pytest.mark.slow
def test_an_arch_removed_from_the_course_is_not_evaluated(pipeline: Path) -> None:
    course = pipeline / "conf" / "course.yaml"
    grid = yaml.safe_load(course.read_text(encoding="utf-8"))
    grid["tagging"]["archs"] = ["rnn"]
    course.write_text(yaml.safe_dump(grid), encoding="utf-8")
    write_grid(pipeline)
    dvc(pipeline, "repro", "-q", "evaluate@tagging")
    figures = json.loads((pipeline / "outputs" / "metrics" / "tagging.json").read_text(encoding="utf-8"))
    assert {run["arch"] for run in figures.values()} == {"rnn"}


def test_only_evaluate_depends_on_the_test_split() -> None:
    for path in (ROOT / "dvc.yaml", ROOT / "paper" / "dvc.yaml"):
        stages = yaml.safe_load(path.read_text(encoding="utf-8"))["stages"]
        bodies = {name: stage.get("do", stage) for name, stage in stages.items()}
        assert {name for name, body in bodies.items() if any("/test" in dep for dep in body.get("deps", []))} == {
            "evaluate"
        }


@pytest.mark.slow
def test_training_never_opens_the_test_split(finished: Path, tmp_path: Path) -> None:
    prepared = shutil.copytree(finished / "outputs" / "prepared" / "tagging", tmp_path / "prepared")
    shutil.rmtree(prepared / "test")
    from unroll import config, experiment

    run = config.load(finished / "outputs" / "configs" / "tagging" / "rnn" / "0.yaml")
    experiment.train(run, prepared, tmp_path / "run")
    same = finished / "outputs" / "runs" / "tagging" / "rnn" / "0" / "weights.safetensors"
    assert (tmp_path / "run" / "weights.safetensors").read_bytes() == same.read_bytes()


def ages(folder: Path) -> dict[str, int]:
    """When each folder in a folder was written."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


@pytest.mark.slow
def test_forced_again_every_output_has_the_same_hash(pipeline: Path) -> None:
    before, kept = digests(pipeline), ages(pipeline / "outputs" / "kept")
    assert len(before) == 10  # configs, code, fit, test, two archs, metrics, curves, certificate, comparison
    dvc(pipeline, "repro", "-q", "--force")
    assert digests(pipeline) == before
    assert ages(pipeline / "outputs" / "kept") == kept  # nothing was trained
    dvc(pipeline, "repro", "-q", "--force", UNROLL_AGAIN="1")
    assert digests(pipeline) == before
    assert not ages(pipeline / "outputs" / "kept").items() & kept.items()


@pytest.mark.slow
def test_a_seed_and_an_arch_added_train_just_those(pipeline: Path) -> None:
    runs, kept = digests(pipeline), ages(pipeline / "outputs" / "kept")
    course = pipeline / "conf" / "course.yaml"
    grid = yaml.safe_load(course.read_text(encoding="utf-8"))
    grid["tagging"] |= {"archs": ["rnn", "bilstm", "gru"], "seeds": [0, 1]}
    course.write_text(yaml.safe_dump(grid), encoding="utf-8")
    write_grid(pipeline)
    dvc(pipeline, "repro", "-q")
    assert ages(pipeline / "outputs" / "kept").items() > kept.items()  # what was there was not trained again
    assert len(list((pipeline / "outputs" / "runs" / "tagging").glob("*/*/run.json"))) == 6
    assert not digests(pipeline).keys() ^ {*runs, "outputs/runs/tagging/gru"}


def test_stages_are_described() -> None:
    for path in (ROOT / "dvc.yaml", ROOT / "paper" / "dvc.yaml"):
        for name, stage in yaml.safe_load(path.read_text(encoding="utf-8"))["stages"].items():
            assert stage.get("do", stage)["desc"], name


@pytest.mark.slow
@pytest.mark.parametrize("form", ["conllu", "txt"])
def test_a_question_of_ones_own_is_eight_lines_and_one_command(form: str, tmp_path: Path) -> None:
    """What docs/your-own-question.md shows, run: its YAML as it stands there, on small files."""
    page = (ROOT / "docs" / "your-own-question.md").read_text(encoding="utf-8")
    experiment, course = readme_block(page, "conf/experiment/mine.yaml"), readme_block(page, "conf/course.yaml")
    lines = [line for line in (experiment + course).splitlines() if line.strip()]
    assert len(lines) <= 8
    own = yaml.safe_load(course)["own"]
    assert len(own["archs"]) == 2
    assert len(own["seeds"]) == 5
    if form == "txt":  # as the page's last paragraph says
        experiment = experiment.replace("tagger", "language_model")
        own["archs"], own["certified"] = ["lstm", "ngram"], ["lstm-0"]
    folder = small_project(tmp_path, {"own": own})
    (folder / "my-treebank").mkdir()
    own_corpus(folder / "my-treebank", CONTENT)
    if form == "txt":
        for path in (folder / "my-treebank").iterdir():
            words = [line.split("\t")[1] if line else "\n" for line in CONTENT.splitlines()]
            path.with_suffix(".txt").write_text(" ".join(words), encoding="utf-8")
            path.unlink()
    (folder / "conf" / "experiment" / "mine.yaml").write_text(
        re.sub("training:.*", "training: {tokens: 2000, validations: 1}", experiment), encoding="utf-8"
    )
    subprocess.run(["unroll", "data", "add", "my-treebank", "--name", "mine"], cwd=folder, check=True, env=ENVIRONMENT)
    write_grid(folder)
    dvc(folder, "init", "-q", "--no-scm")
    dvc(folder, "repro", "-q")
    html = (folder / "outputs" / "report" / "index.html").read_text(encoding="utf-8")
    assert yaml.safe_load(experiment)["question"] in html
    assert len(list((folder / "outputs" / "runs" / "mine").glob("*/*/run.json"))) == 10
    assert html.count("<svg") == 2
    assert f'id="certificate-mine-{own["certified"][0]}"' in html


def wait_for_checkpoint(folder: Path, process: subprocess.Popen[bytes]) -> Path:
    """Working folder of a run that has written a checkpoint."""
    deadline, begin = time.monotonic() + 120, time.time()
    pattern = "outputs/working/*/previous.ckpt"
    while not (found := [path for path in folder.glob(pattern) if path.stat().st_mtime > begin]):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    return found[0].parent


@pytest.mark.slow
def test_a_pipeline_that_was_killed_goes_on_where_it_was(pipeline: Path, tmp_path: Path) -> None:
    path = pipeline / "conf" / "experiment" / "tagging.yaml"
    text = path.read_text(encoding="utf-8").replace("tokens: 4000", "tokens: 60000, checkpoint_seconds: 0.1")
    path.write_text(text, encoding="utf-8")
    whole = shutil.copytree(pipeline, tmp_path / "whole", symlinks=True)
    dvc(whole, "repro")
    for _ in range(2):
        killed = subprocess.Popen(["dvc", "repro"], cwd=pipeline, env=ENVIRONMENT, start_new_session=True,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        workspace = wait_for_checkpoint(pipeline, killed)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    kept = [path for name in ("last.ckpt", "previous.ckpt") if (path := workspace / name).exists()]  # killed in a move
    assert torch.load(kept[0], weights_only=True)["global_step"] > 0
    dvc(pipeline, "repro")
    assert digests(pipeline) == digests(whole)
    assert not list((pipeline / "outputs" / "working").iterdir())
