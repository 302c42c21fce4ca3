"""The record of a run for its tracker, and sending what the tracker lacks."""

from __future__ import annotations

import json
import math
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import yaml

from unroll.config import CONF, Config, asked, decisive, is_same_store, load, project_tracker, read
from unroll.config.blocks import is_architecture
from unroll.config.experiments import project_defaults
from unroll.config.file import merged
from unroll.errors import BadInput
from unroll.experiment.workspace import OWNER, Workspace, locked, workspace_of
from unroll.outputs import read_json, write_text
from unroll.tracking.provenance import environment, git_state
from unroll.tracking.tracker import FIGURES, MEMORY, NullTracker, RunRecord, Tracker

# the name of a corpus stands for its files and their format
NOT_COMPARED: dict[str, Any] = {
    "data": {"sources": True, "generator": True, "train": True, "validation": True, "test": True,
             "reader": {"name", "unit", "token_column", "label_column"}},
    "experiment": True, "seed": True,
}  # fmt: skip


class StepClock(Protocol):
    """Number of tokens that a process has trained on, and the duration in seconds."""

    tokens: int
    seconds: float


class Pruned(Exception):
    """A trial that was stopped early because others are better."""


class Trial(Protocol):
    """The trial of a study that a run belongs to, which receives its validations.

    Args:
        name: name of the run in the tracker.
        tags: additional tags.
    """

    name: str
    tags: dict[str, str]

    def report(self, tokens: int, value: float, speed: float) -> bool:
        """Receive a validation, and return whether to stop the run.

        Raises:
            Suspended: the run must stop immediately and keep its checkpoint.
        """


def build_tracker(config: Config, trial: Trial | None = None) -> Tracker:
    """Build the tracker; models of trials, of which there are many, are not logged."""
    if config.tracking.name == "none":
        return NullTracker()
    from unroll.tracking.mlflow import MLflowTracker

    assert config.tracking.uri is not None  # checked with the settings
    return MLflowTracker(
        config.tracking.uri, config.tracking.system_metrics, config.tracking.log_model and trial is None
    )


def sync(run: Path, uri: str | None = None) -> str:
    """Send MLflow the unsent points of a run, and return a sentence about them.

    Args:
        run: folder of the run, or of an unfinished run below outputs/working.
        uri: URI of the store if it has moved.

    Raises:
        BadInput: there is no such run, it is being trained, MLflow cannot be reached, or the run was deleted there.
    """
    if not (run / "run.json").exists() and not (run / OWNER).exists():
        raise BadInput(f"{run} is not a run; name a folder that unroll train wrote.")
    workspace = workspace_of(run)
    if workspace is None or not (workspace / MEMORY).exists():
        return f"{run}: there is nothing to send."
    finished = None if workspace == run else run
    with locked(workspace) as free:
        if not free:
            raise BadInput(f"{workspace} is being trained and sends its points itself; wait for it.")
        uri = uri or _uri_of(workspace, run)
        from unroll.tracking.spool import send_rest

        with_model = finished is not None and load(run / "config.yaml").tracking.log_model
        points = send_rest(workspace, finished, uri, with_model)
        if finished:
            shutil.rmtree(workspace)
    return f"{run}: sent {points} points."


def _uri_of(workspace: Path, run: Path) -> str:
    """URI of the tracker of a run, which must be that of this project.

    Raises:
        BadInput: it is another one, which must be named explicitly.
    """
    uri = str(read_json(workspace / MEMORY, "name the tracker with --uri").get("uri"))
    settings = run / "config.yaml"
    here = project_tracker(load(settings).experiment if settings.exists() else "")
    if not is_same_store(uri, here):
        raise BadInput(f"{workspace / MEMORY} names the tracker {uri}, and this project's is {here or 'none'}; to send "
                       f"the run there, add --uri {uri}.")  # fmt: skip
    return uri


def record_of(config: Config, workspace: Workspace, trial: Trial | None = None) -> RunRecord:
    """The record of a run for its tracker.

    Args:
        config: settings of the run.
        workspace: working folder of the run, with its identity.
        trial: the trial of a study that the run belongs to; None for none.
    """
    data = workspace.identity.data
    tags = {"experiment": config.experiment, "arch": config.arch.name, "seed": str(config.seed),
            "task": config.task.name, "origin": _origin(workspace, trial), "fingerprint": workspace.mark,
            "dvc.data_sha256": data, "cpu": workspace.identity.arithmetic["cpu"], **git_state()}  # fmt: skip
    # what the run started with, if it was other code, another version or another processor
    tags |= {f"went_on_from.{name}": value for name, value in workspace.before.items()}
    if stage := os.environ.get("DVC_STAGE"):
        tags["dvc.stage"] = stage
    name = f"{config.name} ad hoc {workspace.mark[:6]}" if tags["origin"] == "ad hoc" else config.name
    return RunRecord(
        experiment=config.experiment, name=trial.name if trial else name, params=params_of(config),
        tags=tags | (trial.tags if trial else {}), config=config.dump(),
        environment=yaml.safe_dump(environment() | workspace.identity.arithmetic, sort_keys=False),
        data_name=config.data.name, data_digest=data, data_source=config.data.train, question=asked(config.experiment),
        headline=config.task.description.headline(config.role_fields, config.task.options).name,
    )  # fmt: skip


def _origin(workspace: Workspace, trial: Trial | None) -> str:
    """Origin of a run: course, paper, study or ad hoc."""
    if trial:
        return "study"
    if "DVC_STAGE" not in os.environ:
        return "ad hoc"
    return "paper" if Path(workspace.out).resolve().is_relative_to(Path("paper").resolve()) else "course"


def note_figures(
    folder: Path, config: Config, best: dict[str, float], parameters: int, tokens: int, clock: StepClock
) -> None:
    """Write single figures of a finished run for its tracker; speed and time vary, so they are not part of outputs.

    Args:
        folder: working folder of the run.
        config: settings of the run.
        best: figures of the best validation.
        parameters: number of parameters of the network.
        tokens: number of tokens of the training.
        clock: clock of the training, since the last resumption.
    """
    headline = config.task.description.headline(config.role_fields, config.task.options).name
    found = {f"validation_{headline}": best[headline], "parameters": float(parameters)}
    if clock.tokens:
        speed = clock.tokens / clock.seconds
        found |= {"tokens_per_second": round(speed), "seconds": round(tokens / speed, 1)}
    known = {name: value for name, value in found.items() if math.isfinite(value)}
    write_text(folder / FIGURES, json.dumps(known) + "\n")


def params_of(config: Config) -> dict[str, str]:
    """Settings as typed on the command line, for comparisons of runs; ``config.yaml`` of the run has all settings.

    An architecture has its name, the settings that it shares with others, and those that differ from its file.
    """
    given = decisive(config.model_dump(mode="json", exclude=NOT_COMPARED, exclude_none=True))
    given["training"]["devices"] = config.training.devices  # speeds depend on it
    path = CONF / "arch" / f"{config.arch.name}.yaml"
    stated = dict(flatten({"arch": merged(project_defaults()["arch"], read(path))})) if path.is_file() else {}
    arch = {key: value for key, value in flatten({"arch": given.pop("arch")})
            if key != "arch.name" and not (_is_of_file(key) and stated.get(key) == value)}  # fmt: skip
    named = {"arch": config.arch.name, "data": given["data"].pop("name"), "task": given["task"].pop("name")}
    parts = {key: given[key] for key in ("data", "task", "training")}
    return {**named, "seed": str(config.seed), **arch, **dict(flatten(parts))}


def _is_of_file(key: str) -> bool:
    """Whether a setting is part of what the name of an architecture stands for."""
    arguments = ("arch.encoder.cell_arguments.", "arch.decoder.cell_arguments.")
    return is_architecture(key) or key.startswith(arguments)


def flatten(content: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted keys."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
