"""MLflow: the only module that imports it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from unroll.errors import BadInput
from unroll.history import HISTORY, HistoryFile
from unroll.outputs import write_text
from unroll.tracking import serve
from unroll.tracking.tracker import MEMORY, RunRecord, Status

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param
from mlflow.exceptions import MlflowException

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.WARNING)

BATCH = 1_000  # points that MLflow takes in one call
PAUSE = 1.0  # seconds between two sendings


class MLflowTracker:
    """One MLflow run per trained model; a thread sends it the points of the run's history.

    The history on disk is the spool, and beside it stands how far it was sent: a store that is slow, down or restarted
    costs no step, and what it did not take goes out later. A point that was sent twice, since the process was killed
    between sending and noting it, is one point there: time, step and value are the same.

    Args:
        uri: tracking URI; for SQLite the database is made if need be.
        system_metrics: whether processor and memory are logged.
        log_model: whether the model is logged too.
    """

    def __init__(self, uri: str, system_metrics: bool, log_model: bool) -> None:
        self.uri, self.system_metrics, self.with_model = uri, system_metrics, log_model
        self.finished = threading.Event()
        self.sender = threading.Thread(target=self._send_until_finished, daemon=True)
        self.complete = True
        self.spool: Spool | None = None

    def start(self, record: RunRecord, folder: Path) -> None:
        """Open the run with its settings, environment and dataset, or open it again."""
        open_store(self.uri)
        self.client, self.spool = MlflowClient(), Spool(folder)
        mlflow.set_experiment(record.experiment)
        mlflow.set_system_metrics_sampling_interval(2)
        known = self._known(self.spool.run_id)
        run = mlflow.start_run(
            run_id=known, run_name=record.name, tags=record.tags, log_system_metrics=self.system_metrics
        )
        self.run_id = run.info.run_id
        if known is None:
            self.spool.begin(self.uri, self.run_id)
            params = [Param(key, value) for key, value in record.params.items()]
            for begin in range(0, len(params), 100):
                self.client.log_batch(self.run_id, params=params[begin : begin + 100])
            mlflow.log_text(record.config, "config.yaml")
            mlflow.log_text(record.environment, "environment.yaml")
            mlflow.log_input(_dataset(record), context="training")
        self.sender.start()

    def _known(self, run_id: str | None) -> str | None:
        """The run that was opened before, if the store still has it."""
        if run_id is None:
            return None
        try:
            alive = self.client.get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException:
            return None
        return run_id if alive else None

    def log_result(self, folder: Path) -> None:
        """Log the run's history, and its model as a pyfunc that takes lines of text."""
        self.complete = False
        with _forgiving("MLflow did not take the model of this run"):
            mlflow.log_artifact(str(folder / HISTORY))
            if self.with_model:
                serve.log_model(folder)
            self.complete = True

    def end(self, status: Status) -> bool:
        """Send what is left and close the run; a store that is gone costs nothing but the sending, done later."""
        if self.spool is None:  # it was never opened
            return True
        self.finished.set()
        if self.sender.is_alive():
            self.sender.join()
        with _forgiving("MLflow did not take all of this run"):
            self._send()
            mlflow.end_run(status)
            return self.complete
        return False

    def _send_until_finished(self) -> None:
        while not self.finished.wait(PAUSE):
            with contextlib.suppress(Exception):  # the points stay where they are, and are tried again
                self._send()

    def _send(self) -> None:
        assert self.spool is not None
        self.spool.send(lambda points: self.client.log_batch(self.run_id, points))


class Spool:
    """A history on disk, and how much of it a store has taken.

    Args:
        folder: has the history, and gets the memory of what was sent.
    """

    def __init__(self, folder: Path) -> None:
        self.history, self.memory = HistoryFile(folder), folder / MEMORY
        kept = json.loads(self.memory.read_text(encoding="utf-8")) if self.memory.exists() else {}
        self.uri, self.run_id, self.sent = kept.get("uri"), kept.get("run_id"), kept.get("sent", 0)

    def begin(self, uri: str, run_id: str) -> None:
        """Note the run that the points go to, which has none yet."""
        self.uri, self.run_id, self.sent = uri, run_id, 0
        self._note()

    def send(self, take: Callable[[list[Metric]], object]) -> None:
        """Pass on the points that were not sent yet, in batches; each is noted when it was taken."""
        rows = self.history.rows()
        while self.sent < len(rows):
            part = rows[self.sent : self.sent + BATCH]
            take([Metric(_allowed(name), float(value), int(now), int(tokens)) for tokens, name, value, now in part])
            self.sent += len(part)
            self._note()

    def _note(self) -> None:
        write_text(self.memory, json.dumps({"uri": self.uri, "run_id": self.run_id, "sent": self.sent}) + "\n")


@contextlib.contextmanager
def _forgiving(loss: str) -> Iterator[None]:
    """Tell what a store that is gone has cost, and go on: the run's folder has it all."""
    try:
        yield
    except Exception as error:  # whatever the store's driver raises
        reason = " ".join(str(error).split())[:160]
        print(f"unroll: {loss} ({reason}); the run's folder has it.", file=sys.stderr)


def open_store(uri: str) -> None:
    """Point MLflow at ``uri``; a SQLite database is created by one process at a time.

    Raises:
        BadInput: the store cannot be opened.
    """
    try:
        if uri.startswith("sqlite:///"):
            database = Path(uri.removeprefix("sqlite:///"))
            database.parent.mkdir(parents=True, exist_ok=True)
            _create_once(uri, database)
        mlflow.set_tracking_uri(uri)
        MlflowClient().search_experiments(max_results=1)
    except Exception as error:  # whatever driver or server there is, its errors have no common class
        reason = " ".join(str(error).split())[:200]
        raise BadInput(
            f"MLflow's store {uri} cannot be opened ({reason}); mend tracking.uri, or use tracking=none."
        ) from None


def _create_once(uri: str, database: Path) -> None:
    """Create the tables under a lock: runs that start side by side would otherwise create them twice."""
    import fcntl

    with database.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            MlflowClient(uri).search_experiments(max_results=1)


def log_test_metrics(uri: str, results: dict[str, dict[str, Any]]) -> None:
    """Add test figures to the finished runs that have these fingerprints, where there are such.

    Args:
        uri: tracking URI.
        results: what ``evaluate`` found, by fingerprint.
    """
    with _forgiving("MLflow did not take the figures of the evaluation"):
        open_store(uri)
        client = MlflowClient()
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        now = int(time.time() * 1000)
        for fingerprint, result in results.items():
            wanted = f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'"
            for run in client.search_runs(experiments, wanted, max_results=1):
                split = result["split"]
                figures = {_allowed(f"{split}/{name}"): value for name, value in result["test"].items()}
                points = [Metric(name, value, now, result["tokens"]) for name, value in figures.items()]
                client.log_batch(run.info.run_id, points)


def _allowed(name: str) -> str:
    """A metric's name without what MLflow refuses."""
    return re.sub(r"[^\w\-. /]", "_", name)


def serve_ui(uri: str, port: int) -> None:
    """Serve MLflow's UI on localhost until it is stopped.

    Raises:
        BadInput: there is no store yet, or the server did not start.
    """
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        raise BadInput(f"There are no runs yet in {uri}; train one first: unroll train experiment=tagging")
    if urlparse(uri).scheme in ("http", "https"):
        raise BadInput(f"{uri} is a server already; open it in a browser.")
    open_store(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--artifacts-destination",
               "./mlruns", "--host", "127.0.0.1", "--port", str(port)]  # fmt: skip
    # mlflow starts uvicorn by name, so this environment's programs must come first; its workers for jobs, which nobody
    # asks for here, would be six processes of a quarter of a gigabyte
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        code = server.wait()
    finally:  # however it ends, none of the server's processes outlives it
        signal.signal(signal.SIGTERM, previous)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    if code:
        raise BadInput(f"MLflow's server ended with status {code}; is port {port} in use? Choose another with --port.")


def _dataset(record: RunRecord) -> mlflow.data.dataset.Dataset:
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    return MetaDataset(
        LocalArtifactDatasetSource(record.data_source), name=record.data_name, digest=record.data_digest[:36]
    )
