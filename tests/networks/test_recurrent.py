"""Any cell, stacked, in one direction or two: padding is invisible, state is what it says."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

from unroll.cells import CELLS
from unroll.errors import BadInput
from unroll.networks.recurrent import Recurrent, RecurrentLayer

INPUT, HIDDEN = 3, 4
LENGTHS = [4, 1, 6, 3]
EXACT = {"rtol": 0.0, "atol": 1e-10}

each_variant = pytest.mark.parametrize(
    ("cell", "layers", "bidirectional"),
    [pytest.param(c, n, b, id=f"{c}-{n}x{1 + b}") for c, n, b in product(CELLS, (1, 2), (False, True))],
)
each_stack = pytest.mark.parametrize(("cell", "layers"), list(product(CELLS, (1, 2))))


def build(cell: str, layers: int, bidirectional: bool, dropout: float = 0.0) -> Recurrent:
    torch.manual_seed(3)
    return Recurrent(cell, INPUT, HIDDEN, layers, bidirectional, dropout).double()


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some_state(network: Recurrent, batch_size: int) -> tuple[Any, ...]:
    zero = network.initial_state(batch_size)
    return tuple(
        type(cell)(*(draw(*part.shape, seed=100 + 10 * n + m) for m, part in enumerate(cell)))
        for n, cell in enumerate(zero)
    )


def rows(state: tuple[Any, ...], b: int) -> tuple[Any, ...]:
    """State of sequence ``b`` alone."""
    return tuple(type(cell)(*(part[b : b + 1] for part in cell)) for cell in state)


def padded(total: int, seed: int) -> Tensor:
    """The same four sequences, with garbage of ``seed`` behind them up to ``total`` steps."""
    inputs = 1e3 * draw(len(LENGTHS), total, INPUT, seed=seed)
    for b, length in enumerate(LENGTHS):
        inputs[b, :length] = draw(length, INPUT, seed=50 + b)
    return inputs


def measured(network: Recurrent, inputs: Tensor, lengths: list[int], state: tuple[Any, ...], which: list[int]) -> Any:
    """Real outputs, final states, gradients by real inputs and by parameters of a fixed projection of them all."""
    inputs = inputs.clone().requires_grad_()
    output, finals = network(inputs, torch.tensor(lengths), state)
    loss = torch.zeros((), dtype=torch.float64)
    for row, (b, length) in enumerate(zip(which, lengths, strict=True)):
        loss = loss + (output[row, :length] * draw(length, output.shape[-1], seed=200 + b)).sum()
        for n, part in enumerate(part for cell in finals for part in cell):
            loss = loss + (part[row] * draw(HIDDEN, seed=300 + 20 * b + n)).sum()
    by_inputs, *by_parameters = torch.autograd.grad(loss, [inputs, *network.parameters()])
    return output, finals, by_inputs, by_parameters


@each_variant
def test_alone_equals_batched_equals_more_padding_forwards_and_backwards(
    cell: str, layers: int, bidirectional: bool
) -> None:
    network = build(cell, layers, bidirectional)
    state, everyone = some_state(network, len(LENGTHS)), list(range(len(LENGTHS)))
    alone = [
        measured(network, padded(6, 7)[b : b + 1, :length], [length], rows(state, b), [b])
        for b, length in enumerate(LENGTHS)
    ]
    sums = [sum(gradients) for gradients in zip(*(gradients for *_, gradients in alone), strict=True)]
    for total, garbage in ((6, 7), (6, 8), (9, 9)):
        output, finals, by_inputs, by_parameters = measured(network, padded(total, garbage), LENGTHS, state, everyone)
        for b, length in enumerate(LENGTHS):
            torch.testing.assert_close(output[b, :length], alone[b][0][0], **EXACT)
            torch.testing.assert_close(by_inputs[b, :length], alone[b][2][0], **EXACT)
            assert not by_inputs[b, length:].any()
            for final, wanted in zip(rows(finals, b), alone[b][1], strict=True):
                for part, expected in zip(final, wanted, strict=True):
                    torch.testing.assert_close(part, expected, **EXACT)
        for gradient, expected in zip(by_parameters, sums, strict=True):
            torch.testing.assert_close(gradient, expected, **EXACT)


@each_variant
def test_final_states_are_those_at_the_last_real_step(cell: str, layers: int, bidirectional: bool) -> None:
    network, lengths = build(cell, layers, bidirectional), torch.tensor(LENGTHS)
    output, finals = network(padded(9, 4), lengths, some_state(network, len(LENGTHS)))
    everyone = torch.arange(len(LENGTHS))
    top = finals[-network.directions :]
    torch.testing.assert_close(top[0].hidden, output[everyone, lengths - 1, :HIDDEN], **EXACT)
    if bidirectional:  # read backwards, the last step is the first
        torch.testing.assert_close(top[1].hidden, output[:, 0, HIDDEN:], **EXACT)


@each_variant
def test_a_stack_is_its_layers_by_hand_from_the_given_state(cell: str, layers: int, bidirectional: bool) -> None:
    network = build(cell, layers, bidirectional)
    state, inputs = some_state(network, len(LENGTHS)), padded(7, 5)
    output, finals = network(inputs, torch.tensor(LENGTHS), state)
    assert len(finals) == layers * network.directions
    for b, length in enumerate(LENGTHS):
        steps, own, ends = list(inputs[b : b + 1, :length].unbind(1)), rows(state, b), []
        for depth in range(layers):
            sides = []
            for direction in range(network.directions):
                number = depth * network.directions + direction
                one, now = network.layers[number].cell, own[number]
                made: list[Tensor] = []
                for step in reversed(steps) if direction else steps:
                    out, now = one(step, now)
                    made.append(out)
                sides.append(made[::-1] if direction else made)
                ends.append(now)
            steps = [torch.cat(parts, dim=-1) for parts in zip(*sides, strict=True)]
        torch.testing.assert_close(output[b : b + 1, :length], torch.stack(steps, dim=1), **EXACT)
        for final, expected in zip(rows(finals, b), ends, strict=True):
            for part, wanted in zip(final, expected, strict=True):
                torch.testing.assert_close(part, wanted, **EXACT)


@each_variant
def test_outputs_alone_are_those_of_forward(cell: str, layers: int, bidirectional: bool) -> None:
    network, lengths, inputs = build(cell, layers, bidirectional), torch.tensor(LENGTHS), padded(7, 6)
    short, (long, _) = network.outputs(inputs, lengths), network(inputs, lengths, network.initial_state(len(LENGTHS)))
    for b, length in enumerate(LENGTHS):
        torch.testing.assert_close(short[b, :length], long[b, :length], **EXACT)


@each_stack
def test_two_windows_with_carried_state_equal_one_pass(cell: str, layers: int) -> None:
    network, inputs, state = build(cell, layers, False), draw(2, 7, INPUT), None
    state = some_state(network, 2)
    lengths, cut = torch.tensor([7, 5]), 3  # the second sequence ends within the second window
    whole, end = network(inputs, lengths, state)
    first, middle = network(inputs[:, :cut], torch.tensor([cut, cut]), state)
    second, last = network(inputs[:, cut:], lengths - cut, middle)
    joined = torch.cat([first, second], dim=1)
    for b, length in enumerate(lengths.tolist()):
        torch.testing.assert_close(joined[b, :length], whole[b, :length], **EXACT)
    for one, two in zip(end, last, strict=True):
        for part, wanted in zip(two, one, strict=True):
            torch.testing.assert_close(part, wanted, **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_the_backward_direction_reads_the_reversed_input(cell: str) -> None:
    step = build(cell, 1, False).layers[0].cell
    forwards, backwards = RecurrentLayer(step, backward=False), RecurrentLayer(step, backward=True)
    inputs, lengths = padded(7, 2), torch.tensor(LENGTHS)
    turned = inputs.clone()
    for b, length in enumerate(LENGTHS):
        turned[b, :length] = inputs[b, :length].flip(0)
    state = some_state(build(cell, 1, False), len(LENGTHS))[0]
    output, final = backwards(inputs, lengths, state)
    expected, expected_final = forwards(turned, lengths, state)
    for b, length in enumerate(LENGTHS):
        torch.testing.assert_close(output[b, :length], expected[b, :length].flip(0), **EXACT)
    for part, wanted in zip(final, expected_final, strict=True):
        torch.testing.assert_close(part, wanted, **EXACT)


@pytest.mark.parametrize("cell", CELLS)
def test_dropout_stands_between_layers_and_nowhere_else(cell: str) -> None:
    inputs, lengths = draw(2, 5, INPUT), torch.tensor([5, 5])
    for layers in (1, 2):
        network = build(cell, layers, False, dropout=0.5)
        dropped, kept = network.outputs(inputs, lengths), network.eval().outputs(inputs, lengths)
        assert torch.equal(dropped, kept) == (layers == 1)


def test_an_unknown_cell_is_an_error_that_lists_the_choices() -> None:
    with pytest.raises(BadInput, match="'lstn'") as caught:
        Recurrent("lstn", INPUT, HIDDEN, 1, False, 0.0)
    assert all(name in str(caught.value) for name in CELLS)
