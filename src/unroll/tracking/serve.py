"""A run as an MLflow model: lines of text in, JSON lines out. MLflow runs this file when it loads the model."""

import json
from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel, PythonModelContext

SETTINGS: dict[str, Any] = {"length": int, "temperature": float, "seed": int}  # of a continuation


class RunModel(PythonModel):  # type: ignore[misc]  # mlflow has no types
    """Tags or numbers for each line, or a continuation of it, as ``unroll predict`` and ``generate`` give them."""

    def load_context(self, context: PythonModelContext) -> None:
        from unroll.experiment import Trained

        self.run = Trained.load(Path(context.artifacts["run"]))

    def predict(
        self, context: PythonModelContext, model_input: list[str], params: dict[str, float] | None = None
    ) -> list[str]:
        given = params or {}
        settings = {name: kind(given[name]) for name, kind in SETTINGS.items() if name in given}
        return [json.dumps(answer, ensure_ascii=False) for answer in self.run.answer(list(model_input), **settings)]


mlflow.models.set_model(RunModel())
