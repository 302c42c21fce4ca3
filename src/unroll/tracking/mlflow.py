"""Logs a run to MLflow; only this module, `store`, `spool`, `pages`, `parent` and `serve` import MLflow."""

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
from unroll.metrics import without_twins
from unroll.outputs import to_json
from unroll.terminal import say
from unroll.tracking.spool import Spool
from unroll.tracking.sqlite import database_of
from unroll.tracking.store import forgiving, open_store, plain, single
from unroll.tracking.tracker import RunRecord, Status

PAUSE = 1.0  # seconds between two transmissions


class MLflowTracker:
    """One MLflow run per trained model; a thread sends the points of the run's history.

    The history on disk is the spool, and a file beside it records how much was sent. A store that is slow, down or
    restarted delays no training step, and what it missed is sent later. A point that is sent twice, because the process
    was killed before recording it, is stored once, since time, step and value are equal.

    Args:
        uri: tracking URI; an SQLite database is created if it does not exist.
        system_metrics: whether to log CPU and memory usage.
        log_model: whether to log the model, too.
    """

    def __init__(self, uri: str, system_metrics: bool, log_model: bool) -> None:
        self.uri, self.system_metrics, self.with_model = uri, system_metrics, log_model
        self.finished = threading.Event()
        self.sender = threading.Thread(target=self._send_until_finished, daemon=True)
        self.monitor: SystemMetricsMonitor | None = None
        self.spool: Spool | None = None

    def start(self, record: RunRecord, folder: Path) -> None:
        """Create the run with its settings, environment and dataset, or reopen it.

        Raises:
            Unavailable: the store does not accept a new run.
        """
        spool = Spool(folder)
        try:
            open_store(self.uri)
            spool.open(self.uri, record)
        except Exception as error:  # drivers raise errors of many classes
            if spool.run_id is None and isinstance(error, BadInput):
                raise
            reason = plain(error)
            if spool.run_id is None:
                raise Unavailable(f"MLflow's store {self.uri} did not accept the run ({reason}); run the same command "
                                  "again, or use tracking=none.") from error  # fmt: skip
            say(f"unroll: {reason} The run continues and will be sent when MLflow accepts it.")
        self.spool = spool
        self.sender.start()

    def log_result(self, folder: Path) -> None:
        """Log the history of the run, and its model as a pyfunc that accepts lines of text."""
        assert self.spool is not None
        with forgiving("MLflow did not accept the model of this run"):
            self.spool.send_result(folder, self.with_model)

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Send the rest and close the run; if the store is unavailable, the rest can be sent later."""
        if self.spool is None:  # the run was never opened
            return True
        self.finished.set()
        self.sender.join()
        if self.monitor is not None:
            self.monitor.finish()
        with forgiving("MLflow did not accept all of this run"):
            self.spool.send()
            self.spool.end(status, tags)
            return self.spool.has_result or status != "FINISHED"
        return False

    def _send_until_finished(self) -> None:
        assert self.spool is not None
        while not self.finished.wait(PAUSE):
            with contextlib.suppress(Exception):  # the points are kept and sent again
                self.spool.send()
                self._watch()

    def _watch(self) -> None:
        """Start monitoring CPU and memory; restart it if MLflow's monitor gave up during an outage."""
        assert self.spool is not None and self.spool.run_id is not None
        alive = any(thread.name == "SystemMetricsMonitor" for thread in threading.enumerate())
        if self.system_metrics and not alive:
            again = self.monitor is not None or self.spool.sent > 0
            self.monitor = SystemMetricsMonitor(self.spool.run_id, sampling_interval=2, resume_logging=again)
            self.monitor.start()


def log_test_metrics(uri: str, results: dict[str, dict[str, Any]]) -> None:
    """Add test figures to the finished runs with these fingerprints, if they exist.

    Args:
        uri: tracking URI.
        results: results of ``evaluate`` by fingerprint.
    """
    with forgiving("MLflow did not accept the figures of the evaluation"):
        open_store(uri)
        client = MlflowClient()
        now = int(time.time() * 1000)
        for fingerprint, result in results.items():
            for run_id in _finished(client, fingerprint):
                figures = {
                    single(result["split"], name): value for name, value in without_twins(result["test"]).items()
                }
                # the file gives the reason for a missing figure; at step 0, single figures are drawn as bars
                points = [Metric(name, value, now, 0) for name, value in figures.items() if value is not None]
                client.log_batch(run_id, points)


def log_certificate(uri: str, certificate: dict[str, Any]) -> None:
    """Add a certificate and a summary tag to the finished run with its fingerprint, if it exists.

    Args:
        uri: tracking URI.
        certificate: result of ``certify``.
    """
    with forgiving("MLflow did not accept the certificate", "it is in the file"):
        open_store(uri)
        client = MlflowClient()
        for run_id in _finished(client, certificate["fingerprint"]):
            client.log_text(run_id, to_json(certificate), "certificate.json")
            client.set_tag(run_id, "certified", "yes" if certificate["certified"] else "no")


def _finished(client: MlflowClient, fingerprint: str) -> list[str]:
    """The newest finished run with a fingerprint, as a list of at most one."""
    if not re.fullmatch("[0-9a-f]{64}", fingerprint):  # a run from someone else might inject a filter
        return []
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    wanted = f"tags.fingerprint = '{fingerprint}' and attributes.status = 'FINISHED'"
    return [run.info.run_id for run in client.search_runs(experiments, wanted, max_results=1)]


def serve_ui(uri: str, port: int) -> None:
    """Serve MLflow's UI on localhost until it is stopped.

    Raises:
        BadInput: the store does not exist yet, or the server did not start.
    """
    database = database_of(uri)
    if database and not database.exists():
        raise BadInput(f"There are no runs in {uri} yet; train one first: unroll train experiment=tagging")
    if urlparse(uri).scheme in ("http", "https"):
        raise BadInput(f"{uri} is a server; open it in a browser.")
    open_store(uri)
    command = [sys.executable, "-m", "mlflow", "server", "--artifacts-destination", "./mlruns", "--host", "127.0.0.1",
               "--port", str(port), "--app-name", "unroll"]  # fmt: skip
    # mlflow starts uvicorn by name, so this environment must come first in PATH; its job workers, which are not needed
    # here, would be six processes of 250 MB each
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    # the URI may contain a password, and other users can see the arguments of a process
    environment = {**os.environ, "PATH": path, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
                   "MLFLOW_BACKEND_STORE_URI": with_secrets(uri)}  # fmt: skip
    say(f"unroll: open http://127.0.0.1:{port}/#/experiments")
    server = subprocess.Popen(command, env=environment, start_new_session=True)
    previous = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        code = server.wait()
    finally:  # no process of the server may outlive this one
        signal.signal(signal.SIGTERM, previous)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGTERM)
        server.wait()
    if code:
        raise BadInput(f"MLflow's server ended with status {code}; is port {port} in use? Choose another with --port.")
