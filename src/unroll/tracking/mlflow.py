"""A run in MLflow; with `parent`, a study's run, and `serve`, a model as a pyfunc, all that imports it."""

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
import uuid
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from unroll.errors import BadInput, Unavailable
from unroll.history import HISTORY, HistoryFile
from unroll.outputs import write_text
from unroll.tracking import serve
from unroll.tracking.tracker import MEMORY, RunRecord, Status

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("GIT_PYTHON_REFRESH", "quiet")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
# a server that does not answer is asked again by the sender: MLflow's own patience, minutes, would be waited for
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "15")

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from mlflow.tracking.context.registry import resolve_tags

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # it is started again
logging.getLogger("urllib3").setLevel(logging.ERROR)  # a server that is down is told of once

TAG = 5_000  # characters that MLflow takes in a tag
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
        self.monitor: SystemMetricsMonitor | None = None
        self.spool: Spool | None = None

    def start(self, record: RunRecord, folder: Path) -> None:
        """Open the run with its settings, environment and dataset, or open it again.

        Raises:
            Unavailable: the store does not take a run that it has not.
        """
        spool = Spool(folder)
        try:
            open_store(self.uri)
            spool.open(self.uri, record)
        except Exception as error:  # whatever the store's driver raises
            if spool.run_id is None and isinstance(error, BadInput):
                raise
            reason = " ".join(str(error).split())[:200]
            if spool.run_id is None:
                raise Unavailable(f"MLflow's store {self.uri} did not take the run ({reason}); start the same command "
                                  "again, or use tracking=none.") from error  # fmt: skip
            print(f"unroll: {reason} The run goes on, and is sent when MLflow takes it.", file=sys.stderr)
        self.spool = spool
        self.sender.start()

    def log_result(self, folder: Path) -> None:
        """Log the run's history, and its model as a pyfunc that takes lines of text."""
        assert self.spool is not None
        with _forgiving("MLflow did not take the model of this run"):
            self.spool.send_result(folder, self.with_model)

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Send what is left and close the run; a store that is gone costs nothing but the sending, done later."""
        if self.spool is None:  # it was never opened
            return True
        self.finished.set()
        self.sender.join()
        if self.monitor is not None:
            self.monitor.finish()
        with _forgiving("MLflow did not take all of this run"):
            self.spool.send()
            self.spool.end(status, tags)
            return self.spool.has_result or status != "FINISHED"
        return False

    def _send_until_finished(self) -> None:
        assert self.spool is not None
        while not self.finished.wait(PAUSE):
            with contextlib.suppress(Exception):  # the points stay where they are, and are tried again
                self.spool.send()
                self._watch()

    def _watch(self) -> None:
        """Measure processor and memory, again if MLflow's monitor gave up when the store was gone."""
        assert self.spool is not None and self.spool.run_id is not None
        alive = any(thread.name == "SystemMetricsMonitor" for thread in threading.enumerate())
        if self.system_metrics and not alive:
            again = self.monitor is not None or self.spool.sent > 0
            self.monitor = SystemMetricsMonitor(self.spool.run_id, sampling_interval=2, resume_logging=again)
            self.monitor.start()


class Spool:
    """A history on disk, and how much of it a store has taken.

    Args:
        folder: has the history, and gets the memory of what was sent.
    """

    def __init__(self, folder: Path) -> None:
        self.history, self.memory = HistoryFile(folder), folder / MEMORY
        kept = json.loads(self.memory.read_text(encoding="utf-8")) if self.memory.exists() else {}
        self.uri: str = kept.get("uri", "")
        self.run_id: str | None = kept.get("run_id")
        self.key: str = kept.get("key", "")  # by which a run is found that was made just before a kill
        self.record = RunRecord(**kept["record"]) if kept.get("record") else None  # until the store has taken it
        self.sent: int = kept.get("sent", 0)
        self.last: int = kept.get("last", 0)  # when the last point that was sent was written, in milliseconds
        self.has_result: bool = kept.get("has_result", False)

    @property
    def client(self) -> MlflowClient:
        """The store, if it is there by now."""
        return MlflowClient(self.uri)

    def is_known(self) -> bool:
        """Whether the store has the run to which the points go."""
        if self.run_id is None:
            return False
        try:
            return bool(self.client.get_run(self.run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def open(self, uri: str, record: RunRecord) -> None:
        """Open the run, or open it again; in another store than before it begins anew, with all of its points.

        By the client alone: MLflow's notion of an active run is one per process, and outlives an error.
        """
        if self.uri == uri and self.is_known():
            self.client.update_run(self.run_id, status="RUNNING")
            self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in record.tags.items()])
        else:
            if self.uri != uri or self.run_id is not None:
                self.uri, self.run_id, self.key = uri, None, uuid.uuid4().hex
                self._note()
            self.run_id = self._made(record)
            self.record, self.sent, self.last, self.has_result = record, 0, 0, False
            self._note()
        self._describe()

    def _made(self, record: RunRecord) -> str:
        """A run that was made for this spool, or a new one."""
        experiment = mlflow.set_experiment(record.experiment).experiment_id
        for run in self.client.search_runs([experiment], f"tags.`unroll.spool` = '{self.key}'", max_results=1):
            return str(run.info.run_id)
        tags = resolve_tags({**record.tags, "unroll.spool": self.key})
        return str(self.client.create_run(experiment, tags=tags, run_name=record.name).info.run_id)

    def _describe(self) -> None:
        """Log settings, environment and dataset, until the store has taken them."""
        if self.record is None:
            return
        record, client = self.record, self.client
        params = [Param(key, value) for key, value in record.params.items()]
        for begin in range(0, len(params), 100):
            client.log_batch(self.run_id, params=params[begin : begin + 100])
        client.log_text(self.run_id, record.config, "config.yaml")
        client.log_text(self.run_id, record.environment, "environment.yaml")
        client.log_inputs(self.run_id, [DatasetInput(_dataset(record), [InputTag("mlflow.data.context", "training")])])
        self.record = None
        self._note()

    def send(self) -> None:
        """Pass on what was not sent yet, points in batches; each is noted when it was taken."""
        assert self.run_id is not None
        self._describe()
        rows = self.history.rows()
        if self.sent and (self.sent > len(rows) or int(rows[self.sent - 1][3]) != self.last):
            # a run that went on in another way than before has cut its history: what is newer than the rest is new
            self.sent = sum(int(now) <= self.last for *_, now in rows)
        while self.sent < len(rows):
            part = rows[self.sent : self.sent + BATCH]
            points = [Metric(_allowed(name), float(value), int(now), int(tokens)) for tokens, name, value, now in part]
            self.client.log_batch(self.run_id, points)
            self.sent, self.last = self.sent + len(part), int(part[-1][3])
            self._note()

    def send_result(self, folder: Path, with_model: bool) -> None:
        """Pass on what a finished run has beside its points."""
        assert self.run_id is not None
        self.client.log_artifact(self.run_id, str(folder / HISTORY))
        if with_model:
            serve.log_model(folder, self.run_id)
        self.has_result = True
        self._note()

    def end(self, status: Status, tags: dict[str, str]) -> None:
        """Close the run, which may have ended otherwise before it went on."""
        assert self.run_id is not None
        for key in {"error", "lost"} & self.client.get_run(self.run_id).data.tags.keys() - tags.keys():
            self.client.delete_tag(self.run_id, key)
        if tags:
            self.client.log_batch(self.run_id, tags=[RunTag(key, value[:TAG]) for key, value in tags.items()])
        self.client.set_terminated(self.run_id, status)

    def _note(self) -> None:
        kept = {"uri": self.uri, "run_id": self.run_id, "key": self.key, "sent": self.sent, "last": self.last,
                "has_result": self.has_result, "record": asdict(self.record) if self.record else None}  # fmt: skip
        write_text(self.memory, json.dumps(kept) + "\n")


def send_rest(working: Path, run: Path | None, uri: str | None, with_model: bool) -> int:
    """Send what MLflow has not taken of a run, and tell how many points that were.

    Args:
        working: folder with the run's spool.
        run: its folder, if it is finished.
        uri: of the store, if it has moved.
        with_model: whether its model is sent too.

    Raises:
        BadInput: the store cannot be opened, or has no such run.
    """
    spool = Spool(working)
    spool.uri = uri or spool.uri
    open_store(spool.uri)
    if not spool.is_known():
        raise BadInput(f"{spool.uri} has no run {spool.run_id} any more; delete {working}, or put the store back.")
    before = spool.sent
    spool.send()
    if run is not None:
        if not spool.has_result:
            spool.send_result(run, with_model)
        spool.end("FINISHED", {})
    return spool.sent - before


@contextlib.contextmanager
def _forgiving(loss: str, kept: str = "the run's folder has it") -> Iterator[None]:
    """Tell what a store that is gone has cost, and go on: there are files that have it all."""
    try:
        yield
    except Exception as error:  # whatever the store's driver raises
        reason = " ".join(str(error).split())[:160]
        print(f"unroll: {loss} ({reason}); {kept}.", file=sys.stderr)


def open_store(uri: str) -> None:
    """Point MLflow at ``uri``; a SQLite database is created by one process at a time.

    Raises:
        Unavailable: the store cannot be opened.
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
        raise Unavailable(
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
        now = int(time.time() * 1000)
        for fingerprint, result in results.items():
            for run_id in _finished(client, fingerprint):
                split = result["split"]
                figures = {_allowed(f"{split}/{name}"): value for name, value in result["test"].items()}
                points = [Metric(name, value, now, result["tokens"]) for name, value in figures.items()]
                client.log_batch(run_id, points)


def log_certificate(uri: str, certificate: dict[str, Any]) -> None:
    """Add a certificate to the finished run that has its fingerprint, where there is one, and a tag that sums it up.

    Args:
        uri: tracking URI.
        certificate: what ``certify`` found.
    """
    with _forgiving("MLflow did not take the certificate", "the file has it"):
        open_store(uri)
        client = MlflowClient()
        for run_id in _finished(client, certificate["fingerprint"]):
            client.log_text(run_id, json.dumps(certificate, indent=1) + "\n", "certificate.json")
            client.set_tag(run_id, "certified", "yes" if certificate["certified"] else "no")


def _finished(client: MlflowClient, fingerprint: str) -> list[str]:
    """The finished run that has a fingerprint, the newest if there are several; none if there is none."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'"
    return [run.info.run_id for run in client.search_runs(experiments, wanted, max_results=1)]


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


def _dataset(record: RunRecord) -> Dataset:
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    source = LocalArtifactDatasetSource(record.data_source)
    told = MetaDataset(source, name=record.data_name, digest=record.data_digest[:36]).to_dict()
    return Dataset(**{key: told.get(key) for key in ("name", "digest", "source_type", "source", "schema", "profile")})
