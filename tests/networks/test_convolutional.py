"""The convolutional encoder: its equation, its field of view, and padding that nobody sees."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from unroll.cells import LSTMCell
from unroll.errors import BadInput
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.recurrent import Recurrent

INPUT, HIDDEN = 3, 4
LENGTHS = [4, 1, 6, 3]
EXACT = {"rtol": 0.0, "atol": 1e-10}
GARBAGE = [1e3, float("nan"), float("inf")]

each_shape = pytest.mark.parametrize(("layers", "kernel"), list(product((1, 2, 3), (1, 3, 5))))
Row = list[float]


def build(layers: int, kernel: int, dropout: float = 0.0, hidden: int = HIDDEN) -> ConvolutionalEncoder:
    torch.manual_seed(3)
    return ConvolutionalEncoder(nn.Identity(), INPUT, hidden, layers, kernel, dropout).double()


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sequence(b: int) -> Tensor:
    return draw(LENGTHS[b], INPUT, seed=50 + b)


def padded(total: int, garbage: float) -> Tensor:
    """The same four sequences with ``garbage`` behind them up to ``total`` steps."""
    inputs = torch.full((len(LENGTHS), total, INPUT), garbage, dtype=torch.float64)
    for b, length in enumerate(LENGTHS):
        inputs[b, :length] = sequence(b)
    return inputs


def by_hand(network: ConvolutionalEncoder, steps: list[Row]) -> list[Row]:
    """The equation of the docstring, number by number."""
    for layer in network.layers:
        weight, bias, reach = layer.weight.tolist(), layer.bias.tolist(), layer.kernel_size[0] // 2
        made = []
        for t in range(len(steps)):
            units = []
            for taps, total in zip(weight, bias, strict=True):
                for j in range(-reach, reach + 1):
                    if 0 <= t + j < len(steps):
                        total += sum(tap[j + reach] * x for tap, x in zip(taps, steps[t + j], strict=True))
                units.append(max(0.0, total))
            made.append(units)
        steps = made
    return steps


def measured(network: ConvolutionalEncoder, inputs: Tensor, which: list[int]) -> dict[str, list[Tensor]]:
    """Real features, vectors of sequences, and the gradients of a fixed projection of both."""
    inputs = inputs.clone().requires_grad_()
    lengths = torch.tensor([LENGTHS[b] for b in which])
    features, vectors = network.outputs(inputs, lengths), network.summary(inputs, lengths)
    real = [features[n, : LENGTHS[b]] for n, b in enumerate(which)]
    loss = sum((rows * draw(*rows.shape, seed=70 + b)).sum() for rows, b in zip(real, which, strict=True))
    loss = loss + sum((vectors[n] * draw(HIDDEN, seed=80 + b)).sum() for n, b in enumerate(which))
    by_inputs, *by_parameters = torch.autograd.grad(loss, [inputs, *network.parameters()])
    return {"features": real, "vectors": list(vectors), "inputs": list(by_inputs), "parameters": by_parameters}


@each_shape
def test_features_equal_a_scalar_loop(layers: int, kernel: int) -> None:
    network = build(layers, kernel)
    features = network.outputs(padded(7, 1e3), torch.tensor(LENGTHS))
    vectors = network.summary(padded(7, 1e3), torch.tensor(LENGTHS))
    for b, length in enumerate(LENGTHS):
        expected = by_hand(network, sequence(b).tolist())
        torch.testing.assert_close(features[b, :length], features.new_tensor(expected), **EXACT)
        largest = [max(unit) for unit in zip(*expected, strict=True)]
        torch.testing.assert_close(vectors[b], vectors.new_tensor(largest), **EXACT)


@each_shape
@pytest.mark.parametrize("garbage", GARBAGE)
def test_alone_equals_batched_equals_padded_with_garbage_forward_and_backward(
    layers: int, kernel: int, garbage: float
) -> None:
    network, everyone = build(layers, kernel), list(range(len(LENGTHS)))
    alone = [measured(network, sequence(b)[None], [b]) for b in everyone]
    for total in (max(LENGTHS), 10):
        seen = measured(network, padded(total, garbage), everyone)
        for b, length in enumerate(LENGTHS):
            torch.testing.assert_close(seen["features"][b], alone[b]["features"][0], **EXACT)
            torch.testing.assert_close(seen["vectors"][b], alone[b]["vectors"][0], **EXACT)
            torch.testing.assert_close(seen["inputs"][b][:length], alone[b]["inputs"][0], **EXACT)
            beyond = seen["inputs"][b][length:]
            assert torch.equal(beyond, torch.zeros_like(beyond))  # nor is any of it NaN
        for n, gradient in enumerate(seen["parameters"]):
            torch.testing.assert_close(gradient, sum(one["parameters"][n] for one in alone), **EXACT)


@each_shape
def test_a_feature_sees_exactly_its_receptive_field(layers: int, kernel: int) -> None:
    network, reach = build(layers, kernel), layers * (kernel // 2)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)  # all that is seen is positive, so that no ReLU hides anything
    inputs, lengths = draw(1, 17, INPUT).abs(), torch.tensor([15])
    by_input = torch.autograd.functional.jacobian(lambda x: network.outputs(x, lengths), inputs)
    seen = by_input[0, :, :, 0].abs()  # [T, H, T, I]
    for t, s in product(range(15), range(17)):
        within = abs(t - s) <= reach and s < 15
        assert (seen[t, :, s] > 0).all() if within else not seen[t, :, s].any()


def test_gradients_pass_gradcheck() -> None:
    network, lengths = build(2, 3), torch.tensor([4, 2])
    inputs = draw(2, 4, INPUT).requires_grad_()

    def read(inputs: Tensor) -> tuple[Tensor, ...]:
        features = network.outputs(inputs, lengths)
        return features[0], features[1, :2], network.summary(inputs, lengths)

    assert torch.autograd.gradcheck(read, (inputs,))


@pytest.mark.parametrize("kernel", [0, 2, 4])
def test_an_even_kernel_is_an_error_that_says_why(kernel: int) -> None:
    with pytest.raises(BadInput, match=f"{kernel} steps has no centre.*odd"):
        build(1, kernel)


@pytest.mark.parametrize("encoder", ["convolutional", "recurrent"])
def test_it_reads_tokens_in_the_place_of_a_sequence_encoder(encoder: str) -> None:
    embedding = embed(11, INPUT, padding_index=0, scale=1.0)
    either = {
        "convolutional": ConvolutionalEncoder(embedding, INPUT, HIDDEN, 2, 3, 0.0),
        "recurrent": SequenceEncoder(embedding, Recurrent(LSTMCell, INPUT, HIDDEN, 2, False), nn.Identity(), "final"),
    }[encoder]
    tokens, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    assert either.inputs is embedding
    assert either.output_size == HIDDEN
    assert either.outputs(tokens, lengths).shape == (2, 3, HIDDEN)
    assert either.summary(tokens, lengths).shape == (2, HIDDEN)


def test_dropout_stands_at_both_ends_and_behind_the_maximum() -> None:
    network, inputs = build(1, 3, dropout=0.5, hidden=64), draw(30, 9, INPUT)
    for parameter in network.parameters():
        nn.init.uniform_(parameter, 0.1, 1.0)
    lengths = torch.full((30,), 9)
    inputs = inputs.abs()
    for read in (network.outputs, network.summary):
        network.train()
        dropped = read(inputs, lengths)
        assert 0.45 < (dropped == 0).double().mean() < 0.55  # at the far end: dropped units are zero
        network.eval()
        kept = read(inputs, lengths)
        assert (kept > 0).all()
        alive = dropped != 0
        assert not torch.allclose(dropped[alive], 2 * kept[alive])  # and at the near end, before the filters
