"""A run as an MLflow model of its own flavor: lines of text in, JSON lines out."""

import json
import shutil
from pathlib import Path
from typing import Any

import mlflow.pyfunc
from mlflow.models import Model

from unroll.tracking.provenance import PACKAGES

SETTINGS: dict[str, Any] = {"length": int, "temperature": float, "seed": int}  # of a continuation


def log_model(folder: Path, run_id: str) -> None:
    """Log a finished run to its MLflow run, so that any MLflow server can load it where this package is.

    Not by ``mlflow.pyfunc.log_model``: that looks through every installed package to compare versions, which takes
    longer than all the rest.
    """
    Model.log(artifact_path=None, name="model", flavor=_Flavor, flavor_name="unroll", run_id=run_id, run=folder)


class _Flavor:
    """What ``Model.log`` asks for: a module, or a class like one, that writes a model."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, run: Path) -> None:
        target = Path(path)
        target.mkdir()
        shutil.copytree(run, target / "run")
        (target / "requirements.txt").write_text("\n".join(PACKAGES[:4]) + "\n", encoding="utf-8")
        mlflow.pyfunc.add_to_model(mlflow_model, __name__, data="run", env="requirements.txt")
        mlflow_model.save(str(target / "MLmodel"))


class RunModel:
    """Tags or numbers for each line, or a continuation of it, as ``unroll predict`` and ``generate`` give them."""

    def __init__(self, folder: Path) -> None:
        from unroll.experiment import Trained

        self.run = Trained.load(folder)

    def predict(self, model_input: list[str], params: dict[str, float] | None = None) -> list[str]:
        """A JSON line for each line of text."""
        given = params or {}
        settings = {name: kind(given[name]) for name, kind in SETTINGS.items() if name in given}
        return [json.dumps(answer, ensure_ascii=False) for answer in self.run.answer(list(model_input), **settings)]


def _load_pyfunc(path: str) -> RunModel:
    """What MLflow calls to load the model."""
    return RunModel(Path(path))
