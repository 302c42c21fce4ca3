"""The one loop over time: every way of running a cell gives the numbers of the loop that a person would write."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any, NamedTuple

import pytest
import torch
from cells.test_cells import BATCH, EXACT, HIDDEN, INPUT, TIME, VARIANTS, build, draw, randomized, some_state, stepped
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from unroll.cells import (
    Cell,
    DerivedCell,
    GRUCell,
    HiddenState,
    IRNNCell,
    KernelCell,
    LSTMCell,
    LSTMState,
    VanillaCell,
)
from unroll.cells.lstm import WIDE
from unroll.errors import BadInput
from unroll.networks.recurrent import Recurrent
from unroll.networks.scan import by_derivative, by_steps, outputs, scan

FP32 = {"rtol": 1e-5, "atol": 1e-5}
# A bf16 number has 8 bits: each rounding is off by at most 2⁻⁹ of it. Over five steps of a few roundings each, the
# error is held to eight of them; the norm of the whole counts, since a rectified unit near 0 may be on in one only.
BF16 = 8 * 2.0**-9

Run = Callable[[Cell, Tensor, Any], tuple[Tensor, Any]]


class OwnCell(Cell):
    """A cell of a user's own: gates and a step, nothing else. A leaky one, of which no kernel knows."""

    gates = 2

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        leak, new = (projected + self.recur(state.hidden)).chunk(2, dim=1)
        leak = torch.sigmoid(leak)
        hidden = leak * state.hidden + (1 - leak) * torch.sin(new)
        return hidden, HiddenState(hidden)


def made(variant: str, input_size: int = INPUT, hidden_size: int = HIDDEN, normalized: bool = False) -> Cell:
    """A cell of every published form, or the user's own."""
    if variant != "own":
        return build(variant, input_size, hidden_size, normalized)
    cell = OwnCell(input_size, hidden_size)
    if normalized:
        cell.normalize()
    own: Cell = randomized(cell.double())
    return own


def loop(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    return by_steps(cell, inputs, state, None)


def kernel(cell: KernelCell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    return cell.fused(inputs, state)


def derivative(cell: DerivedCell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
    states = by_derivative(cell, inputs, state)
    return states[0], type(state)(*(part[:, -1] for part in states))


def ways(variant: str) -> list[Run]:
    """Every way of running a cell but the loop that a person would write."""
    cell = made(variant)
    fast: list[Run] = [kernel] if isinstance(cell, KernelCell) and cell.has_kernel else []
    fast += [derivative] if isinstance(cell, DerivedCell) and cell.has_derivative else []
    return [loop, *fast]


ALL = [*VARIANTS, "own"]
FAST = [(variant, run) for variant in VARIANTS for run in ways(variant)[1:]]
DERIVED = [variant for variant, run in FAST if run is derivative]

each_variant = pytest.mark.parametrize("variant", ALL)
each_norm = pytest.mark.parametrize("normalized", [False, True], ids=["plain", "normalized"])
each_twin = pytest.mark.parametrize(("variant", "run"), [(variant, run) for variant in ALL for run in ways(variant)])
each_derived = pytest.mark.parametrize("variant", DERIVED)


def with_gradients(cell: Cell, run: Run, inputs: Tensor, state: Any, seen: str = "output final") -> dict[str, Tensor]:
    """Output, final state and the gradient of a random projection of what is ``seen`` by everything that went in."""
    leaves = {"inputs": inputs.clone().requires_grad_()}
    leaves |= {f"state {n}": part.clone().requires_grad_() for n, part in enumerate(state)}
    start = type(state)(*(leaves[f"state {n}"] for n in range(len(state))))
    output, final = run(cell, leaves["inputs"], start)
    results = {"output": output} | {f"final {n}": part for n, part in enumerate(final)}
    loss = sum(
        (part * draw(*part.shape, seed=20 + n).to(part.dtype)).sum()
        for n, (name, part) in enumerate(results.items())
        if name.startswith(tuple(seen.split()))
    )
    wanted = leaves | dict(cell.named_parameters())
    gradients = torch.autograd.grad(loss, list(wanted.values()))
    gradient_of = {f"d {name}": gradient for name, gradient in zip(wanted, gradients, strict=True)}
    return {name: part.detach() for name, part in results.items()} | gradient_of


def assert_same(found: dict[str, Tensor], expected: dict[str, Tensor], **tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        torch.testing.assert_close(
            found[name], expected[name], **tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


@each_twin
@pytest.mark.parametrize("seen", ["output", "final", "output final"])
@pytest.mark.parametrize("time", [1, 5])
def test_every_way_equals_the_loop_of_calls_in_outputs_final_state_and_every_gradient(
    variant: str, run: Run, seen: str, time: int
) -> None:
    cell, inputs = made(variant), draw(BATCH, time, INPUT)
    state = some_state(cell)
    expected = with_gradients(cell, stepped, inputs, state, seen)
    assert all(part.any() for part in expected.values())
    assert_same(with_gradients(cell, run, inputs, state, seen), expected, **EXACT)
    small = cell.float()
    state = type(state)(*(part.float() for part in state))
    expected = with_gradients(small, stepped, inputs.float(), state, seen)
    assert_same(with_gradients(small, run, inputs.float(), state, seen), expected, **FP32)


@pytest.mark.parametrize("variant", ["lstm", "coupled-lstm", "peephole-lstm"])
@pytest.mark.parametrize("seen", ["final 0", "final 1"])
def test_the_gradient_of_one_part_of_the_final_state_alone(variant: str, seen: str) -> None:
    cell, inputs = made(variant), draw(BATCH, TIME, INPUT)
    state = some_state(cell)
    number = int(seen.split()[1])

    def gradients(run: Run) -> tuple[Tensor, ...]:
        start = type(state)(*(part.clone().requires_grad_() for part in state))
        weights = [*start, *cell.parameters()]
        return torch.autograd.grad((run(cell, inputs, start)[1][number] ** 2).sum(), weights, allow_unused=True)

    for run in ways(variant):
        for found, expected in zip(gradients(run), gradients(stepped), strict=True):
            torch.testing.assert_close(found, expected, **EXACT)


@each_variant
def test_normalised_the_loop_equals_the_loop_of_calls(variant: str) -> None:
    cell, inputs = made(variant, normalized=True), draw(BATCH, TIME, INPUT)
    assert not (isinstance(cell, KernelCell) and cell.has_kernel)
    assert not (isinstance(cell, DerivedCell) and cell.has_derivative)
    state = some_state(cell)
    assert_same(with_gradients(cell, loop, inputs, state), with_gradients(cell, stepped, inputs, state), **EXACT)


@each_norm
@each_variant
def test_scan_takes_a_step_only_where_there_is_no_faster_way(
    variant: str, normalized: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, taken = made(variant, normalized=normalized), []
    step = cell.step
    monkeypatch.setattr(cell, "step", lambda *arguments: taken.append(1) or step(*arguments))
    scan(cell, draw(BATCH, TIME, INPUT), torch.tensor([TIME, 1, 2]), cell.initial_state(BATCH))
    slow = normalized or variant in ("vanilla-sigmoid", "vanilla-identity", "own")
    assert len(taken) == (TIME if slow else 0)


def to_float(state: Any) -> Any:
    return type(state)(*(part.float() for part in state))


def in_bf16(run: Run) -> Run:
    def halved(cell: Cell, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        with torch.autocast("cpu", torch.bfloat16):
            return run(cell, inputs, state)

    return halved


@each_twin
@pytest.mark.parametrize("reference", [stepped, in_bf16(stepped)], ids=["against fp32", "against bf16"])
def test_under_bf16_autocast_the_same_up_to_rounding(variant: str, run: Run, reference: Run) -> None:
    cell, inputs = made(variant, 16, 32).float(), draw(BATCH, 5, 16).float()
    with torch.no_grad():
        cell.weight_recurrent /= 3  # so that a linear network does not grow, and every rounding with it
        if variant in ("irnn", "vanilla-relu"):  # no unit so near its corner that rounding switches it
            cell.weight_recurrent /= 3
            cell.bias.copy_(8 * cell.bias.sign())
    state = to_float(some_state(cell))
    found, expected = (with_gradients(cell, way, inputs, state) for way in (in_bf16(run), reference))
    assert found.keys() == expected.keys()
    for name in expected:
        error = (found[name].float() - expected[name].float()).norm() / expected[name].float().norm()
        assert error <= BF16, f"{name} is off by {error}"
    assert all(part.dtype == torch.float32 for name, part in found.items() if name.startswith("d "))


@pytest.mark.parametrize(
    ("variant", "opened", "expected"),
    [
        # c grows by i = 2⁻¹⁰ a step
        ("peephole-lstm", (math.log(2.0**-10), 1e3, 1e3, 1e3), 1000 / 1024),
        # c goes to 1 by 1 − f = 2⁻⁸ of the way a step
        ("coupled-lstm", (math.log(255.0), 1e3, 1e3), 1 - (255 / 256) ** 1000),
    ],
)
def test_under_bf16_autocast_a_memory_sums_in_fp32(variant: str, opened: tuple[float, ...], expected: float) -> None:
    # a memory of 8 bits would stand still where a step is less than half its last bit, at a half and before
    cell = made(variant, 2, 3).float()
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.bias.view(-1, 3)[:] = torch.tensor(opened)[:, None]
    inputs = torch.zeros(1, 1000, 2)
    with torch.autocast("cpu", torch.bfloat16):
        _, final = scan(cell, inputs, torch.tensor([1000]), cell.initial_state(1))
    assert final.cell.dtype == torch.float32
    # the gate itself has 8 bits
    torch.testing.assert_close(final.cell, torch.full((1, 3), expected), rtol=2.0**-6, atol=0.0)


@each_derived
def test_the_derivative_by_hand_passes_gradcheck_over_a_sequence(variant: str) -> None:
    cell, inputs = made(variant, 2, 3), draw(2, 3, 2).requires_grad_()
    state = some_state(cell, 2)
    leaves = [part.requires_grad_() for part in state]
    names = [name for name, _ in cell.named_parameters()]
    parameters = [value.detach().clone().requires_grad_() for value in cell.parameters()]

    class Unrolled(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, inputs: Tensor, start: Any) -> Any:
            return by_derivative(self.cell, inputs, start)

    def states(inputs: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        weights = {f"cell.{name}": value for name, value in zip(names, rest[len(leaves) :], strict=True)}
        return tuple(functional_call(Unrolled(), weights, (inputs, type(state)(*rest[: len(leaves)]))))

    assert torch.autograd.gradcheck(states, (inputs, *leaves, *parameters))


@each_derived
def test_the_derivative_of_every_state_of_the_way_not_only_of_the_last(variant: str) -> None:
    cell, inputs = made(variant), draw(BATCH, TIME, INPUT)
    state = some_state(cell)
    weights = list(cell.parameters())
    projections = [draw(BATCH, TIME, HIDDEN, seed=60 + n) for n in range(len(state))]
    found = sum((p * w).sum() for p, w in zip(by_derivative(cell, inputs, state), projections, strict=True))
    expected, now = torch.zeros((), dtype=torch.float64), state
    for t in range(TIME):
        _, now = cell(inputs[:, t], now)
        expected = expected + sum((p * w[:, t]).sum() for p, w in zip(now, projections, strict=True))
    torch.testing.assert_close(found, expected, **EXACT)
    for one, two in zip(torch.autograd.grad(found, weights), torch.autograd.grad(expected, weights), strict=True):
        torch.testing.assert_close(one, two, **EXACT)


@each_derived
def test_the_derivative_can_be_asked_for_twice_and_for_some_weights_alone(variant: str) -> None:
    cell, inputs = made(variant), draw(BATCH, TIME, INPUT)
    output, _ = derivative(cell, inputs, some_state(cell))
    weights = list(cell.parameters())
    first = torch.autograd.grad(output.sum(), weights, retain_graph=True)
    second = torch.autograd.grad(output.sum(), weights)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    cell.weight_recurrent.requires_grad_(False)
    output, _ = derivative(cell, inputs, some_state(cell))
    output.sum().backward()
    assert cell.weight_recurrent.grad is None
    torch.testing.assert_close(cell.weight_input.grad, first[0], **EXACT)


@each_derived
def test_a_second_derivative_is_refused_rather_than_wrong(variant: str) -> None:
    cell, inputs = made(variant), draw(BATCH, TIME, INPUT).requires_grad_()
    output, _ = derivative(cell, inputs, some_state(cell))
    with pytest.raises(NotImplementedError, match="by_steps"):
        torch.autograd.grad(output.sum(), inputs, create_graph=True)


@each_derived
def test_without_a_gradient_to_come_nothing_is_recorded(variant: str) -> None:
    cell = made(variant)
    with torch.no_grad():
        output, _ = derivative(cell, draw(BATCH, TIME, INPUT), some_state(cell))
    assert output.grad_fn is None


@each_norm
@each_variant
def test_a_padded_batch_is_each_sequence_alone_forwards_and_backwards(variant: str, normalized: bool) -> None:
    cell, lengths = made(variant, normalized=normalized), torch.tensor([3, 5, 1, 4])  # unsorted
    inputs = draw(4, 6, INPUT)
    inputs[torch.arange(6)[None] >= lengths[:, None]] *= 1e3  # padding is garbage, not zeros
    inputs.requires_grad_()
    state = some_state(cell, 4)
    output, final = scan(cell, inputs, lengths, state)
    by_output = draw(4, 6, HIDDEN, seed=30)
    by_final = [draw(4, HIDDEN, seed=31 + n) for n in range(len(final))]
    real = torch.arange(6)[None] < lengths[:, None]
    loss = (output * by_output)[real].sum() + sum((p * w).sum() for p, w in zip(final, by_final, strict=True))
    gradient, *by_parameters = torch.autograd.grad(loss, [inputs, *cell.parameters()])
    sums = [torch.zeros_like(parameter) for parameter in by_parameters]
    for b, length in enumerate(lengths.tolist()):
        alone = inputs[b : b + 1, :length].detach().requires_grad_()
        expected, end = stepped(cell, alone, type(state)(*(part[b : b + 1] for part in state)))
        torch.testing.assert_close(output[b, :length], expected[0], **EXACT)
        for part, wanted in zip(final, end, strict=True):
            torch.testing.assert_close(part[b], wanted[0], **EXACT)
        loss = (expected[0] * by_output[b, :length]).sum()
        loss = loss + sum((p[0] * w[b]).sum() for p, w in zip(end, by_final, strict=True))
        wanted_gradient, *parts = torch.autograd.grad(loss, [alone, *cell.parameters()])
        torch.testing.assert_close(gradient[b, :length], wanted_gradient[0], **EXACT)
        assert not gradient[b, length:].any()
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
    for found, total in zip(by_parameters, sums, strict=True):
        torch.testing.assert_close(found, total, **EXACT)


@each_norm
@each_variant
def test_the_output_of_every_step_alone_is_that_of_scan(variant: str, normalized: bool) -> None:
    cell, inputs = made(variant, normalized=normalized), draw(BATCH, TIME, INPUT)
    state = some_state(cell)
    output, _ = scan(cell, inputs, torch.tensor([TIME, 2, 1]), state)
    real = torch.arange(TIME)[None] < torch.tensor([TIME, 2, 1])[:, None]
    found = outputs(cell, inputs, torch.tensor([TIME, 2, 1]), state)
    torch.testing.assert_close(found[real], output[real], **EXACT)


@each_norm
@pytest.mark.parametrize("garbage", [1e3, 1e300, float("inf"), float("nan")])
def test_the_state_of_the_loop_freezes_at_the_end_whatever_the_padding_is(garbage: float, normalized: bool) -> None:
    cell, inputs, lengths = made("own", normalized=normalized), draw(BATCH, TIME, INPUT), torch.tensor([2, TIME, 1])
    inputs[torch.arange(TIME)[None] >= lengths[:, None]] = garbage
    _, final = by_steps(cell, inputs, some_state(cell), lengths)
    for b, length in enumerate(lengths.tolist()):
        start = HiddenState(some_state(cell).hidden[b : b + 1])
        torch.testing.assert_close(final.hidden[b : b + 1], stepped(cell, inputs[b : b + 1, :length], start)[1].hidden,
                                   **EXACT)  # fmt: skip


def test_the_step_of_a_cell_of_ones_own_is_given_the_input_as_hoisted() -> None:
    cell, inputs, given = made("own"), draw(BATCH, TIME, INPUT), []
    step = cell.step
    cell.step = lambda projected, state: given.append(projected) or step(projected, state)  # type: ignore[method-assign]
    outputs(cell, inputs, torch.full((BATCH,), TIME), cell.initial_state(BATCH))
    for t, projected in enumerate(given):
        torch.testing.assert_close(projected, F.linear(inputs[:, t], cell.weight_input, cell.bias), **EXACT)
    assert len(given) == TIME


class ResidualLSTMCell(LSTMCell):
    """Another step than that of its kernel."""

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        output, after = super().step(projected, state)
        return output + state.hidden, after


class DampedVanillaCell(VanillaCell):
    """Another product h W than that of its kernel."""

    def recur(self, hidden: Tensor) -> Tensor:
        return 0.1 * super().recur(hidden)


class ScaledVanillaCell(VanillaCell):
    """Another product x U than that of its kernel."""

    def project(self, inputs: Tensor) -> Tensor:
        return 2.0 * super().project(inputs)


class ReluGRUCell(GRUCell):
    """Another step than that of its kernel and its derivative."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        _, after = super().step(projected, state)
        return after.hidden.relu(), HiddenState(after.hidden.relu())


@pytest.mark.parametrize("kind", [ResidualLSTMCell, DampedVanillaCell, ScaledVanillaCell, ReluGRUCell])
def test_a_cell_that_changes_an_equation_of_another_is_not_run_by_the_others_kernel(kind: type[Cell]) -> None:
    cell, inputs, lengths = randomized(kind(INPUT, HIDDEN).double()), draw(BATCH, TIME, INPUT), torch.tensor([5, 2, 1])
    found, final = scan(cell, inputs, lengths, some_state(cell))
    expected, end = by_steps(cell, inputs, some_state(cell), lengths)
    torch.testing.assert_close(found, expected, **EXACT)
    for one, two in zip(final, end, strict=True):
        torch.testing.assert_close(one, two, **EXACT)


@pytest.mark.parametrize("whole", [True, False], ids=["scan", "outputs"])
@pytest.mark.parametrize("variant", ["relu", "irnn", "identity"])
def test_a_state_that_would_overflow_in_the_padding_harms_no_gradient(variant: str, whole: bool) -> None:
    """Units without a bound double at every step, from 1 in the short row and from 0 in the long one."""
    cell = IRNNCell(1, 1) if variant == "irnn" else VanillaCell(1, 1, variant)
    with torch.no_grad():
        for parameter, value in zip(
            (cell.weight_input, cell.weight_recurrent, cell.bias), (1.0, 2.0, 0.0), strict=True
        ):
            parameter.fill_(value)
    inputs, lengths = torch.zeros(2, 200, 1), torch.tensor([3, 200])
    inputs[0, 0] = 1.0
    run = scan if whole else (lambda *given: (outputs(*given), None))
    output, _ = run(cell, inputs, lengths, cell.initial_state(2))
    (gradient,) = torch.autograd.grad(output[0, :3].sum(), cell.weight_recurrent)
    assert float(gradient) == 5.0


class MemoryState(NamedTuple):
    """Parts of other shapes than [B, H]."""

    hidden: Tensor  # [B, H]
    memory: Tensor  # [B, H, 2]
    count: Tensor  # [B]


class MemoryCell(Cell):
    """A cell with a memory of two numbers per unit and a counter."""

    def initial_state(self, batch_size: int) -> MemoryState:
        hidden = self._zeros(batch_size)
        return MemoryState(hidden, torch.stack([hidden, hidden], dim=2), hidden[:, 0])

    def step(self, projected: Tensor, state: MemoryState) -> tuple[Tensor, MemoryState]:
        hidden = torch.tanh(projected + self.recur(state.hidden) + state.memory.sum(2) + state.count[:, None])
        memory = state.memory / 2 + hidden[..., None]
        return hidden, MemoryState(hidden, memory, state.count + 1)


def test_a_state_may_have_parts_of_any_shape() -> None:
    cell, inputs, lengths = randomized(MemoryCell(INPUT, 3).double()), draw(3, TIME, INPUT), torch.tensor([3, 5, 1])
    output, final = scan(cell, inputs, lengths, cell.initial_state(3))
    for b, length in enumerate(lengths.tolist()):
        alone, end = scan(cell, inputs[b : b + 1, :length], lengths[b : b + 1], cell.initial_state(1))
        torch.testing.assert_close(output[b : b + 1, :length], alone, **EXACT)
        for one, two in zip(final, end, strict=True):
            torch.testing.assert_close(one[b : b + 1], two, **EXACT)
    learned = Recurrent(lambda *sizes: MemoryCell(*sizes), INPUT, 3, 1, False, learned_state=True).double()
    assert [tuple(part.shape) for part in learned.initial_state(4)[0]] == [(4, 3), (4, 3, 2), (4,)]


@each_variant
def test_a_sequence_without_a_step_and_a_state_of_other_sequences_are_refused(variant: str) -> None:
    cell, inputs = made(variant), draw(BATCH, TIME, INPUT)
    with pytest.raises(BadInput, match="at least one step"):
        scan(cell, inputs, torch.tensor([TIME, 0, 1]), some_state(cell))
    with pytest.raises(BadInput, match="state of 1 sequence"):
        scan(cell, inputs, torch.full((BATCH,), TIME), cell.initial_state(1))


@pytest.mark.parametrize(("variant", "normalized"), [*product([*VARIANTS, "own"], (False, True)), ("scaled", False)])
def test_a_context_is_joined_to_the_input_of_every_step(variant: str, normalized: bool) -> None:
    size = 2
    own = variant == "scaled"
    cell = (
        ScaledVanillaCell(INPUT + size, HIDDEN).double() if own else made(variant, INPUT + size, normalized=normalized)
    )
    inputs, context = draw(3, 5, INPUT).requires_grad_(), draw(3, size, seed=4).requires_grad_()
    lengths, state = torch.tensor([5, 2, 3]), some_state(cell, 3)
    real = torch.arange(5) < lengths[:, None]
    joined = torch.cat([inputs, context[:, None].expand(-1, 5, -1)], dim=-1)
    found = []
    for output in (outputs(cell, inputs, lengths, state, context), outputs(cell, joined, lengths, state)):
        loss = (output * draw(*output.shape, seed=8))[real].sum()
        found.append([output[real], *torch.autograd.grad(loss, [inputs, context, *cell.parameters()])])
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, **EXACT)


def test_the_output_of_a_loop_is_zero_beyond_the_end_of_a_sequence() -> None:
    cell = made("irnn")
    with torch.no_grad():
        cell.weight_recurrent.copy_(1e200 * torch.eye(HIDDEN))
    lengths = torch.tensor([1, 1])
    output, _ = by_steps(cell, draw(2, 4, INPUT), some_state(cell, 2), lengths)
    assert not output[:, 1:].any()
    assert output[:, 0].any()


@pytest.mark.parametrize(
    ("half", "hidden", "grows", "expected"),
    [
        (True, WIDE, True, "derivative"),
        (True, WIDE - 1, True, "kernel"),
        (True, WIDE, False, "kernel"),
        (False, WIDE, True, "kernel"),
    ],
)
def test_a_wide_lstm_is_trained_in_half_precision_by_its_derivative(
    half: bool, hidden: int, grows: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell, used = LSTMCell(2, hidden), []
    for name, implementation in (("kernel", LSTMCell.fused), ("derivative", LSTMCell.weights)):

        def spy(*args: Any, name: str = name, implementation: Any = implementation) -> Any:
            used.append(name)
            return implementation(*args)

        monkeypatch.setattr(LSTMCell, implementation.__name__, spy)
    with torch.set_grad_enabled(grows), torch.autocast("cpu", torch.bfloat16, enabled=half):
        scan(cell, torch.zeros(1, 2, 2), torch.tensor([2]), cell.initial_state(1))
    assert used == [expected]
