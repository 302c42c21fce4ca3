"""A run as an MLflow model of its own flavor: lines of text in, JSON lines out."""

import contextlib
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model
from mlflow.tracking.context.registry import resolve_tags

from unroll.outputs import to_json_line
from unroll.tracking.provenance import PACKAGES

SETTINGS: dict[str, Any] = {"length": int, "temperature": float, "seed": int}  # of a continuation


def log_model(folder: Path, client: MlflowClient, run_id: str) -> None:
    """Log a finished run to its MLflow run, so that any MLflow server can load it where this package is.

    Not by ``mlflow.pyfunc.log_model``: that looks through every installed package to compare versions, which takes
    longer than all the rest, and puts the model into the experiment that the process has opened last.

    Args:
        folder: of the finished run.
        client: of the store that has the MLflow run.
        run_id: of the MLflow run.
    """
    run = client.get_run(run_id)
    name = re.sub(r"[/:.%\"']", "-", str(run.info.run_name))  # without what MLflow refuses
    model = client.create_logged_model(run.info.experiment_id, name, run_id, resolve_tags())
    try:
        with TemporaryDirectory() as place:
            _save(folder, Path(place), Model(run_id=run_id, model_id=model.model_id))
            client.log_model_artifacts(model.model_id, place)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    except BaseException:  # it is logged again later
        with contextlib.suppress(Exception):
            client.delete_logged_model(model.model_id)
        raise


def _save(run: Path, target: Path, model: Model) -> None:
    shutil.copytree(run, target / "run")
    (target / "requirements.txt").write_text("\n".join(PACKAGES[:4]) + "\n", encoding="utf-8")
    mlflow.pyfunc.add_to_model(model, __name__, data="run", env="requirements.txt")
    model.save(str(target / "MLmodel"))


class RunModel:
    """Tags or numbers for each line, or a continuation of it, as ``unroll predict`` and ``generate`` give them."""

    def __init__(self, folder: Path) -> None:
        from unroll.experiment import Trained

        self.run = Trained.load(folder)

    def predict(self, model_input: list[str], params: dict[str, float] | None = None) -> list[str]:
        """A JSON line for each line of text."""
        given = params or {}
        settings = {name: kind(given[name]) for name, kind in SETTINGS.items() if name in given}
        return [to_json_line(answer.content()) for answer in self.run.answer(list(model_input), **settings)]


def _load_pyfunc(path: str) -> RunModel:
    """What MLflow calls to load the model."""
    return RunModel(Path(path))
