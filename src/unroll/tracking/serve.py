"""A run logged as an MLflow model, which ``unroll.serving.model`` loads."""

import contextlib
import re
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import mlflow.pyfunc
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model
from mlflow.tracking.context.registry import resolve_tags

from unroll.tracking.provenance import PACKAGES

LOADER = "unroll.serving.model"  # the module that MLflow asks for the model


def log_model(folder: Path, client: MlflowClient, run_id: str) -> None:
    """Log the model of a finished run, for any MLflow server on which this package is installed.

    Does not use ``mlflow.pyfunc.log_model``, which is slow, since it compares versions of all installed packages, and
    logs to the experiment that the process opened last.

    Args:
        folder: folder of the finished run.
        client: client of the store with the MLflow run.
        run_id: identifier of the MLflow run.
    """
    run = client.get_run(run_id)
    name = re.sub(r"[/:.%\"']", "-", str(run.info.run_name))  # without characters that MLflow refuses
    model = client.create_logged_model(run.info.experiment_id, name, run_id, resolve_tags())
    try:
        with TemporaryDirectory() as place:
            _save(folder, Path(place), Model(run_id=run_id, model_id=model.model_id))
            client.log_model_artifacts(model.model_id, place)
        client.finalize_logged_model(model.model_id, LoggedModelStatus.READY)
        client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    except BaseException:  # it will be logged again
        with contextlib.suppress(Exception):
            client.delete_logged_model(model.model_id)
        raise


def _save(run: Path, target: Path, model: Model) -> None:
    shutil.copytree(run, target / "run")
    (target / "requirements.txt").write_text("\n".join(PACKAGES[:4]) + "\n", encoding="utf-8")
    mlflow.pyfunc.add_to_model(model, LOADER, data="run", env="requirements.txt")
    model.save(str(target / "MLmodel"))
