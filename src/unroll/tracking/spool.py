"""The spool of a run: which rows of its history were sent, by content and independent of clocks."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import time
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from unroll.errors import BadInput
from unroll.history import HISTORY, HistoryFile
from unroll.metrics import twin_of
from unroll.outputs import read_json, write_text
from unroll.terminal import say
from unroll.tracking import serve
from unroll.tracking.store import allowed, client_of, experiment_of, open_store
from unroll.tracking.tracker import FIGURES, MEMORY, RunRecord, Status

TAG = 5_000  # maximum length of a tag in MLflow
BATCH = 1_000  # maximum number of points per call of MLflow


KINDS = {
    "uri": str,
    "run_id": str | None,
    "key": str,
    "sent": int,
    "digest": str,
    "has_result": bool,
}  # stored state
Point = tuple[int, str, str]  # step, metric, value


class Spool:
    """A history on disk, and how much of it a store has received.

    The state is a number of rows and their digest. If the history has changed since (the run resumed from a
    checkpoint), or if it is unknown whether the last rows arrived, the points are fetched from the store, and rows with
    the same metric, step and value are not sent again.

    Args:
        folder: folder with the history, in which the state is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.history = HistoryFile(folder)
        self.memory = folder / MEMORY
        kept = _remembered(self.memory)
        self.uri: str = kept.get("uri", "")
        self.run_id: str | None = kept.get("run_id")
        self.key: str = kept.get("key", "")  # identifies a run that was created just before a kill
        self.record = RunRecord(**kept["record"]) if kept.get("record") else None  # until the store has accepted it
        self.sent: int = kept.get("sent", 0)
        self.digest: str = kept.get("digest", "")  # of the sent rows
        self.sure = False  # whether the store is known to have exactly those rows
        self.there: Counter[Point] = Counter()  # further points in the store
        self.has_result: bool = kept.get("has_result", False)

    @property
    def client(self) -> MlflowClient:
        """A client of the store."""
        return client_of(self.uri)

    def is_known(self) -> bool:
        """Whether the store has the run of this spool."""
        if self.run_id is None:
            return False
        try:
            return bool(self.client.get_run(self.run_id).info.lifecycle_stage == "active")
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False

    def open(self, uri: str, record: RunRecord) -> None:
        """Create or reopen the run; in another store than before, all points are sent again.

        Uses the client only: MLflow's active run is global to the process, and remains after an error.
        """
        if self.uri == uri and self.is_known():
            self.client.update_run(self.run_id, status="RUNNING")
            self.client.log_batch(self.run_id, tags=[RunTag(key, value) for key, value in record.tags.items()])
        else:
            if self.uri != uri or self.run_id is not None:
                self.uri = uri
                self.run_id = None
                self.key = uuid.uuid4().hex
                self._note()
            self.run_id = self._made(record)
            self.record, self.sent, self.has_result = record, 0, False
            self._note()
        self._describe()

    def _made(self, record: RunRecord) -> str:
        """The run that was created for this spool, or a new one."""
        experiment = experiment_of(self.client, record.experiment, record.question, record.headline)
        for run in self.client.search_runs([experiment], f"tags.`unroll.spool` = '{self.key}'", max_results=1):
            return str(run.info.run_id)
        tags = resolve_tags({**record.tags, "unroll.spool": self.key})
        return str(self.client.create_run(experiment, tags=tags, run_name=record.name).info.run_id)

    def _describe(self) -> None:
        """Log settings, environment and dataset, unless the store has accepted them already."""
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
        """Send the remaining points in batches, and record what was accepted."""
        assert self.run_id is not None
        self._describe()
        rows = self.history.rows()
        if not self.sure or digest(rows[: self.sent]) != self.digest:
            self.there = self._taken()
            self.sent = 0
        values = {(tokens, name): value for tokens, name, value, _ in rows}
        fresh = (row for row in rows[self.sent :] if values.get((row[0], twin_of(row[1]))) != row[2])
        new = [row for row in fresh if not self._is_there(row)]
        self.sure = False  # until the store has confirmed
        for begin in range(0, len(new), BATCH):
            part = new[begin : begin + BATCH]
            points = [Metric(allowed(name), float(value), int(now), int(tokens)) for tokens, name, value, now in part]
            self.client.log_batch(self.run_id, points)
        self.sure = True
        if self.sent != len(rows) or self.digest != digest(rows):
            self.sent, self.digest = len(rows), digest(rows)
            self._note()

    def _taken(self) -> Counter[Point]:
        """The points of this run in the store."""
        taken: Counter[Point] = Counter()
        names = self.client.get_run(self.run_id).data.metrics
        for name in (name for name in names if not name.startswith("system/")):
            found = self.client.get_metric_history(self.run_id, name)
            taken.update(point(each.step, name, each.value) for each in found)
        return taken

    def _is_there(self, row: list[str]) -> bool:
        """Whether the store has a row already; the matching point is then used up."""
        tokens, name, value, _ = row
        found = point(int(tokens), allowed(name), float(value))
        known = self.there[found] > 0
        self.there[found] -= known
        return known

    def send_result(self, folder: Path, with_model: bool) -> None:
        """Send the other results of a finished run; single figures at step 0 are drawn as bars."""
        assert self.run_id is not None
        figures = self.memory.with_name(FIGURES)
        if figures.exists():
            now = int(time.time() * 1000)
            found = read_json(figures, "delete it to send everything but its figures to MLflow")
            self.client.log_batch(
                self.run_id, [Metric(allowed(name), float(value), now, 0) for name, value in found.items()]
            )
        self.client.log_artifact(self.run_id, str(folder / HISTORY))
        if with_model:
            serve.log_model(folder, self.client, self.run_id)
        self.has_result = True
        self._note()

    def end(self, status: Status, tags: dict[str, str]) -> None:
        """Close the run, and remove tags of an earlier failure."""
        assert self.run_id is not None
        for key in {"error", "lost"} & self.client.get_run(self.run_id).data.tags.keys() - tags.keys():
            self.client.delete_tag(self.run_id, key)
        if tags:
            self.client.log_batch(self.run_id, tags=[RunTag(key, value[:TAG]) for key, value in tags.items()])
        self.client.set_terminated(self.run_id, status)

    def _note(self) -> None:
        kept = {"uri": self.uri, "run_id": self.run_id, "key": self.key, "sent": self.sent, "digest": self.digest,
                "has_result": self.has_result, "record": asdict(self.record) if self.record else None}  # fmt: skip
        write_text(self.memory, json.dumps(kept) + "\n")


def digest(rows: Sequence[Sequence[str]]) -> str:
    """SHA-256 of rows of a history."""
    return hashlib.sha256("\n".join(",".join(row) for row in rows).encode()).hexdigest()


def point(step: int, name: str, value: float) -> Point:
    """The comparable form of a point: MLflow stores infinity as the largest float."""
    kept = math.copysign(sys.float_info.max, value) if math.isinf(value) else value
    return step, name, repr(kept)


def _remembered(memory: Path) -> dict[str, Any]:
    """The stored state; empty if it cannot be read."""
    if not memory.exists():
        return {}
    remedy = "the run is sent to MLflow again, as a new run"
    try:
        kept = read_json(memory, remedy)
    except BadInput as error:
        say(f"unroll: {error}")
        return {}
    record = kept.get("record")
    fits = record is None or (isinstance(record, dict) and set(record) == {field.name for field in fields(RunRecord)})
    if not fits or not all(isinstance(kept[name], kind) for name, kind in KINDS.items() if name in kept):
        say(f"unroll: {memory} is damaged or of another version of unroll; {remedy}.")
        return {}
    return kept


def send_rest(workspace: Path, run: Path | None, uri: str | None, with_model: bool) -> int:
    """Send the missing points of a run to MLflow, and return their number.

    Args:
        workspace: folder with the spool of the run.
        run: folder of the run, if it is finished.
        uri: URI of the store, if it has moved.
        with_model: whether to send the model, too.

    Raises:
        BadInput: the store cannot be opened, or does not have the run.
    """
    spool = Spool(workspace)
    spool.uri = uri or spool.uri
    open_store(spool.uri)
    if not spool.is_known():
        raise BadInput(f"{spool.uri} no longer has the run {spool.run_id}; delete {workspace}, or restore the store.")
    before = spool.sent
    spool.send()
    if run is not None:
        if not spool.has_result:
            spool.send_result(run, with_model)
        spool.end("FINISHED", {})
    return spool.sent - before


def _dataset(record: RunRecord) -> Dataset:
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    source = LocalArtifactDatasetSource(record.data_source)
    content = MetaDataset(source, name=record.data_name, digest=record.data_digest[:36]).to_dict()
    return Dataset(
        **{key: content.get(key) for key in ("name", "digest", "source_type", "source", "schema", "profile")}
    )
