"""What a run tells its tracker, and what it still owes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import yaml

from unroll.config import Config, asked, is_same_store, load, project_tracker
from unroll.errors import BadInput
from unroll.experiment.working import OWNER, Working, locked, working_of
from unroll.outputs import read_json
from unroll.tracking.provenance import environment, git_state
from unroll.tracking.tracker import MEMORY, NullTracker, RunRecord, Tracker


class Trial(Protocol):
    """What a run is of a study, and who is told how it goes.

    Args:
        name: of the run, for the tracker.
        tags: further ones.
    """

    name: str
    tags: dict[str, str]

    def report(self, tokens: int, value: float, speed: float) -> bool:
        """Hear of a validation; whether the run is to end here.

        Raises:
            Suspended: it is to end at once, and to keep its checkpoint.
        """


def build_tracker(config: Config, trial: Trial | None = None) -> Tracker:
    """Tracker by name; it gets no model of a trial, of which there are many."""
    if config.tracking.name == "none":
        return NullTracker()
    from unroll.tracking.mlflow import MLflowTracker

    assert config.tracking.uri is not None  # checked with the settings
    return MLflowTracker(config.tracking.uri, config.tracking.system_metrics,
                         config.tracking.log_model and trial is None)  # fmt: skip


def sync(run: Path, uri: str | None = None) -> str:
    """Send MLflow what it has not taken of a run, and tell what that was.

    Args:
        run: the run's folder, or that of a run that is not finished, below outputs/working.
        uri: of the store, if it has moved.

    Raises:
        BadInput: there is no such run, it is being trained, or MLflow cannot be reached or has forgotten the run.
    """
    if not (run / "run.json").exists() and not (run / OWNER).exists():
        raise BadInput(f"{run} is no run; name a folder that unroll train wrote.")
    working = working_of(run)
    if working is None or not (working / MEMORY).exists():
        return f"{run}: there is nothing left to send."
    finished = None if working == run else run
    with locked(working) as free:
        if not free:
            raise BadInput(f"{working} is being trained, and sends by itself; wait for it.")
        uri = uri or _uri_of(working, run)
        from unroll.tracking.spool import send_rest

        with_model = finished is not None and load(run / "config.yaml").tracking.log_model
        points = send_rest(working, finished, uri, with_model)
        if finished:
            shutil.rmtree(working)
    return f"{run}: sent {points} points."


def _uri_of(working: Path, run: Path) -> str:
    """Where the points of a run go, if that is this project's tracker.

    Raises:
        BadInput: it is another one, which a person must name.
    """
    uri = str(read_json(working / MEMORY, "name the tracker with --uri").get("uri"))
    settings = run / "config.yaml"
    here = project_tracker(load(settings).experiment if settings.exists() else "")
    if not is_same_store(uri, here):
        raise BadInput(f"{working / MEMORY} names the tracker {uri}, and this project's is {here or 'none'}; to send "
                       f"the run there, add --uri {uri}.")  # fmt: skip
    return uri


def record_of(config: Config, working: Working, trial: Trial | None = None) -> RunRecord:
    """What a tracker is told of a run before it starts.

    Args:
        config: settings of the run.
        trial: what it is of a study; None for nothing.
        working: its folder until it is finished, which knows what else it is.
    """
    data = working.identity.data
    tags = {"experiment": config.experiment, "arch": config.arch.name, "seed": str(config.seed),
            "task": config.task.name, "fingerprint": working.mark, "dvc.data_sha256": data,
            "cpu": working.identity.arithmetic["cpu"], **git_state()}  # fmt: skip
    # what the run began with, if that was other code, another version or another processor
    tags |= {f"went_on_from.{name}": value for name, value in working.before.items()}
    if stage := os.environ.get("DVC_STAGE"):
        tags["dvc.stage"] = stage
    # texts and what is not set would only crowd a comparison of runs
    texts = {"title", "sources", "licence", "citation", "generator"}
    given = config.model_dump(mode="json", exclude={"data": texts, "tracking": True}, exclude_none=True)
    params = dict(flatten(given))
    return RunRecord(
        experiment=config.experiment, name=trial.name if trial else config.name, params=params,
        tags=tags | (trial.tags if trial else {}), config=config.dump(),
        environment=yaml.safe_dump(environment() | working.identity.arithmetic, sort_keys=False),
        data_name=config.data.name, data_digest=data, data_source=config.data.train, question=asked(config.experiment),
    )  # fmt: skip


def flatten(content: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted keys."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
