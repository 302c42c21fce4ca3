"""MLflow: one run per trained model, with all that a person wants to know of it."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.config import Config
from unroll.errors import BadInput
from unroll.serving import Predictor
from unroll.tasks.tagger.module import Tagger
from unroll.tracking import serve

Small = Callable[..., Config]


def tracked(small: Small, project: Path, store: str, *overrides: str) -> tuple[Config, Path]:
    config = small("tagging", "bilstm", "tracking=mlflow", f"tracking.uri={store}", *overrides)
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, project / "runs" / "tagging" / "bilstm-0")
    return config, prepared


def test_a_run_has_settings_curves_dataset_provenance_and_model(small: Small, project: Path, store: str) -> None:
    import mlflow

    for command in (
        ["init", "-q"],
        ["add", "conf"],
        ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"],
    ):
        subprocess.run(["git", *command], check=True)
    config, prepared = tracked(small, project, store)
    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    mark = json.loads((project / "runs/tagging/bilstm-0/run.json").read_text(encoding="utf-8"))["fingerprint"]
    assert run.info.run_name == f"tagging/bilstm-0 ad hoc {mark[:6]}"
    assert run.info.status == "FINISHED"
    assert run.data.params["training.optimizer.learning_rate"] == str(config.training.optimizer.learning_rate)
    tags = run.data.tags
    assert (tags["experiment"], tags["arch"], tags["seed"], tags["task"]) == ("tagging", "bilstm", "0", "tagger")
    assert len(tags["mlflow.source.git.commit"]) == 40
    assert tags["git.dirty"] == "true"  # the corpus of this test is not committed
    assert (tags["fingerprint"], tags["origin"]) == (mark, "ad hoc")
    (given,) = run.inputs.dataset_inputs
    assert given.dataset.name == config.data.name
    client = mlflow.MlflowClient()
    curve = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, "val/accuracy")]
    rows = (project / "runs/tagging/bilstm-0/history.csv").read_text().splitlines()
    assert curve == [(int(r.split(",")[0]), float(r.split(",")[2])) for r in rows if ",val/accuracy," in r]
    assert {"config.yaml", "environment.yaml", "history.csv"} <= {
        f.path for f in client.list_artifacts(run.info.run_id)
    }
    logged = mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/config.yaml")
    assert logged == config.dump()

    model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    answers = [json.loads(line) for line in model.predict(["the dog barks", "it sees"])]
    assert [answer["tokens"] for answer in answers] == [["the", "dog", "barks"], ["it", "sees"]]

    runs = [project / "runs/tagging/bilstm-0"]
    results = experiment.evaluate(runs, prepared, Path("metrics.json"), None)
    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert run.data.metrics["test_accuracy"] == results["bilstm-0"]["test"]["accuracy"]
    for name in ("validation_accuracy", "test_accuracy", "test_accuracy.left", "parameters", "seconds"):
        (point,) = client.get_metric_history(run.info.run_id, name)
        assert point.step == 0  # which MLflow draws as a bar


def test_a_run_that_fails_is_marked_and_leaves_no_folder(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def fail(*_: object, **__: object) -> None:
        raise ArithmeticError("planted")

    monkeypatch.setattr(Tagger, "scores", fail)
    with pytest.raises(ArithmeticError):
        tracked(small, project, store, "tracking.log_model=false")
    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert run.info.status == "FAILED"
    assert not (project / "runs/tagging/bilstm-0").exists()


def test_a_run_that_goes_on_after_an_error_and_finishes_tells_of_no_error(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    def fail(*_: object, **__: object) -> None:
        raise OSError("planted")

    settings = ("training.checkpoint_seconds=0.001", "tracking.log_model=false")
    with monkeypatch.context() as patch:
        patch.setattr("unroll.history.HistoryFile.publish", fail)
        with pytest.raises(OSError, match="planted"):
            tracked(small, project, store, *settings)
    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert (run.info.status, run.data.tags["error"]) == ("FAILED", "planted")
    mlflow.MlflowClient(store).set_tag(run.info.run_id, "lost", "yes")  # another machine took it for that
    tracked(small, project, store, *settings)
    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert run.info.status == "FINISHED"
    assert not {"error", "lost"} & run.data.tags.keys()


def test_a_store_that_takes_no_model_costs_the_run_nothing_else(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(serve, "log_model", full)
    tracked(small, project, store)
    assert "MLflow did not accept the model of this run (No space left on device)" in capsys.readouterr().err
    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert run.info.status == "FINISHED"
    assert list(Predictor(experiment.Trained.load(project / "runs/tagging/bilstm-0")).lines(["the dog barks"]))


def test_a_store_that_cannot_be_opened_is_bad_input(project: Path) -> None:
    from unroll.tracking.store import open_store

    Path("mlruns").mkdir()
    Path("mlruns/mlflow.db").write_text("this is no database, however long the text may be " * 40, encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be opened"):
        open_store(f"sqlite:///{project}/mlruns/mlflow.db")


@pytest.mark.slow
def test_four_processes_can_open_a_new_store_at_once(project: Path) -> None:
    code = "from unroll.tracking.store import open_store; open_store('sqlite:///mlruns/mlflow.db')"
    processes = [subprocess.Popen([sys.executable, "-W", "ignore", "-c", code]) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4


@pytest.mark.slow
def test_the_ui_serves_the_runs_and_leaves_no_process_when_it_is_ended(project: Path, store: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    ui = subprocess.Popen([sys.executable, "-m", "unroll.cli", "ui", "--uri", store, "--port", str(port)])
    for _ in range(60):
        time.sleep(0.5)
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{port}/") as page:
            assert b"MLflow" in page.read()
            break
    else:
        pytest.fail("the server did not come up")
    ui.terminate()
    ui.wait(timeout=30)
    with pytest.raises(OSError, match="refused"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/")


def test_figures_on_known_words_are_left_out_where_all_words_are_known(small: Small, store: str) -> None:
    import mlflow

    words = ["tracking=mlflow", f"tracking.uri={store}", "tracking.log_model=false", "tracking.system_metrics=false"]
    config = small("grammar", "ngram", *words)
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, Path("run"))
    experiment.evaluate([Path("run")], prepared, Path("metrics.json"), None)
    (run,) = mlflow.search_runs(experiment_names=["grammar"], output_format="list")
    assert {"val/loss", "val/perplexity", "test_loss", "test_perplexity"} <= run.data.metrics.keys()
    assert not [name for name in run.data.metrics if name.endswith("_known")]
    assert "val/loss_known" in Path("run/history.csv").read_text(encoding="utf-8")  # which stays as it is
