"""What a run tells its tracker, and what it still owes it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from unroll.config import Config, load
from unroll.errors import BadInput
from unroll.experiment.working import working_of
from unroll.tracking.provenance import environment, git_state
from unroll.tracking.tracker import MEMORY, NullTracker, RunRecord, Tracker


def build_tracker(config: Config) -> Tracker:
    """Tracker by name."""
    if config.tracking.name == "none":
        return NullTracker()
    from unroll.tracking.mlflow import MLflowTracker

    assert config.tracking.uri is not None  # checked with the settings
    return MLflowTracker(config.tracking.uri, config.tracking.system_metrics, config.tracking.log_model)


def sync(run: Path) -> str:
    """Send MLflow what it has not taken of a run, and tell what that was.

    Args:
        run: the run's folder, or that of a run that is not finished, below outputs/working.

    Raises:
        BadInput: there is no such run, or MLflow cannot be reached or has forgotten the run.
    """
    working = working_of(run)
    if working is None or not (working / MEMORY).exists():
        if not (run / "run.json").exists():
            raise BadInput(f"{run} is no run; name a folder that unroll train wrote.")
        return f"{run}: MLflow has all of it."
    from unroll.tracking.mlflow import send_rest

    finished = run if (run / "run.json").exists() else None
    points = send_rest(working, finished, finished is not None and load(run / "config.yaml").tracking.log_model)
    if finished:
        shutil.rmtree(working)
    return f"{run}: sent {points} points."


def record_of(config: Config, mark: str, data: str, changed: str | None) -> RunRecord:
    """What a tracker is told of a run before it starts.

    Args:
        config: settings of the run.
        mark: its fingerprint.
        data: digest of its data.
        changed: digest of the code that it began with, if that was another; else None.
    """
    tags = {"experiment": config.experiment, "arch": config.arch.name, "seed": str(config.seed),
            "task": config.task.name, "fingerprint": mark, "dvc.data_sha256": data, **git_state()}  # fmt: skip
    if changed:
        tags["code_before"] = changed  # the run began with other code
    if stage := os.environ.get("DVC_STAGE"):
        tags["dvc.stage"] = stage
    # texts and what is not set would only crowd a comparison of runs
    texts = {"title", "sources", "licence", "citation", "generator"}
    given = config.model_dump(mode="json", exclude={"data": texts, "tracking": True}, exclude_none=True)
    params = dict(flatten(given))
    return RunRecord(
        experiment=config.experiment, name=config.name, params=params, tags=tags, config=config.dump(),
        environment=yaml.safe_dump(environment(), sort_keys=False), data_name=config.data.name, data_digest=data,
        data_source=config.data.train,
    )  # fmt: skip


def flatten(content: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted keys."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
