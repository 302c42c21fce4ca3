"""Regression: one number per sequence, by every readout, padding unseen, and lines told alike."""

from __future__ import annotations

import pytest
import torch
from cells.test_cells import EXACT, draw, randomized
from torch import Tensor, nn

from unroll import experiment
from unroll.cells import LSTMCell
from unroll.data.batch import Batch, FieldSpec, Padded
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import FrameVocabulary, NumberVocabulary
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.readout import READOUTS, maximum
from unroll.networks.recurrent import Recurrent
from unroll.tasks.regressor.answers import RegressorNetwork
from unroll.tasks.regressor.description import RegressorOptions
from unroll.tasks.regressor.module import Regressor

INPUT, HIDDEN = 2, 4
SPEC = {"inputs": FieldSpec(INPUT), "target": FieldSpec(1)}
LENGTHS = [4, 1, 6, 3]
TARGETS = [0.5, -1.0, 2.0, 0.0]
EVERYONE = list(range(len(LENGTHS)))
NETWORKS = [*READOUTS, "convolutional"]

each_network = pytest.mark.parametrize("network", NETWORKS)
each_direction = pytest.mark.parametrize("bidirectional", [False, True])


def build(network: str, bidirectional: bool = True) -> Regressor:
    torch.manual_seed(3)
    encoder: SequenceEncoder | ConvolutionalEncoder
    if network == "convolutional":
        encoder = ConvolutionalEncoder(nn.Identity(), INPUT, HIDDEN, 2, 3, 0.0)
    else:
        recurrent = Recurrent(LSTMCell, INPUT, HIDDEN, 1, bidirectional)
        encoder = SequenceEncoder(nn.Identity(), recurrent, nn.Identity(), network)
    task = Regressor(RegressorNetwork(encoder, SPEC), RegressorOptions(), None, 0)
    randomized(task.double())
    return task


def batch_of(which: list[int], total: int, garbage: float = 0.0) -> Batch:
    """Sequences side by side, with ``garbage`` behind them up to ``total`` steps."""
    inputs = torch.full((len(which), total, INPUT), garbage, dtype=torch.float64)
    for row, b in enumerate(which):
        inputs[row, : LENGTHS[b]] = draw(LENGTHS[b], INPUT, seed=50 + b)
    lengths, targets = (torch.tensor([values[b] for b in which]) for values in (LENGTHS, TARGETS))
    mask = torch.arange(total) < lengths[:, None]
    return Batch({"inputs": Padded(inputs, lengths), "target": targets.double()}, mask, None, int(mask.sum()))


ALONE = [batch_of([b], LENGTHS[b]) for b in EVERYONE]


@each_network
@each_direction
@pytest.mark.parametrize("garbage", [0.0, 1e3, -1e30])
def test_the_loss_of_a_step_is_the_mean_over_sequences_forward_and_backward(
    network: str, bidirectional: bool, garbage: float
) -> None:
    task = build(network, bidirectional)
    weights = list(task.parameters())

    def step(batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = task.training_step(batch, 0) * task.nominal / task.take_sums()[1]
        return loss, torch.autograd.grad(loss, weights)

    alone = [step(batch) for batch in ALONE]
    for width in (max(LENGTHS), 9):
        loss, gradients = step(batch_of(EVERYONE, width, garbage))
        torch.testing.assert_close(loss, sum(own for own, _ in alone) / len(alone), **EXACT)
        for k, gradient in enumerate(gradients):
            torch.testing.assert_close(gradient, sum(own[k] for _, own in alone) / len(alone), **EXACT)


@each_network
def test_the_loss_is_the_mean_of_the_squared_errors_of_what_stands_for_each_sequence(network: str) -> None:
    task, errors = build(network), []
    readout = READOUTS.get(network, lambda output, lengths, _: maximum(output, lengths))
    for batch, target in zip(ALONE, TARGETS, strict=True):
        inputs, lengths = batch.sequence("inputs")
        vector = readout(task.network.encoder.outputs(inputs, lengths), lengths, HIDDEN)[0].tolist()
        weight, bias = task.network.head.weight[0].tolist(), task.network.head.bias.tolist()[0]
        errors.append((sum(w * x for w, x in zip(weight, vector, strict=True)) + bias - target) ** 2)
    for batches in (ALONE, [batch_of(EVERYONE, 9, 1e3)], [batch_of([2, 0, 1], 6), batch_of([3], 4, 1e3)]):
        figures = experiment.evaluate_task(task, batches)
        assert figures == pytest.approx({"loss": sum(errors) / len(errors)}, abs=1e-10)


@each_network
@torch.no_grad()
def test_a_number_is_predicted_alone_as_in_a_batch(network: str) -> None:
    task = build(network)
    vocabulary = Vocabularies({"inputs": FrameVocabulary(INPUT), "target": NumberVocabulary()})
    alone = torch.cat([task.network.predict(batch) for batch in ALONE])
    torch.testing.assert_close(task.network.predict(batch_of(EVERYONE, 9, 1e3)), alone, **EXACT)
    answers = [task.network.answer({}, row, vocabulary) for row in alone]
    assert [answer.prediction for answer in answers] == alone.tolist()
    assert [float(value) for answer in answers for value in answer.values()] == alone.tolist()
