"""A run in MLflow; beside it `store`, `spool`, `parent` (a study's run) and `serve` (a model) alone import MLflow."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

from unroll.credentials import with_secrets
from unroll.errors import BadInput, Unavailable
from unroll.outputs import to_json
from unroll.tracking.spool import Spool
from unroll.tracking.sqlite import database_of
from unroll.tracking.store import forgiving, open_store, plain, single
from unroll.tracking.tracker import RunRecord, Status

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
            reason = plain(error)
            if spool.run_id is None:
                raise Unavailable(f"MLflow's store {self.uri} did not take the run ({reason}); start the same command "
                                  "again, or use tracking=none.") from error  # fmt: skip
            print(f"unroll: {reason} The run goes on, and is sent when MLflow takes it.", file=sys.stderr)
        self.spool = spool
        self.sender.start()

    def log_result(self, folder: Path) -> None:
        """Log the run's history, and its model as a pyfunc that takes lines of text."""
        assert self.spool is not None
        with forgiving("MLflow did not take the model of this run"):
            self.spool.send_result(folder, self.with_model)

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Send what is left and close the run; a store that is gone costs nothing but the sending, done later."""
        if self.spool is None:  # it was never opened
            return True
        self.finished.set()
        self.sender.join()
        if self.monitor is not None:
            self.monitor.finish()
        with forgiving("MLflow did not take all of this run"):
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


def log_test_metrics(uri: str, results: dict[str, dict[str, Any]]) -> None:
    """Add test figures to the finished runs that have these fingerprints, where there are such.

    Args:
        uri: tracking URI.
        results: what ``evaluate`` found, by fingerprint.
    """
    with forgiving("MLflow did not take the figures of the evaluation"):
        open_store(uri)
        client = MlflowClient()
        now = int(time.time() * 1000)
        for fingerprint, result in results.items():
            for run_id in _finished(client, fingerprint):
                figures = {single(result["split"], name): value for name, value in result["test"].items()}
                # a figure that is not a number has its reason in the file; step 0 makes bars of single figures
                points = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
                client.log_batch(run_id, points)


def log_certificate(uri: str, certificate: dict[str, Any]) -> None:
    """Add a certificate to the finished run that has its fingerprint, where there is one, and a tag that sums it up.

    Args:
        uri: tracking URI.
        certificate: what ``certify`` found.
    """
    with forgiving("MLflow did not take the certificate", "the file has it"):
        open_store(uri)
        client = MlflowClient()
        for run_id in _finished(client, certificate["fingerprint"]):
            client.log_text(run_id, to_json(certificate), "certificate.json")
            client.set_tag(run_id, "certified", "yes" if certificate["certified"] else "no")


def _finished(client: MlflowClient, fingerprint: str) -> list[str]:
    """The finished run that has a fingerprint, the newest if there are several; none if there is none."""
    if not re.fullmatch("[0-9a-f]{64}", fingerprint):  # of a run that somebody else wrote: it could ask for another's
        return []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'"
    return [run.info.run_id for run in client.search_runs(experiments, wanted, max_results=1)]


def serve_ui(uri: str, port: int) -> None:
    """Serve MLflow's UI on localhost until it is stopped.

    Raises:
        BadInput: there is no store yet, or the server did not start.
    """
    database = database_of(uri)
    if database and not database.exists():
        raise BadInput(f"There are no runs yet in {uri}; train one first: unroll train experiment=tagging")
    if urlparse(uri).scheme in ("http", "https"):
        raise BadInput(f"{uri} is a server already; open it in a browser.")
    open_store(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--artifacts-destination", "./mlruns", "--host", "127.0.0.1",
               "--port", str(port), "--app-name", "unroll"]  # fmt: skip
    # mlflow starts uvicorn by name, so this environment's programs must come first; its workers for jobs, which nobody
    # asks for here, would be six processes of a quarter of a gigabyte
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # the URI may have a password, and other users see the arguments of a process
    environment = {**os.environ, "PATH": path, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                   "MLFLOW_BACKEND_STORE_URI": with_secrets(uri)}  # fmt: skip
    print(f"unroll: the runs are at http://127.0.0.1:{port}/#/experiments", file=sys.stderr)
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
