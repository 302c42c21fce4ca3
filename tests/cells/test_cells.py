"""The contract of every cell in every published form: its equations, gradients, parameters, extremes and name."""

from __future__ import annotations

import importlib
import inspect
import math
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

import unroll.cells
from unroll.cells import (
    Cell,
    CoupledLSTMCell,
    GRUCell,
    IRNNCell,
    LSTMCell,
    PeepholeLSTMCell,
    VanillaCell,
    cell_named,
)  # fmt: skip
from unroll.cells.gru import RESETS
from unroll.cells.vanilla import NONLINEARITIES
from unroll.errors import BadInput
from unroll.networks.scan import scan

BATCH, TIME, INPUT, HIDDEN = 3, 4, 3, 5
EXACT = {"rtol": 0.0, "atol": 1e-10}

Row = list[float]
State = tuple[Row, ...]  # of one sequence, output first
Parameters = dict[str, Any]  # name → nested lists of numbers


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


PHI = {"tanh": math.tanh, "relu": lambda a: max(0.0, a), "sigmoid": sigmoid, "identity": lambda a: a}


def dot(a: Row, b: Row) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def times(weight: list[Row], x: Row) -> Row:
    """x times a matrix, number by number."""
    return [dot(row, x) for row in weight]


def normal(p: Parameters, name: str, a: Row) -> Row:
    """Layer normalisation, (a − μ) / √(σ² + ε) · gain + shift, where the cell has one of that name."""
    if f"{name}.weight" not in p:
        return a
    mean = sum(a) / len(a)
    variance = sum((x - mean) ** 2 for x in a) / len(a)
    scaled = [(x - mean) / math.sqrt(variance + 1e-5) for x in a]
    return [x * g + b for x, g, b in zip(scaled, p[f"{name}.weight"], p[f"{name}.bias"], strict=True)]


def of_input(p: Parameters, x: Row) -> Row:
    """x U + b, or LN(x U) + b."""
    return [a + b for a, b in zip(normal(p, "norm_input", times(p["weight_input"], x)), p["bias"], strict=True)]


def activations(p: Parameters, x: Row, h: Row) -> list[Row]:
    """x U + h W + b, or LN(x U) + LN(h W) + b, gate by gate."""
    recurrent = normal(p, "norm_recurrent", times(p["weight_recurrent"], h))
    both = [a + b for a, b in zip(of_input(p, x), recurrent, strict=True)]
    return [both[n : n + HIDDEN] for n in range(0, len(both), HIDDEN)]


def vanilla(phi: str) -> Callable[[Parameters, Row, State], State]:
    return lambda p, x, state: ([PHI[phi](a) for a in activations(p, x, state[0])[0]],)


def handed_out(p: Parameters, o: Row, c: Row) -> State:
    """h = o ∘ tanh(c), or o ∘ tanh(LN(c)), and c itself."""
    return [o[j] * math.tanh(m) for j, m in enumerate(normal(p, "norm_cell", c))], c


def lstm(p: Parameters, x: Row, state: State) -> State:
    h, c = state
    i, f, g, o = activations(p, x, h)
    new = [sigmoid(f[j]) * c[j] + sigmoid(i[j]) * math.tanh(g[j]) for j in range(HIDDEN)]
    return handed_out(p, [sigmoid(a) for a in o], new)


def coupled_lstm(p: Parameters, x: Row, state: State) -> State:
    h, c = state
    f, g, o = activations(p, x, h)
    new = [sigmoid(f[j]) * c[j] + (1 - sigmoid(f[j])) * math.tanh(g[j]) for j in range(HIDDEN)]
    return handed_out(p, [sigmoid(a) for a in o], new)


def peephole_lstm(p: Parameters, x: Row, state: State) -> State:
    h, c = state
    i, f, g, o = activations(p, x, h)
    p_i, p_f, p_o = (p["weight_peephole"][n * HIDDEN : (n + 1) * HIDDEN] for n in range(3))
    new = []
    for j in range(HIDDEN):
        keep, write = sigmoid(f[j] + p_f[j] * c[j]), sigmoid(i[j] + p_i[j] * c[j])
        new.append(keep * c[j] + write * math.tanh(g[j]))
    return handed_out(p, [sigmoid(o[j] + p_o[j] * new[j]) for j in range(HIDDEN)], new)


def gru_reset_after(p: Parameters, x: Row, state: State) -> State:
    (h,) = state
    recurrent, projected = normal(p, "norm_recurrent", times(p["weight_recurrent"], h)), of_input(p, x)
    new = []
    for j in range(HIDDEN):
        r, z = (sigmoid(projected[n * HIDDEN + j] + recurrent[n * HIDDEN + j]) for n in range(2))
        n = math.tanh(projected[2 * HIDDEN + j] + r * (recurrent[2 * HIDDEN + j] + p["bias_candidate"][j]))
        new.append((1 - z) * n + z * h[j])
    return (new,)


def gru_reset_before(p: Parameters, x: Row, state: State) -> State:
    (h,) = state
    gates, candidate = p["weight_recurrent"][: 2 * HIDDEN], p["weight_recurrent"][2 * HIDDEN :]
    recurrent, projected = normal(p, "norm_recurrent", times(gates, h)), of_input(p, x)
    r = [sigmoid(projected[j] + recurrent[j]) for j in range(HIDDEN)]
    z = [sigmoid(projected[HIDDEN + j] + recurrent[HIDDEN + j]) for j in range(HIDDEN)]
    reset = normal(p, "norm_candidate", times(candidate, [a * b for a, b in zip(r, h, strict=True)]))
    n = [math.tanh(projected[2 * HIDDEN + j] + reset[j]) for j in range(HIDDEN)]
    return ([(1 - z[j]) * n[j] + z[j] * h[j] for j in range(HIDDEN)],)


class Variant(NamedTuple):
    """A cell in one of its published forms, and what it is held against."""

    build: Callable[[int, int], Cell]
    textbook: Callable[[Parameters, Row, State], State]  # the state after a step
    gates: int
    extra: int = 0  # numbers per hidden unit beside one row of U, one of W and one bias per gate


VARIANTS = {
    **{f"vanilla-{phi}": Variant(lambda i, h, phi=phi: VanillaCell(i, h, phi), vanilla(phi), 1) for phi in PHI},
    "irnn": Variant(IRNNCell, vanilla("relu"), 1),
    "lstm": Variant(LSTMCell, lstm, 4),
    "coupled-lstm": Variant(CoupledLSTMCell, coupled_lstm, 3),
    "peephole-lstm": Variant(PeepholeLSTMCell, peephole_lstm, 4, extra=3),
    "gru-after": Variant(GRUCell, gru_reset_after, 3, extra=1),
    "gru-before": Variant(lambda i, h: GRUCell(i, h, "before"), gru_reset_before, 3),
}

each_variant = pytest.mark.parametrize("variant", VARIANTS)
each_norm = pytest.mark.parametrize("normalized", [False, True], ids=["plain", "normalized"])
with_memory = pytest.mark.parametrize("variant", ["lstm", "coupled-lstm", "peephole-lstm"])


def build(variant: str, input_size: int = INPUT, hidden_size: int = HIDDEN, normalized: bool = False) -> Cell:
    """A cell of numbers drawn at random, those included that would start at a constant."""
    torch.manual_seed(7)
    cell = VARIANTS[variant].build(input_size, hidden_size)
    if normalized:
        cell.normalize()
    return randomized(cell.double())


def randomized(module: Any) -> Any:
    """Add noise to every parameter, so that none is a constant which another could stand for."""
    with torch.no_grad():
        for number, parameter in enumerate(module.parameters()):
            parameter += 0.3 * draw(*parameter.shape, seed=1000 + number)
    return module


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def some_state(cell: Cell, batch_size: int = BATCH) -> Any:
    zero = cell.initial_state(batch_size)
    return type(zero)(*(draw(*part.shape, seed=2 + n) for n, part in enumerate(zero)))


def stepped(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    """The loop that a person would write: one call of the cell per step."""
    outputs = []
    for t in range(inputs.shape[1]):
        output, state = cell(inputs[:, t], state)
        outputs.append(output)
    return torch.stack(outputs, dim=1), state


def scanned(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    return scan(cell, inputs, torch.full((len(inputs),), inputs.shape[1]), state)


each_way = pytest.mark.parametrize("run", [stepped, scanned])


def test_every_cell_of_the_package_is_exported_and_covered_here_in_every_form() -> None:
    modules = [importlib.import_module(m.name) for m in pkgutil.iter_modules(unroll.cells.__path__, "unroll.cells.")]
    defined = {
        thing
        for module in modules
        for thing in vars(module).values()
        if inspect.isclass(thing) and issubclass(thing, Cell) and not inspect.isabstract(thing)
    }
    exported = [getattr(unroll.cells, name) for name in unroll.cells.__all__]
    cells = [variant.build(INPUT, HIDDEN) for variant in VARIANTS.values()]
    assert {type(cell) for cell in cells} == defined
    assert {e for e in exported if inspect.isclass(e) and issubclass(e, Cell) and not inspect.isabstract(e)} == defined
    assert {cell.nonlinearity for cell in cells if type(cell) is VanillaCell} == set(NONLINEARITIES)
    assert {cell.reset for cell in cells if type(cell) is GRUCell} == set(RESETS)


@each_norm
@each_variant
def test_equations_equal_a_scalar_textbook_loop(variant: str, normalized: bool) -> None:
    cell, inputs = build(variant, normalized=normalized), draw(BATCH, TIME, INPUT)
    parameters = {name: value.tolist() for name, value in cell.named_parameters()}
    assert ("norm_recurrent.weight" in parameters) == normalized
    assert ("norm_cell.weight" in parameters) == (normalized and len(cell.initial_state(1)) == 2)
    state = some_state(cell)
    by_hand = [tuple(part[b].tolist() for part in state) for b in range(BATCH)]
    for t in range(TIME):
        output, state = cell(inputs[:, t], state)
        by_hand = [VARIANTS[variant].textbook(parameters, inputs[b, t].tolist(), by_hand[b]) for b in range(BATCH)]
        for b in range(BATCH):
            torch.testing.assert_close(output[b], output.new_tensor(by_hand[b][0]), **EXACT)
            for part, expected in zip(state, by_hand[b], strict=True):
                torch.testing.assert_close(part[b], part.new_tensor(expected), **EXACT)


@each_norm
@each_variant
def test_gradients_of_a_step_pass_gradcheck(variant: str, normalized: bool) -> None:
    cell, inputs = build(variant, 2, 3, normalized), draw(2, 2).requires_grad_()  # small: every number is nudged
    state = some_state(cell, 2)
    leaves = [part.requires_grad_() for part in state]
    names = [name for name, _ in cell.named_parameters()]
    parameters = [value.detach().clone().requires_grad_() for value in cell.parameters()]

    def step(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        start, weights = type(state)(*rest[: len(leaves)]), dict(zip(names, rest[len(leaves) :], strict=True))
        output, final = functional_call(cell, weights, (inputs, start))
        return output, *final

    assert torch.autograd.gradcheck(step, (inputs, *leaves, *parameters))


@each_variant
def test_parameters_are_counted_by_the_closed_formula(variant: str) -> None:
    # One bias per gate; the GRU's candidate has one more, inside its reset gate; a peephole is one number per unit.
    _, _, gates, extra = VARIANTS[variant]
    counted = sum(parameter.numel() for parameter in build(variant).parameters())
    assert counted == gates * HIDDEN * (INPUT + HIDDEN + 1) + extra * HIDDEN


@each_norm
@each_variant
def test_a_call_leaves_nothing_behind_in_the_cell(variant: str, normalized: bool) -> None:
    cell, inputs = build(variant, normalized=normalized), draw(BATCH, INPUT)
    state = some_state(cell)
    before = [part.clone() for part in state]
    first, _ = cell(inputs, state)
    cell(draw(BATCH, INPUT, seed=9), cell.initial_state(BATCH))
    scanned(cell, draw(BATCH, TIME, INPUT, seed=10), state)
    second, _ = cell(inputs, state)
    assert torch.equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, state, strict=True))


@each_variant
def test_every_state_is_one_named_tuple_that_starts_at_zero(variant: str) -> None:
    cell = build(variant)
    zero = cell.initial_state(BATCH)
    assert hasattr(zero, "_fields")
    assert all(part.shape == (BATCH, HIDDEN) and part.dtype == torch.float64 and not part.any() for part in zero)
    for run in (stepped, scanned):
        assert type(run(cell, draw(BATCH, TIME, INPUT), zero)[1]) is type(zero)


@each_variant
def test_the_output_is_the_first_part_of_the_state(variant: str) -> None:
    cell = build(variant)
    output, state = cell(draw(BATCH, INPUT), some_state(cell))
    assert torch.equal(output, state[0])


@each_way
def test_the_worked_example_of_the_lecture(run: Callable[..., tuple[Tensor, Any]]) -> None:
    cell = VanillaCell(3, 2, "relu").double()
    to_input, to_hidden = [[1, 1], [2, 0], [0.5, 1]], [[0, 1], [1, 0]]  # U and W for row vectors, x U + h W
    to_labels = torch.tensor([[0, 1, 0, 0], [1, 0, 1 / 3, -1]], dtype=torch.float64)  # V
    with torch.no_grad():
        cell.weight_input.copy_(torch.tensor(to_input).T)
        cell.weight_recurrent.copy_(torch.tensor(to_hidden).T)
        cell.bias.zero_()
    sentence = torch.tensor([[[1, 0, 0], [1, 1, 2], [1, -1, 1]]], dtype=torch.float64)
    hidden, _ = run(cell, sentence, cell.initial_state(1))
    assert hidden[0].tolist() == [[1, 1], [5, 4], [3.5, 7]]

    logits, truth = hidden[0] @ to_labels, torch.tensor([0, 1, 2])  # DET ADJ NOUN
    probabilities = torch.softmax(logits, dim=-1)[torch.arange(3), truth]
    assert probabilities.tolist() == pytest.approx([0.377, 0.718, 0.009], abs=6e-4)  # three digits, the first cut off
    by_hand = [math.exp(a) / sum(map(math.exp, row)) for a, row in (
        (1, (1, 1, 1 / 3, -1)), (5, (4, 5, 4 / 3, -4)), (7 / 3, (7, 3.5, 7 / 3, -7))
    )]  # fmt: skip
    loss = -sum(map(math.log, by_hand)) / 3
    assert F.cross_entropy(logits, truth).item() == pytest.approx(loss, abs=1e-12)


def fixed_gates(cell: Cell, **activations: float) -> Cell:
    """Set gates for ever: rows of U and W to 0, the bias to a number of which the sigmoid is 0 or 1 exactly."""
    with torch.no_grad():
        for name, value in activations.items():
            number = {"GRUCell": "rzn", "CoupledLSTMCell": "fgo"}.get(type(cell).__name__, "ifgo").index(name)
            rows = slice(number * cell.hidden_size, (number + 1) * cell.hidden_size)
            cell.weight_input[rows], cell.weight_recurrent[rows], cell.bias[rows] = 0, 0, value
    return cell


OPEN, SHUT = 1e3, -1e3


@each_way
@pytest.mark.parametrize("variant", ["gru-after", "gru-before"])
class TestExtremeGatesOfAGRU:
    def test_an_open_update_gate_copies_the_state(self, variant: str, run: Any) -> None:
        cell = fixed_gates(build(variant), z=OPEN)
        state = some_state(cell)
        output, final = run(cell, draw(BATCH, TIME, INPUT), state)
        # not bit for bit: torch's kernel computes n + z ∘ (h − n), which rounds
        torch.testing.assert_close(output, state.hidden[:, None].expand(-1, TIME, -1), **EXACT)
        torch.testing.assert_close(final.hidden, state.hidden, **EXACT)

    def test_shut_gates_forget_the_state(self, variant: str, run: Any) -> None:
        cell, inputs = fixed_gates(build(variant), z=SHUT, r=SHUT), draw(BATCH, TIME, INPUT)
        output, _ = run(cell, inputs, some_state(cell))
        candidate = torch.tanh(F.linear(inputs, cell.weight_input, cell.bias)[..., 2 * HIDDEN :])
        torch.testing.assert_close(output, candidate, **EXACT)

    def test_a_shut_update_gate_with_an_open_reset_gate_is_the_vanilla_cell(self, variant: str, run: Any) -> None:
        cell, inputs = fixed_gates(build(variant), z=SHUT, r=OPEN), draw(BATCH, TIME, INPUT)
        twin = VanillaCell(INPUT, HIDDEN).double()
        with torch.no_grad():
            for ours, theirs in zip(twin.parameters(), (cell.weight_input, cell.weight_recurrent, cell.bias),
                                    strict=True):  # fmt: skip
                ours.copy_(theirs[2 * HIDDEN :])
            twin.bias += getattr(cell, "bias_candidate", 0.0)
        output, _ = run(cell, inputs, some_state(cell))
        torch.testing.assert_close(output, run(twin, inputs, some_state(twin))[0], **EXACT)


@each_way
@with_memory
def test_a_memory_that_forgets_nothing_and_writes_nothing_stays_for_a_thousand_steps(variant: str, run: Any) -> None:
    cell = fixed_gates(build(variant, 2, 3), f=OPEN, **({} if variant == "coupled-lstm" else {"i": SHUT}))
    state = some_state(cell, 2)
    with torch.no_grad():
        _, final = run(cell, draw(2, 1000, 2), state)
    assert torch.equal(final.cell, state.cell)
    assert not torch.equal(final.hidden, state.hidden)  # the output gate is free


@each_way
@pytest.mark.parametrize(("scale", "left"), [(1.0, 1.0), (0.5, 2.0**-TIME)])
def test_an_irnn_keeps_its_state_or_halves_it(scale: float, left: float, run: Any) -> None:
    cell = IRNNCell(INPUT, HIDDEN, scale).double()
    state = type(some_state(cell))(some_state(cell).hidden.abs())
    output, final = run(cell, torch.zeros(BATCH, TIME, INPUT, dtype=torch.float64), state)
    assert torch.equal(final.hidden, left * state.hidden)
    assert torch.equal(output[:, 0], scale * state.hidden)


@pytest.mark.parametrize("make", [lambda: VanillaCell(2, 3, "tan"), lambda: GRUCell(2, 3, "befor")])
def test_an_unknown_form_is_an_error_that_lists_the_choices(make: Callable[[], Cell]) -> None:
    with pytest.raises(BadInput, match=r"tanh, relu, sigmoid, identity|after, before"):
        make()


def test_every_file_of_the_package_is_a_cell_by_its_name() -> None:
    named = {
        "vanilla": VanillaCell, "irnn": IRNNCell, "lstm": LSTMCell, "coupled_lstm": CoupledLSTMCell,
        "peephole_lstm": PeepholeLSTMCell, "gru": GRUCell,
    }  # fmt: skip
    assert {name: cell_named(name) for name in named} == named
    assert set(named.values()) == {type(variant.build(INPUT, HIDDEN)) for variant in VARIANTS.values()}


def test_an_unknown_name_is_an_error_that_lists_the_choices() -> None:
    for wrong in ("lstn", "base", "initializers", "__init__", "../cells/lstm"):
        with pytest.raises(BadInput, match="choose one of") as caught:
            cell_named(wrong)
        listed = str(caught.value).split("choose one of ")[1].rstrip(".").split(", ")
        assert listed == ["coupled_lstm", "gru", "irnn", "lstm", "peephole_lstm", "vanilla"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of cells beside those of the package."""
    (tmp_path / "cells").mkdir()
    monkeypatch.setenv("UNROLL_PLUGINS", str(tmp_path))
    return tmp_path / "cells"


CELL_OF_MY_OWN = """
from unroll.cells import Cell, HiddenState, LSTMCell
class {name}Cell(Cell):
    def step(self, projected, state):
        return projected, HiddenState(projected)
"""


def test_a_new_file_with_one_cell_is_found_without_a_list(package: Path) -> None:
    (package / "of_my_own.py").write_text(CELL_OF_MY_OWN.format(name="Own"))
    kind = cell_named("of_my_own")
    assert kind.__name__ == "OwnCell"
    assert scanned(kind(INPUT, HIDDEN), torch.ones(BATCH, TIME, INPUT), kind(INPUT, HIDDEN).initial_state(BATCH))
    with pytest.raises(BadInput, match=r"choose one of .*of_my_own"):
        cell_named("lstn")


@pytest.mark.parametrize(("names", "count"), [(["Own", "Other"], 2), ([], 0)])
def test_a_file_of_two_cells_or_none_is_an_error(package: Path, names: list[str], count: int) -> None:
    (package / f"of_my_own_{count}.py").write_text("".join(CELL_OF_MY_OWN.format(name=name) for name in names))
    with pytest.raises(BadInput, match=rf"of_my_own_{count}\.py must define one cell, .* it has {count}"):
        cell_named(f"of_my_own_{count}")


def test_torchs_own_cells_are_the_same_step() -> None:
    """One step against ``nn.LSTMCell`` and its kin, whose gates have the same order."""
    for variant, twin in (("vanilla-tanh", nn.RNNCell), ("lstm", nn.LSTMCell), ("gru-after", nn.GRUCell)):
        cell, inputs, module = build(variant), draw(BATCH, INPUT), twin(INPUT, HIDDEN).double()
        second = torch.zeros_like(cell.bias)
        if variant == "gru-after":
            second[2 * HIDDEN :] = cell.bias_candidate
        weights = (cell.weight_input, cell.weight_recurrent, cell.bias, second)
        with torch.no_grad():
            for theirs, ours in zip(module.parameters(), weights, strict=True):
                theirs.copy_(ours)
        state = some_state(cell)
        expected = module(inputs, tuple(state) if len(state) == 2 else state[0])
        for part, wanted in zip(cell(inputs, state)[1], expected if len(state) == 2 else (expected,), strict=True):
            torch.testing.assert_close(part, wanted, **EXACT)
