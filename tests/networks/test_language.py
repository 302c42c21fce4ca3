"""The recurrent language model: what is tied, what is projected."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unroll.cells import CELLS
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import RecurrentLanguageNetwork, embed
from unroll.networks.recurrent import Recurrent

VOCABULARY = 11
EXACT = {"rtol": 0.0, "atol": 1e-10}


def build(width: int, hidden: int, tied: bool, cell: str = "lstm") -> tuple[RecurrentLanguageNetwork, nn.Embedding]:
    torch.manual_seed(5)
    embedding = embed(VOCABULARY, width, padding_index=0, scale=0.1)
    encoder = SequenceEncoder(embedding, Recurrent(cell, width, hidden, 1, False, 0.0), dropout=0.0)
    return RecurrentLanguageNetwork(encoder, embedding, tied).double(), embedding


def test_tied_weights_are_one_tensor() -> None:
    network, embedding = build(6, 8, tied=True)
    assert network.decoder.weight is embedding.weight
    assert sum(parameter is embedding.weight for parameter in network.parameters()) == 1


def test_untied_weights_are_two_tensors() -> None:
    network, embedding = build(6, 8, tied=False)
    assert network.decoder.weight is not embedding.weight


@pytest.mark.parametrize(
    ("width", "hidden", "tied", "projected"), [(6, 8, True, True), (8, 8, True, False), (6, 8, False, False)]
)
def test_a_projection_appears_exactly_when_tied_widths_differ(
    width: int, hidden: int, tied: bool, projected: bool
) -> None:
    network, _ = build(width, hidden, tied)
    assert any(name.startswith("projection.") for name, _ in network.named_parameters()) == projected
    if projected:
        assert network.projection.weight.shape == (width, hidden)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("tied", [True, False])
def test_logits_are_the_equation(cell: str, tied: bool) -> None:
    network, embedding = build(6, 8, tied, cell)
    nn.init.normal_(network.decoder.bias)
    tokens, lengths = torch.tensor([[1, 2, 3], [4, 5, 6]]), torch.tensor([3, 3])
    features, _ = network(tokens, lengths, network.initial_state(2))
    hidden, _ = network.encoder.recurrent(embedding(tokens), lengths, network.initial_state(2))
    if tied:
        expected = hidden @ network.projection.weight.T @ embedding.weight.T + network.decoder.bias
    else:
        expected = hidden @ network.decoder.weight.T + network.decoder.bias
    torch.testing.assert_close(network.logits(features), expected, **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_windows_of_tokens_with_carried_state_equal_one_pass(cell: str) -> None:
    network, _ = build(6, 8, True, cell)
    tokens = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
    whole, _ = network(tokens, torch.tensor([5, 5]), network.initial_state(2))
    first, state = network(tokens[:, :2], torch.tensor([2, 2]), network.initial_state(2))
    second, _ = network(tokens[:, 2:], torch.tensor([3, 3]), state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole, **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_an_encoders_outputs_are_those_of_its_forward(cell: str) -> None:
    network, _ = build(6, 8, True, cell)
    tokens, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    short = network.encoder.outputs(tokens, lengths)
    long, _ = network.encoder(tokens, lengths, network.initial_state(2))
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(short[b, :length], long[b, :length], **EXACT)


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_an_embedding_starts_at_its_scale_with_nothing_for_padding(scale: float) -> None:
    torch.manual_seed(0)
    weight = embed(VOCABULARY, 500, padding_index=2, scale=scale).weight
    assert not weight[2].any()
    for row in (n for n in range(VOCABULARY) if n != 2):
        assert abs(weight[row].std() / scale - 1) < 0.2
        assert abs(weight[row].mean()) < 0.2 * scale
