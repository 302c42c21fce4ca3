"""Penalties on outputs: the equations, by a plain loop over steps, whatever the batch is cut or padded to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from unroll import experiment, preparation
from unroll.config import Config
from unroll.data.batch import Batch
from unroll.errors import BadInput
from unroll.experiment.prepared_data import PreparedData
from unroll.tasks.activation import ActivationPenalty
from unroll.tasks.base import Task

Small = Callable[..., Config]
ALPHA, BETA = 0.3, 0.7
PENALTIES = (f"training.activation_regularization={ALPHA}", f"training.temporal_activation_regularization={BETA}")
CASES = {
    "language model": ("grammar", "lstm"),
    "language model, overlapping windows": ("grammar", "gru", "training.truncation_stride=3"),
    "tagger": ("tagging", "bilstm"),
    "tagger with a CRF": ("tagging", "bilstm-crf"),
    "tagger in windows": ("tagging", "lstm", "training.truncation_length=3"),
    "regressor": ("adding", "lstm"),
}


def by_loop(raw: Tensor, dropped: Tensor, weights: Tensor) -> Tensor:
    """The penalty of each step in turn: raw, dropped [B, T, H], weights [B, T]."""
    total = torch.zeros((), dtype=torch.float64)
    for b in range(len(raw)):
        for t in range(raw.shape[1]):
            if not weights[b, t]:
                continue
            step = ALPHA * dropped[b, t].square().mean()
            if t:
                step = step + BETA * (raw[b, t] - raw[b, t - 1]).square().mean()
            total = total + weights[b, t] * step
    return total


@pytest.mark.parametrize("length", [1, 2, 5])
def test_the_penalty_is_the_papers(length: int) -> None:
    torch.manual_seed(0)
    dropout = nn.Dropout(0.5)
    penalty = ActivationPenalty(dropout, ALPHA, BETA)
    raw = torch.randn(3, length, 4, dtype=torch.float64)
    raw[0, length - 1] = torch.nan if length > 2 else raw[0, length - 1]  # padding may be anything
    weights = torch.rand(3, length, dtype=torch.float64)
    weights[0, length - 1] = 0.0 if length > 2 else 1.0
    dropped = dropout(raw)
    torch.testing.assert_close(penalty.take(weights, None), by_loop(raw, dropped, weights), rtol=0, atol=1e-12)


def test_a_first_step_of_a_document_changes_from_nothing() -> None:
    dropout = nn.Dropout(0.0)
    penalty = ActivationPenalty(dropout, 0.0, 1.0)
    dropout(torch.tensor([[[0.0], [1.0], [3.0]]]))
    assert penalty.take(torch.ones(1, 3), torch.tensor([[False, True, False]])) == 4.0


def test_nothing_is_kept_in_evaluation() -> None:
    dropout = nn.Dropout(0.5)
    penalty = ActivationPenalty(dropout, 1.0, 1.0)
    dropout.eval()
    dropout(torch.ones(1, 2, 3))
    assert penalty.seen == []


def built(config: Config) -> tuple[Task, list[Batch]]:
    data = PreparedData(config, preparation.prepared(config.data))
    torch.manual_seed(0)
    task = experiment.build_task(config, data.spec)
    splits = {name: data.split(name) for name in ("train", "validation")}
    return task.train(), list(experiment.loaders(config, data.spec, splits)[0])


@pytest.mark.parametrize("name", CASES)
def test_the_penalty_of_an_epoch_is_the_mean_over_what_the_loss_counts(name: str, small: Small, project: Path) -> None:
    config = small(*CASES[name], *PENALTIES)
    (task, batches), (plain, _) = built(config), built(small(*CASES[name]))
    assert task.activation is not None
    take, found = task.activation.take, []

    def seen(weights: Tensor, fresh: Tensor | None) -> Tensor:
        assert task.activation is not None
        raw, dropped = (torch.cat(parts, dim=1).double() for parts in zip(*task.activation.seen, strict=True))
        found.append((by_loop(raw, dropped, weights.double()), weights.sum()))
        return take(weights, fresh)

    task.activation.take = seen  # type: ignore[method-assign]
    for number, batch in enumerate(batches[:6]):
        difference = task.training_step(batch, number) - plain.training_step(batch, number)
        wanted, weight = found[-1]
        torch.testing.assert_close(difference.double() * task.nominal, wanted, rtol=1e-4, atol=1e-4)
        counted = batch.mask.any(dim=1).sum() if name == "regressor" else batch.mask.sum()
        assert weight == pytest.approx(float(counted))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("grammar", "lstm", "task=cloze"), "do not support arch=lstm with task=cloze"),
        (("tagging", "cnn"), "do not support arch=cnn"),
        (("adding", "lstm", "training.truncation_length=5"), "mean over whole sequences"),
    ],
)
def test_what_cannot_be_penalised_is_refused(overrides: tuple[str, ...], words: str, small: Small) -> None:
    with pytest.raises(BadInput, match=words):
        small(*overrides, *PENALTIES)


def test_penalties_on_recurrent_matrices_need_some(small: Small) -> None:
    with pytest.raises(BadInput, match="need a recurrent network, which arch=cnn is not"):
        small("tagging", "cnn", "training.recurrent_l2=0.1")
