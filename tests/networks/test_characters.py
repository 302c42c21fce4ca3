"""Words read character by character: the equations, and a word is the same alone, in a batch and with padding."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from unroll.networks import characters as module
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN, CharacterEncoder

COUNT, PADDING = 12, 0
LENGTHS = [4, 1, 6, 2, 3]
EXACT = {"rtol": 0.0, "atol": 1e-10}

ENCODERS: dict[str, Callable[[], CharacterEncoder]] = {
    "CharacterCNN": lambda: CharacterCNN(COUNT, PADDING, embedding_size=5, filters=7, dropout=0.0),
    "CharacterBiLSTM": lambda: CharacterBiLSTM(COUNT, PADDING, embedding_size=5, hidden_size=4),
}
each_encoder = pytest.mark.parametrize("name", ENCODERS)


def build(name: str) -> CharacterEncoder:
    torch.manual_seed(4)
    network = ENCODERS[name]().double()
    for parameter in network.parameters():
        with torch.no_grad():
            parameter.add_(0.1 * torch.randn_like(parameter))  # so that no bias is zero
    with torch.no_grad():
        network.embedding.weight[PADDING] = 0
    return network


def words(total: int, filling: int) -> Tensor:
    """The same words, with ``filling`` behind them up to ``total`` characters."""
    draw = torch.Generator().manual_seed(1)
    rows = torch.full((len(LENGTHS), total), filling)
    for b, length in enumerate(LENGTHS):
        rows[b, :length] = torch.randint(1, COUNT, (length,), generator=draw)
    return rows


def measured(network: CharacterEncoder, rows: Tensor, lengths: list[int], which: list[int]) -> tuple[Tensor, ...]:
    """Features, and the gradient of a fixed projection of them by every parameter."""
    features = network(rows, torch.tensor(lengths))
    loss = torch.zeros((), dtype=torch.float64)
    for row, b in enumerate(which):
        draw = torch.Generator().manual_seed(b)
        loss = loss + (features[row] * torch.randn(features.shape[1], dtype=torch.float64, generator=draw)).sum()
    return features, *torch.autograd.grad(loss, list(network.parameters()))


def test_the_suite_covers_every_character_encoder() -> None:
    types = [value for value in vars(module).values() if isinstance(value, type) and issubclass(value, nn.Module)]
    assert {kind.__name__ for kind in types if kind.__module__ == module.__name__} == set(ENCODERS)


@each_encoder
def test_alone_equals_batched_equals_more_padding_forwards_and_backwards(name: str) -> None:
    network = build(name)
    alone = [measured(network, words(6, 0)[b : b + 1, :n], [n], [b]) for b, n in enumerate(LENGTHS)]
    sums = [sum(gradients) for gradients in zip(*(gradients for _, *gradients in alone), strict=True)]
    assert all(total.abs().max() > 1e-3 for total in sums)
    for total, filling in ((6, PADDING), (6, 9), (11, PADDING), (11, 3)):
        features, *gradients = measured(network, words(total, filling), LENGTHS, list(range(len(LENGTHS))))
        assert features.shape == (len(LENGTHS), network.output_size)
        for b in range(len(LENGTHS)):
            torch.testing.assert_close(features[b : b + 1], alone[b][0], **EXACT)
        for gradient, expected in zip(gradients, sums, strict=True):
            torch.testing.assert_close(gradient, expected, **EXACT)


@each_encoder
def test_every_character_and_its_place_tell(name: str) -> None:
    network, lengths = build(name), torch.tensor([4])
    plain = network(torch.tensor([[1, 2, 3, 4]]), lengths)
    for other in ([5, 2, 3, 4], [1, 5, 3, 4], [1, 2, 5, 4], [1, 2, 3, 5], [4, 3, 2, 1]):
        assert (network(torch.tensor([other]), lengths) - plain).abs().max() > 1e-6


def test_the_convolution_is_the_equation() -> None:
    network, rows = build("CharacterCNN"), words(8, 7)
    assert isinstance(network, CharacterCNN)
    weight, bias = network.convolution.weight, network.convolution.bias
    assert bias is not None
    features = network(rows, torch.tensor(LENGTHS))
    for b, length in enumerate(LENGTHS):
        nothing = torch.zeros(5, dtype=torch.float64)
        embedded = [nothing, *network.embedding.weight[rows[b, :length]], nothing]
        answers = [
            bias + sum(weight[:, :, k] @ embedded[t + k] for k in range(3)) for t in range(length)
        ]  # e of the character before, of this one and of the next
        torch.testing.assert_close(features[b], torch.stack(answers).amax(dim=0), **EXACT)


def test_the_two_directions_end_at_the_last_and_at_the_first_character() -> None:
    network, rows = build("CharacterBiLSTM"), words(8, 7)
    assert isinstance(network, CharacterBiLSTM)
    features = network(rows, torch.tensor(LENGTHS))
    for b, length in enumerate(LENGTHS):
        whole = network.recurrent.outputs(network.embedding(rows[b : b + 1, :length]), torch.tensor([length]))[0]
        torch.testing.assert_close(features[b], torch.cat([whole[-1, :4], whole[0, 4:]]), **EXACT)


def test_characters_begin_as_in_the_paper() -> None:
    torch.manual_seed(0)
    for network in (CharacterCNN(400, 2, 30, 30, 0.0), CharacterBiLSTM(400, 2, 25, 25)):
        weight, bound = network.embedding.weight, math.sqrt(3 / network.embedding.embedding_dim)
        assert not weight[2].any()
        others = torch.cat([weight[:2], weight[3:]])
        assert others.abs().max() <= bound
        assert abs(others.std() / (bound / math.sqrt(3)) - 1) < 0.05  # of a uniform distribution


def test_filters_begin_as_in_the_paper() -> None:
    torch.manual_seed(0)
    network = CharacterCNN(9, 0, 30, 50, 0.0)
    weight, bound = network.convolution.weight, math.sqrt(6 / (50 + 3 * 30))
    assert weight.abs().max() <= bound
    assert abs(weight.std() / (bound / math.sqrt(3)) - 1) < 0.05
    assert network.convolution.bias is not None
    assert not network.convolution.bias.any()


def test_dropout_stands_before_the_convolution_in_training_alone() -> None:
    torch.manual_seed(0)
    network = CharacterCNN(COUNT, PADDING, 5, 7, dropout=0.5)
    rows, lengths = words(6, PADDING), torch.tensor(LENGTHS)
    assert not torch.equal(network(rows, lengths), network(rows, lengths))
    with torch.no_grad():
        network.embedding.weight.zero_()
        network.convolution.bias.fill_(0.3)  # type: ignore[union-attr]
    # All inputs are dropped alike, and what the filters answer to them is not dropped any more.
    assert torch.equal(network(rows, lengths), torch.full((len(LENGTHS), 7), 0.3))
    network.eval()
    assert torch.equal(network(rows, lengths), network(rows, lengths))


@each_encoder
def test_what_fills_a_word_is_never_learned(name: str) -> None:
    network = build(name)
    network(words(9, PADDING), torch.tensor(LENGTHS)).sum().backward()
    assert network.embedding.weight.grad is not None
    assert not network.embedding.weight.grad[PADDING].any()
    assert network.embedding.weight.grad[1:].any()
