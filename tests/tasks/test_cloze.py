"""Cloze: the loss of a loop, padding that nobody sees, and sentences told alike."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from cells.test_cells import EXACT, randomized
from torch import Tensor, nn

from unroll import experiment
from unroll.cells import LSTMCell
from unroll.config import Config
from unroll.data.batch import Batch, FieldSpec, Padded, Probed
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import END, PADDING, UNKNOWN, SymbolVocabulary
from unroll.errors import BadInput
from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import ClozeNetwork
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent
from unroll.tasks.answer import Labelled
from unroll.tasks.cloze.answers import ClozeTaskNetwork
from unroll.tasks.cloze.description import ClozeOptions
from unroll.tasks.cloze.module import Cloze

WORDS = (PADDING, UNKNOWN, END, "a", "b", "c", "d", "e")
WIDTH, HIDDEN = 3, 4
GROUP_NAMES = ("near", "far")
SPEC = {"inputs": FieldSpec(len(WORDS), unit="words"), "probe": FieldSpec(len(GROUP_NAMES), GROUP_NAMES)}
TOKENS = [[3, 4, 5, 6], [7], [6, 7, 1, 3, 2, 3], [4, 5, 6]]
GROUPS = [[0, -1, 1, -1], [-1], [-1, 0, 0, -1, 1, 1], [-1, -1, 1]]
LENGTHS = [len(tokens) for tokens in TOKENS]
EVERYONE = list(range(len(TOKENS)))

each_direction = pytest.mark.parametrize("bidirectional", [False, True])


def build(bidirectional: bool = True) -> Cloze:
    torch.manual_seed(3)
    words = embed(len(WORDS), WIDTH, 0, 1.0)
    encoder = SequenceEncoder(words, Recurrent(LSTMCell, WIDTH, HIDDEN, 1, bidirectional), nn.Identity(), "final")
    network = ClozeNetwork(encoder, TokenOutput(encoder.output_size, len(WORDS), words))
    task = Cloze(ClozeTaskNetwork(network, SPEC), ClozeOptions(tied=True), None, 0)
    randomized(task.double())
    return task


def batch_of(which: list[int], total: int, garbage: int = 0) -> Batch:
    """Sequences side by side, with the token ``garbage`` behind them up to ``total`` steps."""
    inputs = torch.tensor([TOKENS[b] + [garbage] * (total - LENGTHS[b]) for b in which])
    groups = torch.tensor([GROUPS[b] + [-1] * (total - LENGTHS[b]) for b in which])
    lengths = torch.tensor([LENGTHS[b] for b in which])
    mask = torch.arange(total) < lengths[:, None]
    fields = {"inputs": Padded(inputs, lengths), "probe": Probed(groups, torch.full_like(groups, -1))}
    return Batch(fields, mask, None, int(mask.sum()))


ALONE = [batch_of([b], LENGTHS[b]) for b in EVERYONE]


@each_direction
@pytest.mark.parametrize("garbage", [0, 5])
def test_the_loss_of_a_step_is_the_mean_over_real_tokens_forward_and_backward(
    bidirectional: bool, garbage: int
) -> None:
    task = build(bidirectional)
    weights = list(task.parameters())

    def step(batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        loss = task.training_step(batch, 0) * task.nominal / task.take_sums()[1]
        return loss, torch.autograd.grad(loss, weights)

    alone = [(n, *step(batch)) for n, batch in zip(LENGTHS, ALONE, strict=True)]
    for width in (max(LENGTHS), 9):
        loss, gradients = step(batch_of(EVERYONE, width, garbage))
        torch.testing.assert_close(loss, sum(n * own for n, own, _ in alone) / sum(LENGTHS), **EXACT)
        for k, gradient in enumerate(gradients):
            torch.testing.assert_close(gradient, sum(n * own[k] for n, _, own in alone) / sum(LENGTHS), **EXACT)


@each_direction
@pytest.mark.parametrize("garbage", [0, 5])
def test_figures_are_those_of_a_loop_over_the_tokens(bidirectional: bool, garbage: int) -> None:
    task = build(bidirectional)
    losses, right = [], []
    for tokens in TOKENS:
        rows = task.network.network(torch.tensor([tokens]), torch.tensor([len(tokens)]))[0].tolist()
        for row, token in zip(rows, tokens, strict=True):
            losses.append(-math.log(math.exp(row[token]) / sum(map(math.exp, row))))
            right.append(max(row) == row[token])
    groups = [group for row in GROUPS for group in row]
    mean = sum(losses) / len(losses)
    expected = {"loss": mean, "accuracy": sum(right) / len(right), "pseudo_perplexity": math.exp(mean)}
    for number, name in enumerate(GROUP_NAMES):
        hits = [hit for hit, group in zip(right, groups, strict=True) if group == number]
        expected[f"accuracy/{name}"] = sum(hits) / len(hits)
    for batches in (ALONE, [batch_of(EVERYONE, 9, garbage)], [batch_of([2, 0], 6), batch_of([3, 1], 4, garbage)]):
        assert experiment.evaluate_task(task, batches) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("garbage", [0, 5])
def test_the_likeliest_word_of_each_place_is_predicted_whatever_the_batch(garbage: int) -> None:
    vocabulary = Vocabularies({"inputs": SymbolVocabulary("words", False, False, 0, WORDS)})
    task, found = build(), set()
    with torch.no_grad():
        task.network.network.output.decoder.bias[[0, 1]] = (
            50.0  # padding and the unknown word, the likeliest everywhere
        )
        predicted = task.network.predict(batch_of(EVERYONE, 9, garbage))
        for tokens, row in zip(TOKENS, predicted, strict=True):
            logits = task.network.network(torch.tensor([tokens]), torch.tensor([len(tokens)]))[0]
            assert (logits.argmax(dim=1) < 2).all()
            record = {"inputs": [WORDS[n] for n in tokens]}
            answer = task.network.answer(record, row[: len(tokens)], vocabulary)
            assert answer == Labelled(record["inputs"], [WORDS[2 + n] for n in logits[:, 2:].argmax(dim=1).tolist()])
            found |= set(answer.labels)
    assert len(found) > 1


def test_two_directions_in_two_layers_are_refused_and_one_direction_is_not(small: Callable[..., Config]) -> None:
    with pytest.raises(BadInput, match=r"arch\.encoder\.layers=1"):
        small("grammar", "bilstm", "task=cloze", "arch.encoder.layers=2")
    assert small("grammar", "lstm", "task=cloze", "arch.encoder.layers=2").task.name == "cloze"
    assert small("grammar", "bilstm", "task=cloze", "arch.encoder.layers=1").task.name == "cloze"
