"""MLflow's server on PostgreSQL: what a team has in place of the file in mlruns/."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from postgresql import serving
from processes import free_port

from unroll import experiment, preparation
from unroll.config import Config

pytestmark = pytest.mark.postgres
Small = Callable[..., Config]


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URI of an empty database, on a server of its own."""
    with serving("mlflow") as server:
        yield server.uri


@pytest.fixture
def server(database: str, project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of MLflow's server, which keeps its records in PostgreSQL and its files in the project."""
    import mlflow

    port = free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", database, "--artifacts-destination",
               str(project / "artifacts"), "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # fmt: skip
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (project / "server.log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)  # mlflow writes this variable; so it is put back
    try:
        for _ in range(120):
            time.sleep(0.5)
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{uri}/health"):
                break
        else:
            pytest.fail((project / "server.log").read_text(encoding="utf-8"))
        yield uri
    finally:
        mlflow.set_tracking_uri(None)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def count(database: str, table: str) -> int:
    import psycopg

    with psycopg.connect(database.replace("+psycopg", "")) as connection:
        row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # type: ignore[arg-type]
    assert row is not None
    return int(row[0])


def test_a_run_is_tracked_by_a_server_on_postgresql(database: str, server: str, small: Small, project: Path) -> None:
    import mlflow

    tracker = Path("conf/tracking/mlflow.yaml")  # the project's own, which the evaluation uses
    tracker.write_text(re.sub("(?m)^uri: .*", f"uri: {server}", tracker.read_text(encoding="utf-8")), encoding="utf-8")
    config = small("tagging", "bilstm", "tracking=mlflow")
    prepared, out = preparation.prepared(config.data), project / "runs" / "tagging" / "bilstm-0"
    experiment.train(config, prepared, out)
    results = experiment.evaluate([out], prepared, Path("metrics.json"), None)

    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert (run.info.run_name, run.info.status) == (
        f"tagging/bilstm-0 ad hoc {run.data.tags['fingerprint'][:6]}",
        "FINISHED",
    )
    assert run.data.metrics["test_accuracy"] == results["bilstm-0"]["test"]["accuracy"]
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")  # no path of a machine, so that it may move
    rows = [row.split(",") for row in (out / "history.csv").read_text(encoding="utf-8").splitlines()[1:]]
    client = mlflow.MlflowClient()
    for name in ("train/loss", "val/loss", "val/accuracy"):
        curve = [(point.step, point.value) for point in client.get_metric_history(run.info.run_id, name)]
        assert curve == [(int(tokens), float(value)) for tokens, metric, value in rows if metric == name]
    model = mlflow.pyfunc.load_model(f"models:/{run.outputs.model_outputs[0].model_id}")
    assert len(model.predict(["the dog barks"])) == 1
    assert list((project / "artifacts").rglob("weights.safetensors"))

    assert count(database, "runs") == 1
    assert count(database, "params") == len(run.data.params)
    assert count(database, "metrics") >= len(rows)
    assert not list(project.glob("mlruns/*"))
    assert not list((project / "outputs" / "working").iterdir())  # it has taken all
