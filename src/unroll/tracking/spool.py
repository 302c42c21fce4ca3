"""What was sent of a run's history, and what is still to be sent, by row and content: a clock decides nothing."""

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
from unroll.outputs import read_json, write_text
from unroll.tracking import serve
from unroll.tracking.store import allowed, client_of, experiment_of, open_store
from unroll.tracking.tracker import FIGURES, MEMORY, RunRecord, Status

TAG = 5_000  # characters that MLflow takes in a tag
BATCH = 1_000  # points that MLflow takes in one call


KINDS = {"uri": str, "run_id": str | None, "key": str, "sent": int, "digest": str, "has_result": bool}  # remembered
Point = tuple[int, str, str]  # step, metric, value


class Spool:
    """A history on disk, and how much of it a store has taken.

    That is remembered as a number of rows and their digest. Where the history has other rows now (the run went on from
    a checkpoint), or where it is not known whether the store took what it was sent last, the store is asked which
    points it has, and a row of the same metric, step and value is not sent again.

    Args:
        folder: has the history, and gets the memory of what was sent.
    """

    def __init__(self, folder: Path) -> None:
        self.history, self.memory = HistoryFile(folder), folder / MEMORY
        kept = _remembered(self.memory)
        self.uri: str = kept.get("uri", "")
        self.run_id: str | None = kept.get("run_id")
        self.key: str = kept.get("key", "")  # by which a run is found that was made just before a kill
        self.record = RunRecord(**kept["record"]) if kept.get("record") else None  # until the store has taken it
        self.sent: int = kept.get("sent", 0)
        self.digest: str = kept.get("digest", "")  # of the rows that were sent
        self.sure = False  # whether the store has just those rows, as far as is known
        self.there: Counter[Point] = Counter()  # points that the store has beside them
        self.has_result: bool = kept.get("has_result", False)

    @property
    def client(self) -> MlflowClient:
        """The store, if it is there by now."""
        return client_of(self.uri)

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
        """Open the run, or open it again; in another store than before it begins again, with all of its points.

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
            self.record, self.sent, self.has_result = record, 0, False
            self._note()
        self._describe()

    def _made(self, record: RunRecord) -> str:
        """A run that was made for this spool, or a new one."""
        experiment = experiment_of(self.client, record.experiment, record.question, record.headline)
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
        if not self.sure or digest(rows[: self.sent]) != self.digest:
            self.sent, self.there = 0, self._taken()
        new = [row for row in rows[self.sent :] if not self._is_there(row)]
        self.sure = False  # until the store has answered
        for begin in range(0, len(new), BATCH):
            part = new[begin : begin + BATCH]
            points = [Metric(allowed(name), float(value), int(now), int(tokens)) for tokens, name, value, now in part]
            self.client.log_batch(self.run_id, points)
        self.sure = True
        if self.sent != len(rows) or self.digest != digest(rows):
            self.sent, self.digest = len(rows), digest(rows)
            self._note()

    def _taken(self) -> Counter[Point]:
        """The points that the store has of this run."""
        taken: Counter[Point] = Counter()
        names = self.client.get_run(self.run_id).data.metrics
        for name in (name for name in names if not name.startswith("system/")):
            found = self.client.get_metric_history(self.run_id, name)
            taken.update(point(each.step, name, each.value) for each in found)
        return taken

    def _is_there(self, row: list[str]) -> bool:
        """Whether the store has a row already, which then stands for one of its points."""
        tokens, name, value, _ = row
        found = point(int(tokens), allowed(name), float(value))
        known = self.there[found] > 0
        self.there[found] -= known
        return known

    def send_result(self, folder: Path, with_model: bool) -> None:
        """Pass on what a finished run has beside its points: single figures, at step 0, are drawn as bars."""
        assert self.run_id is not None
        figures = self.memory.with_name(FIGURES)
        if figures.exists():
            now = int(time.time() * 1000)
            found = read_json(figures, "delete it, and MLflow gets all but its figures")
            self.client.log_batch(
                self.run_id, [Metric(allowed(name), float(value), now, 0) for name, value in found.items()]
            )
        self.client.log_artifact(self.run_id, str(folder / HISTORY))
        if with_model:
            serve.log_model(folder, self.client, self.run_id)
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
        kept = {"uri": self.uri, "run_id": self.run_id, "key": self.key, "sent": self.sent, "digest": self.digest,
                "has_result": self.has_result, "record": asdict(self.record) if self.record else None}  # fmt: skip
        write_text(self.memory, json.dumps(kept) + "\n")


def digest(rows: Sequence[Sequence[str]]) -> str:
    """SHA-256 of rows of a history."""
    return hashlib.sha256("\n".join(",".join(row) for row in rows).encode()).hexdigest()


def point(step: int, name: str, value: float) -> Point:
    """What is compared of a point: MLflow keeps an infinite value as the largest number."""
    kept = math.copysign(sys.float_info.max, value) if math.isinf(value) else value
    return step, name, repr(kept)


def _remembered(memory: Path) -> dict[str, Any]:
    """What is known of what was sent; nothing, if that cannot be read."""
    if not memory.exists():
        return {}
    remedy = "MLflow gets the run again, as another one"
    try:
        kept = read_json(memory, remedy)
    except BadInput as error:
        print(f"unroll: {error}", file=sys.stderr)
        return {}
    record = kept.get("record")
    fits = record is None or (isinstance(record, dict) and set(record) == {field.name for field in fields(RunRecord)})
    if not fits or not all(isinstance(kept[name], kind) for name, kind in KINDS.items() if name in kept):
        print(f"unroll: {memory} is damaged or of another version of unroll; {remedy}.", file=sys.stderr)
        return {}
    return kept


def send_rest(working: Path, run: Path | None, uri: str | None, with_model: bool) -> int:
    """Send MLflow the points of a run that it lacks, and return how many they were.

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


def _dataset(record: RunRecord) -> Dataset:
    from mlflow.data.meta_dataset import MetaDataset
    from mlflow.data.sources import LocalArtifactDatasetSource

    source = LocalArtifactDatasetSource(record.data_source)
    told = MetaDataset(source, name=record.data_name, digest=record.data_digest[:36]).to_dict()
    return Dataset(**{key: told.get(key) for key in ("name", "digest", "source_type", "source", "schema", "profile")})
