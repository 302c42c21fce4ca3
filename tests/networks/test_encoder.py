"""The encoder: what it is made of, what it hands out, and padding that nobody sees."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from cells.test_cells import EXACT, VARIANTS, draw, randomized
from torch import Tensor, nn

from unroll.errors import BadInput
from unroll.networks.embedding import OneHot, embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.readout import READOUTS
from unroll.networks.recurrent import LockedDropout, Recurrent

INPUT, HIDDEN, VOCABULARY, PADDING = 3, 4, 7, 0
LENGTHS = [4, 1, 6, 3]

each_readout = pytest.mark.parametrize("readout", READOUTS)
each_shape = pytest.mark.parametrize(("layers", "bidirectional"), list(product((1, 2), (False, True))))
each_variant = pytest.mark.parametrize("variant", VARIANTS)


class Doubling(nn.Module):
    """Stands where units are dropped, and can be seen there."""

    def forward(self, sequences: Tensor) -> Tensor:
        return 2 * sequences


def build(
    readout: str = "final", layers: int = 1, bidirectional: bool = False, variant: str = "lstm",
    inputs: nn.Module | None = None, width: int = INPUT, dropout: nn.Module | None = None,
) -> SequenceEncoder:  # fmt: skip
    torch.manual_seed(3)
    recurrent = Recurrent(VARIANTS[variant].build, width, HIDDEN, layers, bidirectional)
    encoder = SequenceEncoder(inputs or nn.Identity(), recurrent, dropout or nn.Identity(), readout).double()
    return randomized(encoder)  # type: ignore[no-any-return]


def padded(total: int, garbage: float) -> Tensor:
    """The same four sequences with ``garbage`` behind them up to ``total`` steps."""
    inputs = torch.full((len(LENGTHS), total, INPUT), garbage, dtype=torch.float64)
    for b, length in enumerate(LENGTHS):
        inputs[b, :length] = sequence(b)
    return inputs


def sequence(b: int) -> Tensor:
    return draw(LENGTHS[b], INPUT, seed=50 + b)


def measured(encoder: SequenceEncoder, inputs: Tensor, which: list[int]) -> dict[str, list[Tensor]]:
    """Real features, vectors of sequences, and the gradients of a fixed projection of both."""
    inputs, lengths = inputs.clone().requires_grad_(), torch.tensor([LENGTHS[b] for b in which])
    features, vectors = encoder.outputs(inputs, lengths), encoder.summary(inputs, lengths)
    assert vectors.shape == (len(which), encoder.output_size)
    real = [features[n, : LENGTHS[b]] for n, b in enumerate(which)]
    loss = sum((rows * draw(*rows.shape, seed=70 + b)).sum() for rows, b in zip(real, which, strict=True))
    loss = loss + sum((vectors[n] * draw(encoder.output_size, seed=80 + b)).sum() for n, b in enumerate(which))
    by_inputs, *by_parameters = torch.autograd.grad(loss, [inputs, *encoder.parameters()])
    return {"features": real, "vectors": list(vectors), "inputs": list(by_inputs), "parameters": by_parameters}


@each_shape
@each_readout
@pytest.mark.parametrize("garbage", [0.0, 1e3, -1e30])
def test_alone_equals_batched_equals_padded_with_garbage_forward_and_backward(
    garbage: float, readout: str, layers: int, bidirectional: bool
) -> None:
    encoder, everyone = build(readout, layers, bidirectional), list(range(len(LENGTHS)))
    alone = [measured(encoder, sequence(b)[None], [b]) for b in everyone]
    for total in (max(LENGTHS), 9):
        seen = measured(encoder, padded(total, garbage), everyone)
        for b, length in enumerate(LENGTHS):
            torch.testing.assert_close(seen["features"][b], alone[b]["features"][0], **EXACT)
            torch.testing.assert_close(seen["vectors"][b], alone[b]["vectors"][0], **EXACT)
            torch.testing.assert_close(seen["inputs"][b][:length], alone[b]["inputs"][0], **EXACT)
            assert not seen["inputs"][b][length:].any()
        for n, gradient in enumerate(seen["parameters"]):
            torch.testing.assert_close(gradient, sum(one["parameters"][n] for one in alone), **EXACT)


@each_shape
@each_readout
def test_a_summary_is_its_readout_of_the_outputs(readout: str, layers: int, bidirectional: bool) -> None:
    encoder, lengths = build(readout, layers, bidirectional, dropout=Doubling()), torch.tensor(LENGTHS)
    inputs = padded(7, 1e3)
    expected = READOUTS[readout](encoder.outputs(inputs, lengths), lengths, HIDDEN)
    assert torch.equal(encoder.summary(inputs, lengths), expected)


@each_variant
def test_features_are_those_of_the_recurrent_network_over_the_inputs_with_dropout_at_both_ends(variant: str) -> None:
    embedding = embed(VOCABULARY, INPUT, PADDING, 1.0)
    encoder = build(variant=variant, inputs=embedding, dropout=Doubling())
    tokens, lengths = torch.tensor([[1, 2, 3], [4, 5, 0]]), torch.tensor([3, 2])
    state = encoder.initial_state(2)
    expected, final = encoder.recurrent(2 * embedding(tokens), lengths, state)
    features, carried = encoder(tokens, lengths, state)
    outputs = encoder.outputs(tokens, lengths)
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(features[b, :length], 2 * expected[b, :length], **EXACT)
        torch.testing.assert_close(outputs[b, :length], 2 * expected[b, :length], **EXACT)
    for part, wanted in zip(carried[0], final[0], strict=True):
        torch.testing.assert_close(part, wanted, **EXACT)


@each_variant
def test_one_hot_inputs_are_an_embedding_whose_rows_are_the_columns_of_the_input_matrix(variant: str) -> None:
    one_hot = build(variant=variant, inputs=OneHot(VOCABULARY, PADDING), width=VOCABULARY)
    cell = one_hot.recurrent.layers[0].cell
    gates = len(cell.bias)
    table = embed(VOCABULARY, gates, PADDING, 1.0)
    embedded = build(variant=variant, inputs=table, width=gates)
    twin = embedded.recurrent.layers[0].cell
    with torch.no_grad():
        twin.load_state_dict({**cell.state_dict(), "weight_input": torch.eye(gates, dtype=torch.float64)})
        table.weight.copy_(cell.weight_input.T)
        table.weight[PADDING] = 0  # padding has no vector in either
    tokens, lengths = torch.tensor([[1, 2, 3, 6], [4, PADDING, 5, 0]]), torch.tensor([4, 3])
    one, two = one_hot.outputs(tokens, lengths), embedded.outputs(tokens, lengths)
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(one[b, :length], two[b, :length], **EXACT)
    torch.testing.assert_close(one_hot.summary(tokens, lengths), embedded.summary(tokens, lengths), **EXACT)


@pytest.mark.parametrize("locked", [False, True])
def test_locked_dropout_drops_the_same_units_at_every_step_and_plain_dropout_others(locked: bool) -> None:
    torch.manual_seed(0)
    encoder = build(dropout=LockedDropout(0.5) if locked else nn.Dropout(0.5))
    dropped = encoder.outputs(draw(30, 8, INPUT), torch.full((30,), 8)) == 0  # [B, T, H]
    assert 0.4 < dropped.double().mean() < 0.6
    assert (dropped == dropped[:, :1]).all() == locked
    assert not (dropped == dropped[:1]).all()  # and other ones of each sequence
    encoder.eval()
    assert (encoder.outputs(draw(30, 8, INPUT), torch.full((30,), 8)) != 0).all()


def test_an_unknown_readout_names_the_choices() -> None:
    with pytest.raises(
        BadInput, match=r"no readout 'finale' \(did you mean final\?\); choose one of last, final, mean"
    ):
        build("finale")
