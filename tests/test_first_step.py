"""Where training begins: at the frequencies of tokens, with inputs of one size whatever is tied."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from unroll import experiment, preparation
from unroll.config import Config
from unroll.data.prepared import open_split
from unroll.experiment import Trained

Small = Callable[..., Config]


@pytest.mark.parametrize("tied", ["true", "false"])
@pytest.mark.parametrize("task", ["language_model", "cloze"])
def test_training_begins_at_the_frequencies_of_tokens(task: str, tied: str, small: Small, project: Path) -> None:
    still = "training.optimizer.learning_rate=1e-12"
    config = small("grammar", "lstm", f"task={task}", f"task.tied={tied}", still)
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, project / "run")
    run = Trained.load(project / "run")
    tokens = np.asarray(open_split(prepared / "fit" / "train").tokens)
    counts = np.bincount(tokens, minlength=len(run.vocabulary.tokens)) + 1
    (bias,) = (value for name, value in run.task.named_parameters() if name.endswith("decoder.bias"))
    np.testing.assert_allclose(bias.detach().exp(), counts / counts.sum(), rtol=1e-5)
