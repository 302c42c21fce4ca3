"""What is read off outputs: the steps it says, and never padding."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from unroll.cells import cell_named
from unroll.cells.base import last_step
from unroll.errors import BadInput
from unroll.networks.readout import READOUTS, excluding, finals, maximum, mean, select
from unroll.networks.recurrent import Recurrent

INPUT, HIDDEN = 3, 4
LENGTHS = [4, 1, 6, 3]
STEPS = [[3, 0, 3], [0, 0, 0], [5, 1, 2], [2, 1, 0]]
EXACT = {"rtol": 0.0, "atol": 1e-10}
GARBAGE = [1e3, float("nan"), float("inf"), float("-inf")]

# smooth ones: a rectified unit that is off has no derivative by anything it reads
each_cell = pytest.mark.parametrize("cell", ["vanilla", "lstm", "gru"])
Row = list[float]
Reader = Callable[[Tensor, list[int], list[int]], Tensor]  # output, lengths, numbers of the sequences → result


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def sequence(b: int) -> Tensor:
    return draw(LENGTHS[b], 2 * HIDDEN, seed=50 + b)


def padded(total: int, garbage: float) -> Tensor:
    """The same four sequences with ``garbage`` behind them up to ``total`` steps."""
    output = torch.full((len(LENGTHS), total, 2 * HIDDEN), garbage, dtype=torch.float64)
    for b, length in enumerate(LENGTHS):
        output[b, :length] = sequence(b)
    return output


def hidden_before(which: list[int]) -> Tensor:
    return draw(len(LENGTHS), HIDDEN, seed=8)[which]


def hidden_after(which: list[int]) -> Tensor:
    return draw(len(LENGTHS), HIDDEN, seed=9)[which]


# What a sequence gives, row by row in plain Python; where it gives a row per step, one list per step.
def last_by_hand(rows: list[Row], b: int) -> list[Row]:
    return [rows[-1]]


def finals_by_hand(rows: list[Row], b: int) -> list[Row]:
    return [rows[-1][:HIDDEN] + rows[0][HIDDEN:]]


def mean_by_hand(rows: list[Row], b: int) -> list[Row]:
    return [[sum(unit) / len(rows) for unit in zip(*rows, strict=True)]]


def maximum_by_hand(rows: list[Row], b: int) -> list[Row]:
    return [[max(unit) for unit in zip(*rows, strict=True)]]


def select_by_hand(rows: list[Row], b: int) -> list[Row]:
    return [rows[step] for step in STEPS[b]]


def excluding_by_hand(rows: list[Row], b: int) -> list[Row]:
    forward = [hidden_before([b])[0].tolist(), *(row[:HIDDEN] for row in rows)]
    backward = [*(row[HIDDEN:] for row in rows), hidden_after([b])[0].tolist()]
    return [forward[t] + backward[t + 1] for t in range(len(rows))]


def excluding_from_zero_by_hand(rows: list[Row], b: int) -> list[Row]:
    nothing = [0.0] * HIDDEN
    forward, backward = [nothing, *(row[:HIDDEN] for row in rows)], [*(row[HIDDEN:] for row in rows), nothing]
    return [forward[t] + backward[t + 1] for t in range(len(rows))]


def one_row(pool: Callable[..., Tensor], *size: int) -> Reader:
    return lambda output, lengths, which: pool(output, torch.tensor(lengths), *size)[:, None]


CASES: dict[str, tuple[Reader, Callable[[list[Row], int], list[Row]]]] = {
    "last": (one_row(last_step), last_by_hand),
    "finals": (one_row(finals, HIDDEN), finals_by_hand),
    "mean": (one_row(mean), mean_by_hand),
    "maximum": (one_row(maximum), maximum_by_hand),
    "select": (
        lambda output, lengths, which: select(
            output, torch.tensor(lengths), torch.tensor([STEPS[b] for b in which])
        ),
        select_by_hand,
    ),
    "excluding": (
        lambda output, lengths, which: excluding(
            output, torch.tensor(lengths), HIDDEN, hidden_before(which), hidden_after(which)
        ),
        excluding_by_hand,
    ),
    "excluding, from zero": (
        lambda output, lengths, which: excluding(output, torch.tensor(lengths), HIDDEN),
        excluding_from_zero_by_hand,
    ),
}  # fmt: skip

each_case = pytest.mark.parametrize("name", CASES)


def measured(read: Reader, output: Tensor, lengths: list[int], which: list[int]) -> tuple[list[Tensor], Tensor]:
    """Real rows of each sequence's result, and the gradient of a fixed projection of them by the output."""
    output = output.clone().requires_grad_()
    result = read(output, lengths, which)
    real = [result[n, : LENGTHS[b]] if result.shape[1] == output.shape[1] else result[n] for n, b in enumerate(which)]
    loss = sum((rows * draw(*rows.shape, seed=70 + b)).sum() for rows, b in zip(real, which, strict=True))
    (gradient,) = torch.autograd.grad(loss, output)
    return [rows.detach() for rows in real], gradient


@each_case
def test_it_equals_plain_python_on_each_sequence(name: str) -> None:
    read, by_hand = CASES[name]
    real, _ = measured(read, padded(7, 1e3), LENGTHS, [0, 1, 2, 3])
    for b, rows in enumerate(real):
        torch.testing.assert_close(rows, rows.new_tensor(by_hand(sequence(b).tolist(), b)), **EXACT)


@each_case
@pytest.mark.parametrize("garbage", GARBAGE)
def test_alone_equals_batched_equals_padded_with_garbage_forward_and_backward(name: str, garbage: float) -> None:
    read, _ = CASES[name]
    everyone = list(range(len(LENGTHS)))
    for total in (max(LENGTHS), 9):
        real, gradient = measured(read, padded(total, garbage), LENGTHS, everyone)
        for b, length in enumerate(LENGTHS):
            alone, own = measured(read, sequence(b)[None], [length], [b])
            torch.testing.assert_close(real[b], alone[0], **EXACT)
            torch.testing.assert_close(gradient[b, :length], own[0], **EXACT)
            assert torch.equal(gradient[b, length:], torch.zeros_like(gradient[b, length:]))  # nor is any of it NaN


@each_case
def test_gradients_pass_gradcheck(name: str) -> None:
    read, _ = CASES[name]
    output = padded(6, 0.5).requires_grad_()  # a constant, which pooling may not see either

    def real(output: Tensor) -> tuple[Tensor, ...]:
        result = read(output, LENGTHS, [0, 1, 2, 3])
        return tuple(result[b, :n] if result.shape[1] == 6 else result[b] for b, n in enumerate(LENGTHS))

    assert torch.autograd.gradcheck(real, (output,))


def test_every_readout_gives_one_vector_per_sequence_and_is_the_function_of_its_name() -> None:
    output, lengths = padded(7, 1e3), torch.tensor(LENGTHS)
    expected = {
        "last": last_step(output, lengths),
        "final": finals(output, lengths, HIDDEN),
        "mean": mean(output, lengths),
        "max": maximum(output, lengths),
    }
    assert READOUTS.keys() == expected.keys()
    for name, readout in READOUTS.items():
        assert torch.equal(readout(output, lengths, HIDDEN), expected[name])
        assert expected[name].shape == (len(LENGTHS), 2 * HIDDEN)
        assert torch.equal(pickle.loads(pickle.dumps(readout))(output, lengths, HIDDEN), expected[name])
    for one, other in pairwise(expected.values()):
        assert not torch.equal(one, other)


@pytest.mark.parametrize("bidirectional", [False, True])
@each_cell
def test_finals_are_the_final_states_of_each_direction(cell: str, bidirectional: bool) -> None:
    network, lengths = build(cell, bidirectional=bidirectional), torch.tensor(LENGTHS)
    output, state = network(draw(len(LENGTHS), 7, INPUT), lengths, network.initial_state(len(LENGTHS)))
    torch.testing.assert_close(finals(output, lengths, HIDDEN), torch.cat([s.hidden for s in state], dim=-1), **EXACT)


@pytest.mark.parametrize(("row", "step"), [(0, 4), (1, 1), (2, 6), (3, -1)])
def test_a_step_that_a_sequence_does_not_have_is_an_error_that_names_it(row: int, step: int) -> None:
    steps = torch.tensor(STEPS)
    steps[row, 1] = step
    with pytest.raises(BadInput, match=rf"Sequence {row} has {LENGTHS[row]} steps.* no step {step} ") as caught:
        select(padded(7, 1e3), torch.tensor(LENGTHS), steps)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("width", [HIDDEN, 2 * HIDDEN - 1, 3 * HIDDEN])
def test_a_step_is_excluded_from_two_directions_only(width: int) -> None:
    with pytest.raises(BadInput, match=f"{width} units.*both directions"):
        excluding(draw(2, 5, width), torch.tensor([5, 4]), HIDDEN)


def build(cell: str, layers: int = 1, bidirectional: bool = True) -> Recurrent:
    torch.manual_seed(3)
    return Recurrent(cell_named(cell), INPUT, HIDDEN, layers, bidirectional, 0.0).double()


def influence(read: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """Largest derivative of any unit at step t by any number of step s: [B, T, T] of |d result_t / d input_s|."""
    by_input = torch.autograd.functional.jacobian(read, inputs)  # [B, T, 2 · H, B, T, I]
    own = torch.stack([by_input[b, :, :, b] for b in range(len(inputs))])  # [B, T, 2 · H, T, I]
    assert by_input.count_nonzero() == own.count_nonzero()  # no sequence tells another anything
    return own.abs().amax(dim=(2, 4))


def expect_all_but_itself(seen: Tensor) -> None:
    for b, length in enumerate(LENGTHS):
        real, itself = seen[b, :length, :length], torch.eye(length, dtype=torch.bool)
        assert torch.equal(real[itself], torch.zeros(length, dtype=torch.float64))
        assert (real[~itself] > 0).all()
        assert not seen[b, :length, length:].any()


@each_cell
def test_excluding_depends_on_every_word_but_the_one_at_its_own_step(cell: str) -> None:
    network, lengths = build(cell), torch.tensor(LENGTHS)
    inputs = draw(len(LENGTHS), 7, INPUT)
    expect_all_but_itself(influence(lambda x: excluding(network.outputs(x, lengths), lengths, HIDDEN), inputs))


@each_cell
def test_another_word_at_a_step_changes_all_steps_but_that(cell: str) -> None:
    network, lengths, inputs = build(cell), torch.tensor([6]), draw(1, 6, INPUT)
    before = excluding(network.outputs(inputs, lengths), lengths, HIDDEN)
    for t in range(6):
        other = inputs.clone()
        other[0, t] = draw(INPUT, seed=40 + t)
        after = excluding(network.outputs(other, lengths), lengths, HIDDEN)
        assert [torch.equal(before[0, s], after[0, s]) for s in range(6)] == [s == t for s in range(6)]


@each_cell
def test_a_second_bidirectional_layer_tells_the_word_and_two_stacks_of_one_direction_do_not(cell: str) -> None:
    lengths, inputs = torch.tensor(LENGTHS), draw(len(LENGTHS), 7, INPUT)
    crossed = build(cell, layers=2)
    seen = influence(lambda x: excluding(crossed.outputs(x, lengths), lengths, HIDDEN), inputs)
    assert all((seen[b, :n, :n].diagonal() > 0).all() for b, n in enumerate(LENGTHS) if n > 1)

    forward, backward = build(cell, 2, bidirectional=False), build(cell, 2, bidirectional=False)
    turn = torch.arange(7).repeat(len(LENGTHS), 1)
    for b, length in enumerate(LENGTHS):
        turn[b, :length] = turn[b, :length].flip(0)
    everyone = torch.arange(len(LENGTHS))[:, None]

    def apart(inputs: Tensor) -> Tensor:
        turned = backward.outputs(inputs[everyone, turn], lengths)[everyone, turn]
        return excluding(torch.cat([forward.outputs(inputs, lengths), turned], dim=-1), lengths, HIDDEN)

    expect_all_but_itself(influence(apart, inputs))
