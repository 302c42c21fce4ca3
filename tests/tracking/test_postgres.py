"""MLflow's server on PostgreSQL: what a team has in place of the file in mlruns/."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from unroll import experiment, preparation
from unroll.config import Config

pytestmark = pytest.mark.postgres
Small = Callable[..., Config]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def program(name: str) -> str:
    """A program of PostgreSQL's server, which Debian keeps out of the path."""
    places = [str(place) for place in sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    found = shutil.which(name, path=os.pathsep.join([*places, os.environ["PATH"]]))
    if found is None:
        pytest.skip(f"there is no {name}: PostgreSQL's server is not installed")
    return found


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """The URI of an empty database, on a server of its own."""
    if find_spec("psycopg") is None:
        pytest.skip("there is no psycopg: pip install 'unroll[postgres]'")
    initdb, control = program("initdb"), program("pg_ctl")
    folder, port = Path(tempfile.mkdtemp(prefix="unroll-postgres-")), free_port()
    other: dict[str, Any] = {}
    if os.geteuid() == 0:  # PostgreSQL does not serve root
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not serve root, and there is no user postgres")
        other = {"user": "postgres"}
    cluster = str(folder / "cluster")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"

    def do(*command: str) -> None:
        # into a file: the server would hold a pipe open
        with (folder / "log").open("ab") as log:
            done = subprocess.run(command, cwd=folder, stdout=log, stderr=log, check=False, **other)
        if done.returncode:
            pytest.skip(f"{command[0]} failed: {(folder / 'log').read_text()[-500:]}")

    try:
        do(initdb, "-D", cluster, "-U", "unroll", "--auth=trust", "--encoding=UTF8", "--no-sync")
        do(control, "-D", cluster, "-o", options, "-w", "start")
        try:
            do(program("createdb"), "-h", "127.0.0.1", "-p", str(port), "-U", "unroll", "mlflow")
            yield f"postgresql+psycopg://unroll@127.0.0.1:{port}/mlflow"
        finally:
            subprocess.run([control, "-D", cluster, "-m", "immediate", "stop"], cwd=folder, capture_output=True,
                           check=False, **other)  # fmt: skip
    finally:
        shutil.rmtree(folder)


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

    config = small("tagging", "bilstm", "tracking=mlflow", f"tracking.uri={server}")
    prepared, out = preparation.prepared(config.data), project / "runs" / "tagging" / "bilstm-0"
    experiment.train(config, prepared, out)
    results = experiment.evaluate([out], prepared, Path("metrics.json"), None)

    (run,) = mlflow.search_runs(experiment_names=["tagging"], output_format="list")
    assert (run.info.run_name, run.info.status) == ("tagging/bilstm-0", "FINISHED")
    assert run.data.metrics["test/accuracy"] == results["bilstm-0"]["test"]["accuracy"]
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
