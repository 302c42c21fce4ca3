"""A run as an MLflow model: lines of text in, JSON lines out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unroll.experiment import Trained
from unroll.networks.sampling import Sampling
from unroll.outputs import to_json_line
from unroll.serving.generation import generate
from unroll.serving.prediction import Predictor
from unroll.tasks.answer import Answer

# of draws, with their defaults; a length is that of a continuation alone
SETTINGS: dict[str, Any] = {"length": 50, "seed": 0, "temperature": 1.0, "top_k": 0, "top_p": 1.0}


class RunModel:
    """Labels, numbers or a target for each line, or a continuation of it, as ``unroll predict`` and ``generate`` do."""

    def __init__(self, folder: Path) -> None:
        self.run = Trained.load(folder)

    def predict(self, model_input: Sequence[str], params: dict[str, float] | None = None) -> list[str]:
        """A JSON line for each line of text."""
        given = {name: type(value)((params or {}).get(name, value)) for name, value in SETTINGS.items()}
        answers: Iterable[Answer]
        if self.run.config.task.description.continues:
            answers = generate(self.run, model_input, **given)
        else:
            drawn = {name: given[name] for name in ("temperature", "top_k", "top_p") if name in (params or {})}
            sampling = Sampling(**drawn) if drawn else None
            answers = Predictor(self.run, sampling=sampling, seed=given["seed"]).lines(model_input)
        return [to_json_line(answer.content()) for answer in answers]


def _load_pyfunc(path: str) -> RunModel:
    """What MLflow calls to load the model."""
    return RunModel(Path(path))
