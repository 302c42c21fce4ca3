"""The contract of every cell: its equations, its fused form, its gradients, its parameters."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

import unroll.cells
from unroll.cells import CELLS, Cell, LSTMCell

BATCH, TIME, INPUT, HIDDEN = 3, 4, 3, 5
EXACT = {"rtol": 0.0, "atol": 1e-10}

Row = list[float]
Parameters = dict[str, Any]  # name → nested lists of numbers


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def gate(p: Parameters, number: int, unit: int, x: Row, h: Row) -> float:
    """x U + h W + b of one unit of one gate, summed number by number."""
    row = number * HIDDEN + unit
    return dot(p["weight_input"][row], x) + dot(p["weight_recurrent"][row], h) + p["bias"][row]


def textbook_vanilla(p: Parameters, x: Row, state: tuple[Row, ...]) -> tuple[Row, ...]:
    (h,) = state
    return ([math.tanh(gate(p, 0, j, x, h)) for j in range(HIDDEN)],)


def textbook_lstm(p: Parameters, x: Row, state: tuple[Row, ...]) -> tuple[Row, ...]:
    h, c = state
    new_h, new_c = [], []
    for j in range(HIDDEN):
        i, f, o = (sigmoid(gate(p, number, j, x, h)) for number in (0, 1, 3))
        g = math.tanh(gate(p, 2, j, x, h))
        new_c.append(f * c[j] + i * g)
        new_h.append(o * math.tanh(new_c[j]))
    return new_h, new_c


def textbook_gru(p: Parameters, x: Row, state: tuple[Row, ...]) -> tuple[Row, ...]:
    (h,) = state
    new = []
    for j in range(HIDDEN):
        r, z = (sigmoid(gate(p, number, j, x, h)) for number in (0, 1))
        row = 2 * HIDDEN + j
        recurrent = dot(p["weight_recurrent"][row], h) + p["bias_candidate"][j]
        n = math.tanh(dot(p["weight_input"][row], x) + p["bias"][row] + r * recurrent)
        new.append((1 - z) * n + z * h[j])
    return (new,)


class Case(NamedTuple):
    """What a cell is held against."""

    textbook: Callable[[Parameters, Row, tuple[Row, ...]], tuple[Row, ...]]  # the state after a step, output first
    parameters: int
    torch: type[nn.RNNBase] | None  # the module of torch with the same equations, where there is one


CASES = {
    "vanilla": Case(textbook_vanilla, HIDDEN * (INPUT + HIDDEN + 1), nn.RNN),
    "lstm": Case(textbook_lstm, 4 * HIDDEN * (INPUT + HIDDEN + 1), nn.LSTM),
    "gru": Case(textbook_gru, 3 * HIDDEN * (INPUT + HIDDEN + 1) + HIDDEN, nn.GRU),
}

each_cell = pytest.mark.parametrize("name", CELLS)


def build(name: str, input_size: int = INPUT, hidden_size: int = HIDDEN) -> Cell:
    torch.manual_seed(7)
    return CELLS[name](input_size, hidden_size).double()


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some_state(cell: Cell, batch_size: int = BATCH) -> Any:
    zero = cell.initial_state(batch_size)
    return type(zero)(*(draw(*part.shape, seed=2 + n) for n, part in enumerate(zero)))


def stepped(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    outputs = []
    for t in range(inputs.shape[1]):
        output, state = cell(inputs[:, t], state)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state


def with_gradients(cell: Cell, run: Callable[..., tuple[Tensor, Any]], inputs: Tensor, state: Any) -> dict[str, Tensor]:
    """Output, final state and the gradient of a random projection of both by everything that went in."""
    leaves = {"inputs": inputs.clone().requires_grad_()}
    leaves |= {f"state {n}": part.clone().requires_grad_() for n, part in enumerate(state)}
    start = type(state)(*(leaves[f"state {n}"] for n in range(len(state))))
    output, final = run(cell, leaves["inputs"], start)
    loss = sum((part * draw(*part.shape, seed=20 + n)).sum() for n, part in enumerate((output, *final)))
    wanted = leaves | dict(cell.named_parameters())
    gradients = torch.autograd.grad(loss, list(wanted.values()))
    seen = {"output": output} | {f"final {n}": part for n, part in enumerate(final)}
    return {k: v.detach() for k, v in seen.items()} | {
        f"d {name}": gradient for name, gradient in zip(wanted, gradients, strict=True)
    }


def test_every_cell_in_the_package_is_exported_and_covered_here() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(unroll.cells.__path__, "unroll.cells.")]
    defined = {
        thing
        for module in modules
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, Cell) and not inspect.isabstract(thing)
    }
    assert defined == set(CELLS.values())
    assert {cell.__name__ for cell in defined} <= set(unroll.cells.__all__)
    assert set(CASES) == set(CELLS)


@each_cell
def test_equations_equal_a_scalar_textbook_loop(name: str) -> None:
    cell, inputs = build(name), draw(BATCH, TIME, INPUT)
    parameters = {key: value.tolist() for key, value in cell.named_parameters()}
    state = some_state(cell)
    by_hand = [tuple(part[b].tolist() for part in state) for b in range(BATCH)]
    for t in range(TIME):
        output, state = cell(inputs[:, t], state)
        by_hand = [CASES[name].textbook(parameters, inputs[b, t].tolist(), by_hand[b]) for b in range(BATCH)]
        for b in range(BATCH):
            torch.testing.assert_close(output[b], draw(0).new_tensor(by_hand[b][0]), **EXACT)
            for part, expected in zip(state, by_hand[b], strict=True):
                torch.testing.assert_close(part[b], part.new_tensor(expected), **EXACT)


@each_cell
def test_fused_equals_stepping_in_outputs_final_state_and_every_gradient(name: str) -> None:
    cell, inputs = build(name), draw(BATCH, TIME, INPUT)
    state = some_state(cell)
    slow = with_gradients(cell, stepped, inputs, state)
    fast = with_gradients(cell, lambda cell, *rest: cell.fused(*rest), inputs, state)
    assert slow.keys() == fast.keys()
    for key in slow:
        torch.testing.assert_close(fast[key], slow[key], **EXACT, msg=lambda text, key=key: f"{key}: {text}")


@each_cell
def test_gradients_of_a_step_pass_gradcheck(name: str) -> None:
    cell, inputs = build(name, 2, 3), draw(2, 2).requires_grad_()  # small: every number is nudged
    state = some_state(cell, 2)
    leaves = [part.requires_grad_() for part in state]
    names = [key for key, _ in cell.named_parameters()]
    parameters = [value.detach().clone().requires_grad_() for value in cell.parameters()]

    def step(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        start, weights = type(state)(*rest[: len(leaves)]), dict(zip(names, rest[len(leaves) :], strict=True))
        output, final = functional_call(cell, weights, (inputs, start))
        return output, *final

    assert torch.autograd.gradcheck(step, (inputs, *leaves, *parameters))


@each_cell
def test_parameters_are_counted_by_the_closed_formula(name: str) -> None:
    # One bias per gate; the GRU's candidate has one more, which stands inside its reset gate.
    assert sum(parameter.numel() for parameter in build(name).parameters()) == CASES[name].parameters


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.torch])
def test_weights_copied_into_torchs_module_give_the_same_outputs(name: str) -> None:
    cell, inputs = build(name), draw(BATCH, TIME, INPUT)
    module = CASES[name].torch
    assert module is not None
    twin = module(INPUT, HIDDEN, batch_first=True).double()
    second = torch.zeros_like(cell.bias)
    if name == "gru":
        second[2 * HIDDEN :] = cell.bias_candidate
    copies = {"weight_ih_l0": cell.weight_input, "weight_hh_l0": cell.weight_recurrent, "bias_ih_l0": cell.bias}
    twin.load_state_dict({key: value.detach() for key, value in (copies | {"bias_hh_l0": second}).items()})
    state = some_state(cell)
    start = tuple(part[None] for part in state)
    expected, final = twin(inputs, start if len(start) > 1 else start[0])
    finals = final if isinstance(final, tuple) else (final,)
    for run in (cell.fused, lambda inputs, state: stepped(cell, inputs, state)):
        output, state_after = run(inputs, state)
        torch.testing.assert_close(output, expected, **EXACT)
        for part, torchs in zip(state_after, finals, strict=True):
            torch.testing.assert_close(part, torchs[0], **EXACT)


@each_cell
def test_final_state_of_a_padded_batch_is_that_of_each_sequence_alone(name: str) -> None:
    cell, lengths = build(name), torch.tensor([3, 5, 1, 4])  # unsorted, and with one that fills the batch
    inputs = draw(4, 5, INPUT)
    inputs[torch.arange(5)[None] >= lengths[:, None]] *= 1e3  # padding is garbage, not zeros
    inputs.requires_grad_()
    state = some_state(cell, 4)
    final = cell.final_state(inputs, cell.fused(inputs, state)[0], lengths, state)
    weights = [draw(4, HIDDEN, seed=30 + n) for n in range(len(final))]
    (gradient,) = torch.autograd.grad(sum((p * w).sum() for p, w in zip(final, weights, strict=True)), inputs)
    for b, length in enumerate(lengths.tolist()):
        alone = inputs[b : b + 1, :length].detach().requires_grad_()
        _, expected = stepped(cell, alone, type(state)(*(part[b : b + 1] for part in state)))
        for part, wanted in zip(final, expected, strict=True):
            torch.testing.assert_close(part[b], wanted[0], **EXACT)
        loss = sum((p[0] * w[b]).sum() for p, w in zip(expected, weights, strict=True))
        (wanted_gradient,) = torch.autograd.grad(loss, alone)
        torch.testing.assert_close(gradient[b, :length], wanted_gradient[0], **EXACT)
        assert not gradient[b, length:].any()


@each_cell
def test_a_call_leaves_nothing_behind_in_the_cell(name: str) -> None:
    cell, inputs = build(name), draw(BATCH, INPUT)
    state = some_state(cell)
    before = [part.clone() for part in state]
    first, _ = cell(inputs, state)
    cell(draw(BATCH, INPUT, seed=9), cell.initial_state(BATCH))
    cell.fused(draw(BATCH, TIME, INPUT, seed=10), cell.initial_state(BATCH))
    second, _ = cell(inputs, state)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, state, strict=True))


@each_cell
def test_every_state_is_one_named_tuple_that_starts_at_zero(name: str) -> None:
    cell = build(name)
    zero = cell.initial_state(BATCH)
    assert hasattr(zero, "_fields")
    assert all(part.shape == (BATCH, HIDDEN) and part.dtype == torch.float64 and not part.any() for part in zero)
    stepped_state = cell(draw(BATCH, INPUT), zero)[1]
    fused_state = cell.fused(draw(BATCH, TIME, INPUT), zero)[1]
    assert type(stepped_state) is type(fused_state) is type(zero)


@each_cell
def test_every_parameter_is_drawn_within_one_over_root_hidden(name: str) -> None:
    torch.manual_seed(0)
    cell, bound = CELLS[name](INPUT, 64), 1 / math.sqrt(64)
    drawn = dict(cell.named_parameters())
    if isinstance(cell, LSTMCell):
        drawn["bias"] = drawn["bias"].view(4, 64)[[0, 2, 3]]  # the forget bias has a promise of its own
    for parameter in drawn.values():
        # 64 numbers and more, all in one half of the range, would be a constant or another distribution
        assert parameter.abs().max() <= bound
        assert parameter.min() < -bound / 2
        assert parameter.max() > bound / 2


def test_the_forget_bias_of_an_lstm_starts_at_one_and_no_other_does() -> None:
    biases = LSTMCell(INPUT, HIDDEN).bias.view(4, HIDDEN)  # i f g o
    assert torch.equal(biases[1], torch.ones(HIDDEN))
    assert (biases[[0, 2, 3]].abs() < 1).all()
