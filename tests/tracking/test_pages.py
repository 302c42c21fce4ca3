"""What people see of runs in MLflow: its records, and its pages in a browser."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from browsing import visited
from processes import free_port

from unroll import experiment, preparation
from unroll.config import Config, compose
from unroll.experiment.tracked import params_of

Small = Callable[..., Config]
UNTRACKED = ("tracking.system_metrics=false",)


def params(*overrides: str) -> dict[str, str]:
    return params_of(compose(["experiment=tagging", *overrides]))


def differing(*runs: dict[str, str]) -> list[str]:
    return sorted(key for key in set().union(*runs) if len({run.get(key) for run in runs}) > 1)


def test_architectures_differ_in_their_name_alone(project: Path) -> None:
    archs = ("lstm", "gru", "bilstm", "bilstm-crf", "bilstm-chars-crf", "lstm-feedback")
    assert differing(*(params(f"arch={arch}") for arch in archs)) == ["arch"]


@pytest.mark.parametrize(
    "setting",
    ["seed=1", "arch.encoder.hidden_size=9", "training.optimizer.learning_rate=0.5", "training.tokens=9",
     "arch.encoder.cell_arguments.forget_bias=0.5", "arch.encoder.bidirectional=true", "data.lowercase=true",
     "training.clip_norm=9.0"],
)  # fmt: skip
def test_a_setting_is_compared_under_the_name_that_a_person_types(setting: str, project: Path) -> None:
    key, _, value = setting.partition("=")
    varied = params("arch=lstm", setting)
    assert differing(params("arch=lstm"), varied) == [key]
    assert varied[key].lower() == value


def test_files_texts_and_what_decides_nothing_are_no_params(project: Path) -> None:
    keys = params("arch=lstm")
    assert (keys["data"], keys["task"], keys["arch"]) == ("grammar", "tagger", "lstm")
    assert not [key for key in keys if key.startswith(("data.train", "data.title", "tracking"))]


def test_settings_of_another_project_are_compared_whole(project: Path) -> None:
    config = compose(["experiment=tagging", "arch=bilstm-crf"])
    Path("conf/arch/bilstm-crf.yaml").unlink()
    assert params_of(config)["arch.output.name"] == "crf"


@pytest.mark.parametrize(
    ("name", "headline"),
    [("tagging", "accuracy"), ("wnut17", "f1"), ("grammar", "perplexity"), ("adding", "loss")],
)
def test_the_headline_is_that_of_the_task(name: str, headline: str, project: Path) -> None:
    config = compose([f"experiment={name}", "arch=lstm"])
    assert config.task.description.headline(config.role_fields).name == headline


def test_the_first_page_sets_the_look_of_every_experiment() -> None:
    from mlflow.entities import Experiment, ExperimentTag

    from unroll.tracking.pages import columns, script

    tags = [ExperimentTag("headline", "f1"), ExperimentTag("mlflow.note.content", "</script><script>alert(1)")]
    made = script([Experiment("7", "a", "there", "active", tags=tags), Experiment("0", "b", "there", "active")])
    assert made.count("<") == 2 + made.count("< ")  # its own marks alone
    looks = json.loads(made.partition("Object.entries(")[2].partition("))")[0])
    assert looks["mlflow.workflowType_v1"] == '"machine_learning"'
    look = json.loads(looks['MLflowLocalStorage-1.1-ExperimentPage-["7"]-ReactComponentState'])
    assert look["selectedColumns"] == look["columnOrder"] == list(columns("f1"))
    assert look["selectedColumns"][:2] == ["metrics.`validation_f1`", "metrics.`test_f1`"]


def trained(small: Small, out: str, *overrides: str) -> None:
    config = small("tagging", "bilstm", "tracking=mlflow", *UNTRACKED, *overrides)
    experiment.train(config, preparation.prepared(config.data), Path(out))


def all_runs() -> list[Any]:
    import mlflow

    return list(mlflow.search_runs(experiment_names=["tagging"], output_format="list"))


def test_runs_of_the_course_and_ad_hoc_ones_are_told_apart(
    small: Small, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (f"tracking.uri={store}", "tracking.log_model=false")
    trained(small, "adhoc", *given, "training.tokens=400")
    with monkeypatch.context() as stage:
        stage.setenv("DVC_STAGE", "train-tagging@0")
        trained(small, "course", *given, "training.tokens=500")
        trained(small, "paper/outputs/runs/a", *given, "training.tokens=600")
    names = {run.data.tags["origin"]: run.info.run_name for run in all_runs()}
    assert names.pop("ad hoc").startswith("tagging/bilstm-0 ad hoc ")
    assert names == {"course": "tagging/bilstm-0", "paper": "tagging/bilstm-0"}


def test_the_figures_of_a_run_are_those_of_its_folder(small: Small, project: Path, store: str) -> None:
    trained(small, "run", f"tracking.uri={store}", "tracking.log_model=false")
    (run,) = all_runs()
    facts = json.loads(Path("run/run.json").read_text(encoding="utf-8"))
    metrics = run.data.metrics
    assert metrics["validation_accuracy"] == facts["best"]["accuracy"]
    assert metrics["parameters"] == facts["parameters"]
    assert metrics["tokens_per_second"] * metrics["seconds"] == pytest.approx(facts["tokens"], rel=0.2)
    assert metrics["seconds"] < 60


PAGES = {
    "#/experiments": ["Model training", "Some words can be tagged", "tagging"],
    "#/experiments/{experiment}": ["validation_accuracy", "test_accuracy", "parameters", "tokens_per_second", "seconds",
                                   "origin", "ad hoc", "course", "Some words can be tagged"],
    "#/experiments/{experiment}/models": ["tagging-bilstm-0", "Ready"],
    "#/compare-runs?runs={runs}&experiments=%5B%22{experiment}%22%5D": ["Comparing 2 Runs", "learning_rate"],
}  # fmt: skip


@pytest.fixture
def address(small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where ``unroll ui`` shows two runs."""
    trained(small, "adhoc", f"tracking.uri={store}", "training.optimizer.learning_rate=0.5")
    monkeypatch.setenv("DVC_STAGE", "train-tagging@0")
    trained(small, "course", f"tracking.uri={store}")
    config = small("tagging", "bilstm")
    experiment.evaluate([Path("course")], preparation.prepared(config.data), None, None)
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "ui", "--uri", store, "--port", str(port)]
    ui = subprocess.Popen(command, start_new_session=True)
    try:
        for _ in range(240):
            time.sleep(0.5)
            with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/health"):
                break
        else:
            pytest.fail("the server did not come up")
        yield f"http://127.0.0.1:{port}/"
    finally:
        ui.send_signal(signal.SIGTERM)
        ui.wait(timeout=30)


def text_of(where: str, profile: Path) -> str:
    """What a page says, on a window that has room for all columns of a table."""
    options = ("--dump-dom", "--virtual-time-budget=40000", "--window-size=1900,1800")
    return " ".join(re.sub(r"<[^>]+>", " ", visited(where, profile, *options).stdout).split())


@pytest.mark.browser
def test_the_pages_open_on_model_training_with_the_figures_that_are_asked_for(address: str, tmp_path: Path) -> None:
    (group,) = {run.info.experiment_id for run in all_runs()}
    chosen = "%5B" + ",".join(f"%22{run.info.run_id}%22" for run in all_runs()) + "%5D"
    for page, words in PAGES.items():
        where = address + page.format(experiment=group, runs=chosen)
        drawn = text_of(where, tmp_path / "profile")
        assert not [word for word in words if word not in drawn], page
        assert "GenAI apps" not in drawn
        assert "Ask a question" not in drawn  # the chat is closed
        shutil.rmtree(tmp_path / "profile")


@pytest.mark.browser
def test_curves_are_drawn_before_single_figures(address: str, tmp_path: Path) -> None:
    (run,) = (run for run in all_runs() if run.info.run_name == "tagging/bilstm-0")
    where = f"{address}#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}/model-metrics"
    drawn = text_of(where, tmp_path / "profile")
    assert 0 < drawn.find("train (") < drawn.find("val (") < drawn.find("Model metrics (")
    assert "test (" not in drawn
