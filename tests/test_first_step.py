"""Where a language model starts: at the frequencies of tokens, so that its state is free for the text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import some_slow

from unroll import experiment, preparation
from unroll.config import Config, compose
from unroll.experiment import Trained
from unroll.experiment.prepared_data import PreparedData

Small = Callable[..., Config]
CELLS = ["rnn", "irnn", "lstm", "coupled", "peephole", "gru", "gru-reset-before"]
KINDS, STREAMS, STEPS = 1000, 16, 100


def train(config: Config, project: Path) -> tuple[Trained, np.ndarray]:
    """A finished run and the frequencies of tokens in its training split."""
    prepared = preparation.prepared(config.data)
    experiment.train(config, prepared, project / "run")
    run = Trained.load(project / "run")
    counts = np.bincount(symbols(config, prepared, "train"), minlength=run.vocabulary.spec["inputs"].size) + 1
    return run, counts / counts.sum()


def symbols(config: Config, prepared: Path, split: str) -> np.ndarray:
    """The text of a split."""
    return np.asarray(PreparedData(config, prepared).split(split)["inputs"].values, np.int64)


@pytest.mark.parametrize(
    ("task", "arch", "tied"),
    [
        ("language_model", "lstm", "true"),
        ("language_model", "lstm", "false"),
        ("language_model", "feedforward", "true"),
        ("cloze", "bilstm", "true"),
    ],
)
def test_training_starts_at_the_frequencies_of_tokens(
    task: str, arch: str, tied: str, small: Small, project: Path
) -> None:
    still = "training.optimizer.learning_rate=1e-12"
    run, frequencies = train(small("grammar", arch, f"task={task}", f"task.tied={tied}", still), project)
    (bias,) = (value for name, value in run.network.named_parameters() if name.endswith("decoder.bias"))
    np.testing.assert_allclose(bias.detach().exp(), frequencies, rtol=1e-5)


@pytest.mark.parametrize("network", some_slow(
    [*((arch, "true") for arch in CELLS), ("lstm", "false")], ("lstm", "true"), ("gru", "true"), ("lstm", "false")
))  # fmt: skip
def test_where_nothing_depends_on_the_text_the_state_stays_small(network: tuple[str, str], project: Path) -> None:
    """Words of Zipf's frequencies, drawn independently: the frequencies are all that there is to learn.

    A network whose bias starts at zero holds them in a constant state: |h| was 0.7 to 1, and |c| up to 200.
    """
    run, frequencies = train(independent_words(project, *network), project)
    tokens = symbols(run.config, preparation.prepared(run.config.data), "validation")
    network, rows = run.network.network, torch.from_numpy(tokens[: STREAMS * STEPS].reshape(STREAMS, STEPS))
    with torch.no_grad():
        features, (state,) = network(rows, torch.full((STREAMS,), STEPS), network.initial_state(STREAMS))
        loss = network.losses(features[:, :-1].flatten(0, 1), rows[:, 1:].flatten()).mean()
    assert loss < -np.log(frequencies[rows[:, 1:]]).mean() + 0.02
    assert max(float(part.abs().mean()) for part in state) < 0.4


def independent_words(project: Path, arch: str, tied: str) -> Config:
    """Settings like those of the Brown corpus, at a high rate, on a text of independent words."""
    chance = 1.0 / np.arange(1, KINDS + 1)
    draw = np.random.default_rng(0).choice(KINDS, 25_000, p=chance / chance.sum())
    (project / "data" / "zipf").mkdir(parents=True)
    for split, numbers in (("train", draw[:20_000]), ("validation", draw[20_000:])):
        text = " ".join(f"w{number}" for number in numbers)
        (project / "data" / "zipf" / f"{split}.txt").write_text(text, encoding="utf-8")
    return compose([
        "experiment=recall", f"arch={arch}", "tracking=none",
        "data.generator=null", "data.reader={name: text}",
        "data.train=data/zipf/train.txt", "data.validation=data/zipf/validation.txt", "data.test=null",
        f"task.tied={tied}",
        "arch.encoder.hidden_size=32", "arch.inputs.size=32", "arch.inputs.scale=0.05",
        "training.tokens=10000", "training.truncation_length=20", f"training.batch_size={STREAMS}",
        "training.validations=1", "training.optimizer.learning_rate=1e-2",
    ])  # fmt: skip
