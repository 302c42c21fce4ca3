"""Any cell, stacked, in one direction or two: padding is invisible, state is what it says."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from itertools import product
from typing import Any

import pytest
import torch
from cells.test_cells import EXACT, VARIANTS, draw, randomized
from networks.test_scan import OwnCell
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from unroll.cells import Cell, GRUCell, HiddenState, LSTMCell, VanillaCell
from unroll.errors import BadInput
from unroll.networks.recurrent import LockedDropout, Recurrent, RecurrentLayer

INPUT, HIDDEN = 3, 4
LENGTHS = [4, 1, 6, 3]

CELLS = {name: variant.build for name, variant in VARIANTS.items()} | {"own": OwnCell}  # one of a user's own
each_cell = pytest.mark.parametrize("cell", CELLS)
SHAPES = list(product((1, 2), (False, True)))
each_variant = pytest.mark.parametrize(
    ("cell", "layers", "bidirectional"),
    [pytest.param(c, n, b, id=f"{c}-{n}x{1 + b}") for c, (n, b) in product(CELLS, SHAPES)],
)
each_stack = pytest.mark.parametrize(("cell", "layers"), list(product(CELLS, (1, 2))))
each_norm = pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "normalized"])


def build(cell: str, layers: int, bidirectional: bool, **settings: Any) -> Recurrent:
    torch.manual_seed(3)
    network: Recurrent = randomized(Recurrent(CELLS[cell], INPUT, HIDDEN, layers, bidirectional, **settings).double())
    if cell in ("vanilla-relu", "irnn"):  # awake: a rectified unit that is off hands on neither state nor gradient
        for layer in network.layers:
            layer.cell.bias.data += 2.0
    return network


def states_like(network: Recurrent, batch_size: int, seed: int = 100) -> tuple[Any, ...]:
    return tuple(
        type(cell)(*(draw(*part.shape, seed=seed + 10 * n + m) for m, part in enumerate(cell)))
        for n, cell in enumerate(network.initial_state(batch_size))
    )


def rows(state: tuple[Any, ...], b: int) -> tuple[Any, ...]:
    """State of sequence ``b`` alone."""
    return tuple(type(cell)(*(part[b : b + 1] for part in cell)) for cell in state)


def flat(state: tuple[Any, ...]) -> list[Tensor]:
    return [part for cell in state for part in cell]


def padded(total: int, seed: int) -> Tensor:
    """The same four sequences, with garbage of ``seed`` behind them up to ``total`` steps."""
    inputs = 1e3 * draw(len(LENGTHS), total, INPUT, seed=seed)
    for b, length in enumerate(LENGTHS):
        inputs[b, :length] = draw(length, INPUT, seed=50 + b)
    return inputs


def measured(network: Recurrent, inputs: Tensor, lengths: list[int], state: tuple[Any, ...], which: list[int]) -> Any:
    """Real outputs, final states, gradients by real inputs, first states and parameters of a projection of them all."""
    inputs = inputs.clone().requires_grad_()
    start = tuple(type(cell)(*(part.clone().requires_grad_() for part in cell)) for cell in state)
    output, finals = network(inputs, torch.tensor(lengths), start)
    loss = torch.zeros((), dtype=torch.float64)
    for row, (b, length) in enumerate(zip(which, lengths, strict=True)):
        loss = loss + (output[row, :length] * draw(length, output.shape[-1], seed=200 + b)).sum()
        for n, part in enumerate(flat(finals)):
            loss = loss + (part[row] * draw(HIDDEN, seed=300 + 20 * b + n)).sum()
    wanted = [inputs, *flat(start), *network.parameters()]
    by_inputs, *others = torch.autograd.grad(loss, wanted)
    return output, finals, by_inputs, others[: len(flat(start))], others[len(flat(start)) :]


@each_norm
@each_variant
def test_alone_equals_batched_equals_more_padding_forwards_and_backwards(
    cell: str, layers: int, bidirectional: bool, layer_norm: bool
) -> None:
    network = build(cell, layers, bidirectional, layer_norm=layer_norm)
    state, everyone = states_like(network, len(LENGTHS)), list(range(len(LENGTHS)))
    alone = [
        measured(network, padded(6, 7)[b : b + 1, :length], [length], rows(state, b), [b])
        for b, length in enumerate(LENGTHS)
    ]
    sums = [sum(gradients) for gradients in zip(*(gradients for *_, gradients in alone), strict=True)]
    for total, garbage in ((6, 7), (6, 8), (9, 9)):
        output, finals, by_inputs, by_state, by_parameters = measured(
            network, padded(total, garbage), LENGTHS, state, everyone
        )
        for b, length in enumerate(LENGTHS):
            torch.testing.assert_close(output[b, :length], alone[b][0][0], **EXACT)
            torch.testing.assert_close(by_inputs[b, :length], alone[b][2][0], **EXACT)
            assert not by_inputs[b, length:].any()
            for part, expected in zip(flat(rows(finals, b)), flat(alone[b][1]), strict=True):
                torch.testing.assert_close(part, expected, **EXACT)
            for part, expected in zip(by_state, alone[b][3], strict=True):
                torch.testing.assert_close(part[b : b + 1], expected, **EXACT)
        for gradient, expected in zip(by_parameters, sums, strict=True):
            torch.testing.assert_close(gradient, expected, **EXACT)


@each_norm
@each_variant
def test_final_states_are_those_at_the_last_real_step(
    cell: str, layers: int, bidirectional: bool, layer_norm: bool
) -> None:
    network, lengths = build(cell, layers, bidirectional, layer_norm=layer_norm), torch.tensor(LENGTHS)
    output, finals = network(padded(9, 4), lengths, states_like(network, len(LENGTHS)))
    everyone = torch.arange(len(LENGTHS))
    top = finals[-network.directions :]
    torch.testing.assert_close(top[0].hidden, output[everyone, lengths - 1, :HIDDEN], **EXACT)
    if bidirectional:  # read backwards, the last step is the first
        torch.testing.assert_close(top[1].hidden, output[:, 0, HIDDEN:], **EXACT)


def by_hand(network: Recurrent, inputs: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, list[Any]]:
    """The layers one after another, each cell called step by step: inputs of equally long sequences."""
    steps, ends = list(inputs.unbind(1)), []
    for depth in range(len(network.layers) // network.directions):
        sides = []
        for direction in range(network.directions):
            number = depth * network.directions + direction
            one, now = network.layers[number].cell, state[number]
            made: list[Tensor] = []
            for step in reversed(steps) if direction else steps:
                out, now = one(step, now)
                made.append(out)
            sides.append(made[::-1] if direction else made)
            ends.append(now)
        steps = [torch.cat(parts, dim=-1) for parts in zip(*sides, strict=True)]
    return torch.stack(steps, dim=1), ends


@each_norm
@each_variant
def test_a_stack_is_its_layers_by_hand_from_the_given_state(
    cell: str, layers: int, bidirectional: bool, layer_norm: bool
) -> None:
    network = build(cell, layers, bidirectional, layer_norm=layer_norm)
    state, inputs = states_like(network, len(LENGTHS)), padded(7, 5)
    output, finals = network(inputs, torch.tensor(LENGTHS), state)
    assert len(finals) == layers * network.directions
    for b, length in enumerate(LENGTHS):
        expected, ends = by_hand(network, inputs[b : b + 1, :length], rows(state, b))
        torch.testing.assert_close(output[b : b + 1, :length], expected, **EXACT)
        for part, wanted in zip(flat(rows(finals, b)), flat(tuple(ends)), strict=True):
            torch.testing.assert_close(part, wanted, **EXACT)


@each_variant
def test_a_state_given_is_a_state_used(cell: str, layers: int, bidirectional: bool) -> None:
    network, inputs, lengths = build(cell, layers, bidirectional), padded(6, 5), torch.tensor(LENGTHS)
    state = states_like(network, len(LENGTHS))
    output, _ = network(inputs, lengths, state)
    for number in range(len(state)):  # of every layer, direction and part
        for part in range(len(state[number])):
            values = list(state[number])
            values[part] = values[part] + 1.0
            changed = (*state[:number], type(state[number])(*values), *state[number + 1 :])
            other, _ = network(inputs, lengths, changed)
            for b, length in enumerate(LENGTHS):
                assert not torch.allclose(other[b, :length], output[b, :length]), (number, part, b)


@each_norm
@each_variant
def test_outputs_alone_are_those_of_forward(cell: str, layers: int, bidirectional: bool, layer_norm: bool) -> None:
    network, inputs = build(cell, layers, bidirectional, layer_norm=layer_norm, learned_state=True), padded(7, 6)
    lengths = torch.tensor(LENGTHS)
    short, (long, _) = network.outputs(inputs, lengths), network(inputs, lengths, network.initial_state(len(LENGTHS)))
    assert short.shape == (len(LENGTHS), 7, network.output_size)
    for b, length in enumerate(LENGTHS):
        torch.testing.assert_close(short[b, :length], long[b, :length], **EXACT)


@each_norm
@each_stack
def test_two_windows_with_carried_state_equal_one_pass(cell: str, layers: int, layer_norm: bool) -> None:
    network, inputs = build(cell, layers, False, layer_norm=layer_norm), draw(2, 7, INPUT)
    state = states_like(network, 2)
    lengths, cut = torch.tensor([7, 5]), 3  # the second sequence ends within the second window
    whole, end = network(inputs, lengths, state)
    first, middle = network(inputs[:, :cut], torch.tensor([cut, cut]), state)
    second, last = network(inputs[:, cut:], lengths - cut, middle)
    joined = torch.cat([first, second], dim=1)
    real = torch.arange(7)[None] < lengths[:, None]
    torch.testing.assert_close(joined[real], whole[real], **EXACT)
    for part, wanted in zip(flat(last), flat(end), strict=True):
        torch.testing.assert_close(part, wanted, **EXACT)
    ends = [torch.autograd.grad(made[real].square().sum(), list(network.parameters())) for made in (whole, joined)]
    for one, two in zip(*ends, strict=True):
        torch.testing.assert_close(one, two, **EXACT)


@each_cell
def test_the_backward_direction_reads_the_reversed_input(cell: str) -> None:
    one = build(cell, 1, False)
    step, state = one.layers[0].cell, states_like(one, len(LENGTHS))[0]
    forwards, backwards = RecurrentLayer(step, backward=False), RecurrentLayer(step, backward=True)
    inputs, lengths = padded(7, 2), torch.tensor(LENGTHS)
    turned = inputs.clone()
    for b, length in enumerate(LENGTHS):
        turned[b, :length] = inputs[b, :length].flip(0)
    output, final = backwards(inputs, lengths, state)
    expected, expected_final = forwards(turned, lengths, state)
    for b, length in enumerate(LENGTHS):
        torch.testing.assert_close(output[b, :length], expected[b, :length].flip(0), **EXACT)
    for part, wanted in zip(final, expected_final, strict=True):
        torch.testing.assert_close(part, wanted, **EXACT)


@each_cell
@pytest.mark.parametrize("variational", [False, True])
def test_dropout_stands_between_layers_and_nowhere_else(cell: str, variational: bool) -> None:
    inputs, lengths = draw(2, 5, INPUT), torch.tensor([5, 5])
    for layers in (1, 2):
        network = build(cell, layers, False, dropout=0.5, variational=variational)
        state = states_like(network, 2)
        dropped, finals = network(inputs, lengths, state)
        kept, ends = network.eval()(inputs, lengths, state)
        assert torch.equal(dropped, kept) == (layers == 1)
        assert torch.equal(finals[0].hidden, ends[0].hidden)  # what the first layer does is before all dropout
        alone = network.outputs(inputs, lengths)
        assert torch.equal(network.train().outputs(inputs, lengths), alone) == (layers == 1)


class Recorder(nn.Module):
    """Hands on what a module makes and keeps it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module, self.seen = module, []

    def forward(self, inputs: Tensor) -> Tensor:
        self.seen.append((inputs, self.module(inputs)))
        made: Tensor = self.seen[-1][1]
        return made


def dropped_between(variational: bool, way: str) -> Tensor:
    """Which units were dropped between two layers, [B, T, H]."""
    torch.manual_seed(0)
    network = Recurrent(CELLS["lstm"], INPUT, 16, 2, False, dropout=0.5, variational=variational).double()
    network.dropout = Recorder(network.dropout)
    inputs, lengths = draw(4, 6, INPUT), torch.tensor([6, 6, 6, 6])
    if way == "outputs":
        network.outputs(inputs, lengths)
    else:
        network(inputs, lengths, network.initial_state(4))
    ((before, after),) = network.dropout.seen
    torch.testing.assert_close(after[after != 0], 2 * before[after != 0], **EXACT)  # what is kept is scaled
    return after == 0


@pytest.mark.parametrize("way", ["outputs", "forward"])
def test_variational_dropout_drops_the_same_units_at_every_step_and_others_of_each_sequence(way: str) -> None:
    locked, free = dropped_between(True, way), dropped_between(False, way)
    assert torch.equal(locked, locked[:, :1].expand_as(locked))
    assert not torch.equal(free, free[:, :1].expand_as(free))
    assert len({tuple(row.tolist()) for row in locked[:, 0]}) == 4
    assert 0 < locked[:, 0].float().mean() < 1


def test_variational_dropout_keeps_the_mean_and_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    dropout, ones = LockedDropout(0.25), torch.ones(1000, 2, 10)
    dropped = dropout(ones)
    assert set(dropped.unique().tolist()) == {0.0, torch.tensor(1 / 0.75).item()}
    assert abs(dropped.mean().item() - 1.0) < 4 * (0.25 / 0.75 / 10_000) ** 0.5  # 4 standard errors
    assert dropout.eval()(ones) is ones


weight_dropout = {"weight_dropout": 0.5}


def used_weight(network: Recurrent, inputs: Tensor) -> Tensor:
    """W of a linear network that was used at each step, [T, H, H], read off its outputs from a state of ones."""
    cell = network.layers[0].cell
    outputs, _ = network(inputs, torch.tensor([inputs.shape[1]] * HIDDEN), (HiddenState(torch.eye(HIDDEN).double()),))
    before = torch.cat([torch.eye(HIDDEN).double()[None], outputs.transpose(0, 1)[:-1]])  # [T, B, H]
    projected = F.linear(inputs, cell.weight_input, cell.bias).transpose(0, 1)  # [T, B, H]
    return torch.linalg.solve(before, outputs.transpose(0, 1) - projected)  # h W, for as many h as W has rows


def test_weight_dropout_is_the_same_at_every_step_of_a_pass_and_another_in_the_next() -> None:
    torch.manual_seed(0)
    cell = lambda i, h: VanillaCell(i, h, "identity")  # noqa: E731
    network = Recurrent(cell, INPUT, HIDDEN, 1, False, **weight_dropout).double()
    raw = network.layers[0].cell.parametrizations.weight_recurrent.original
    inputs = draw(HIDDEN, 3, INPUT)
    close = {"rtol": 0.0, "atol": 1e-6}  # a linear system was solved
    passes = [used_weight(network, inputs) for _ in range(2)]
    for used in passes:
        torch.testing.assert_close(used, used[:1].expand_as(used), **close)
        dropped = used[0].abs() < 1e-6
        assert 0 < dropped.sum() < dropped.numel()
        torch.testing.assert_close(used[0][~dropped], 2 * raw.T[~dropped], **close)
    assert not torch.allclose(passes[0][0], passes[1][0], atol=1e-3)
    torch.testing.assert_close(used_weight(network.eval(), inputs), raw.T.expand(3, -1, -1), **close)


@each_variant
def test_weight_dropout_is_one_draw_per_layer_none_in_evaluation_and_its_gradient_reaches_the_raw_weight(
    cell: str, layers: int, bidirectional: bool
) -> None:
    network, plain = build(cell, layers, bidirectional, **weight_dropout), build(cell, layers, bidirectional)
    inputs, lengths, state = padded(6, 5), torch.tensor(LENGTHS), states_like(plain, len(LENGTHS))
    real = torch.arange(6)[None] < lengths[:, None]
    originals = [layer.cell.parametrizations.weight_recurrent.original for layer in network.layers]
    for layer, own in zip(network.layers, plain.layers, strict=True):  # the same numbers in both
        names = dict(layer.named_parameters())
        with torch.no_grad():
            for name, parameter in own.named_parameters():
                name = name.replace("weight_recurrent", "parametrizations.weight_recurrent.original")
                parameter.copy_(names[name])
    evaluated = network.eval()(inputs, lengths, state)[0]
    torch.testing.assert_close(evaluated[real], plain(inputs, lengths, state)[0][real], **EXACT)

    torch.manual_seed(11)
    output, finals = network.train()(inputs, lengths, state)
    assert not torch.allclose(output[real], evaluated[real])
    loss = output[real].square().sum() + sum(part.square().sum() for part in flat(finals))
    found = torch.autograd.grad(loss, originals)
    torch.manual_seed(11)
    masks = [F.dropout(torch.ones_like(original), 0.5) for original in originals]  # one draw each, in this order
    with torch.no_grad():
        for layer, mask in zip(plain.layers, masks, strict=True):
            layer.cell.weight_recurrent *= mask
    expected, ends = plain(inputs, lengths, state)
    torch.testing.assert_close(output[real], expected[real], **EXACT)
    loss = expected[real].square().sum() + sum(part.square().sum() for part in flat(ends))
    gradients = torch.autograd.grad(loss, [layer.cell.weight_recurrent for layer in plain.layers])
    for gradient, mask, wanted in zip(found, masks, gradients, strict=True):
        torch.testing.assert_close(gradient, mask * wanted, **EXACT)
        assert gradient.any()

    torch.manual_seed(11)  # and where only the outputs are asked for
    torch.testing.assert_close(network.outputs(inputs, lengths)[real], plain.outputs(inputs, lengths)[real], **EXACT)


@each_variant
def test_a_state_dict_goes_round_with_every_setting(cell: str, layers: int, bidirectional: bool) -> None:
    settings = {"weight_dropout": 0.5, "layer_norm": True, "learned_state": True}
    network = build(cell, layers, bidirectional, **settings)
    torch.manual_seed(4)
    other = Recurrent(CELLS[cell], INPUT, HIDDEN, layers, bidirectional, **settings).double().eval()
    inputs, lengths = padded(6, 5), torch.tensor(LENGTHS)
    real = torch.arange(6)[None] < lengths[:, None]
    wanted = network.eval().outputs(inputs, lengths)[real]
    assert not torch.allclose(other.outputs(inputs, lengths)[real], wanted)
    other.load_state_dict(network.state_dict())
    assert torch.equal(other.outputs(inputs, lengths)[real], wanted)
    assert len(set(network.state_dict())) == len(list(network.parameters()))  # nothing is stored twice
    assert torch.equal(copy.deepcopy(network).outputs(inputs, lengths)[real], wanted)


@each_variant
def test_a_learned_first_state_starts_at_zero_and_gets_a_gradient(cell: str, layers: int, bidirectional: bool) -> None:
    fresh = Recurrent(CELLS[cell], INPUT, HIDDEN, layers, bidirectional, learned_state=True)
    zero = fresh.initial_state(len(LENGTHS))
    assert not any(part.any() for part in flat(zero))
    network = build(cell, layers, bidirectional, learned_state=True)
    inputs, lengths = padded(6, 5), torch.tensor(LENGTHS)
    starts = [part for layer in network.layers for part in layer.start]
    assert len(starts) == len(flat(zero))
    for part, start in zip(flat(network.initial_state(len(LENGTHS))), starts, strict=True):
        assert torch.equal(part, start.expand(len(LENGTHS), -1))  # the same of every sequence
    real = torch.arange(6)[None] < lengths[:, None]

    given = tuple(
        type(cell)(*(part.detach().clone().requires_grad_() for part in cell))
        for cell in network.initial_state(len(LENGTHS))
    )
    expected, _ = network(inputs, lengths, given)
    by_given = torch.autograd.grad(expected[real].square().sum(), flat(given))
    output = network.outputs(inputs, lengths)
    torch.testing.assert_close(output[real], expected[real], **EXACT)
    by_start = torch.autograd.grad(output[real].square().sum(), starts)
    for gradient, wanted in zip(by_start, by_given, strict=True):
        torch.testing.assert_close(gradient, wanted.sum(0), **EXACT)
        assert gradient.any()


def test_a_state_that_is_not_learned_is_no_parameter() -> None:
    network = build("lstm", 2, True)
    assert not any("start" in name for name in network.state_dict())
    assert not any(part.requires_grad for part in flat(network.initial_state(2)))


@each_cell
def test_layer_norm_makes_the_output_blind_to_the_scale_of_the_weights(cell: str) -> None:
    network = build(cell, 1, False, layer_norm=True)
    inputs, lengths = draw(2, 5, INPUT), torch.tensor([5, 5])
    before = network.outputs(inputs, lengths)
    step = network.layers[0].cell
    with torch.no_grad():
        step.weight_input *= 3
        step.weight_recurrent[:] *= 3
    # not to the last digit: 10⁻⁵ is added to the variance
    torch.testing.assert_close(network.outputs(inputs, lengths), before, rtol=1e-2, atol=1e-2)
    plain = build(cell, 1, False)
    with torch.no_grad():
        expected = plain.outputs(inputs, lengths)
        plain.layers[0].cell.weight_input *= 3
        plain.layers[0].cell.weight_recurrent *= 3
    assert (plain.outputs(inputs, lengths) - expected).abs().max() > 0.1


def test_a_layer_that_is_wrapped_is_not_passed_over() -> None:
    class Wrapped(nn.Module):
        """Calls a layer, as torch.compile's wrapper does."""

        def __init__(self, layer: nn.Module) -> None:
            super().__init__()
            self.layer = layer

        def __getattr__(self, name: str) -> Any:
            return super().__getattr__(name) if name == "layer" else getattr(super().__getattr__("layer"), name)

    network, inputs = Recurrent(LSTMCell, 3, 4, 2, False), torch.randn(2, 5, 3)
    expected = network.outputs(inputs, torch.tensor([5, 3]))
    network.layers[1] = Wrapped(network.layers[1])
    assert len(network.initial_state(2)) == 2
    assert torch.equal(network.outputs(inputs, torch.tensor([5, 3])), expected)


@pytest.mark.parametrize("kind", [VanillaCell, LSTMCell, GRUCell, partial(GRUCell, reset="before")])
def test_a_cell_of_double_precision_gets_norms_of_it(kind: Callable[[int, int], Cell]) -> None:
    cell = kind(3, 4).double()
    cell.normalize()
    assert {parameter.dtype for parameter in cell.parameters()} == {torch.float64}


def stepped(network: Recurrent, inputs: Tensor, state: tuple[Any, ...]) -> tuple[Tensor, tuple[Any, ...]]:
    """The outputs of every step, one call of ``step`` each, and the last state."""
    made = []
    for step in inputs.unbind(1):
        output, state = network.step(step, state)
        made.append(output)
    return torch.stack(made, dim=1), state


@each_norm
@each_stack
def test_steps_equal_a_whole_sequence_in_values_states_and_gradients(cell: str, layers: int, layer_norm: bool) -> None:
    network = build(
        cell, layers, False, layer_norm=layer_norm, dropout=0.5, variational=True, weight_dropout=0.5
    ).eval()
    inputs, start = draw(3, 4, INPUT).requires_grad_(), states_like(network, 3)
    for part in flat(start):
        part.requires_grad_()
    found = []
    for output, final in (network(inputs, torch.tensor([4, 4, 4]), start), stepped(network, inputs, start)):
        assert [type(part) for part in final] == [type(part) for part in start]
        loss = (output * draw(*output.shape, seed=5)).sum() + sum(part.square().sum() for part in flat(final))
        found.append([output, *flat(final), *torch.autograd.grad(loss, [inputs, *flat(start), *network.parameters()])])
    for whole, steps in zip(*found, strict=True):
        torch.testing.assert_close(steps, whole, **EXACT)


@pytest.mark.parametrize("variational", [False, True])
def test_a_step_drops_between_layers_in_training_only(variational: bool) -> None:
    for layers in (1, 2):
        network, inputs = build("lstm", layers, False, dropout=0.5, variational=variational), draw(2, INPUT)
        state = states_like(network, 2)
        torch.manual_seed(8)
        (dropped, after), kept = network.step(inputs, state), copy.deepcopy(network).eval().step(inputs, state)[0]
        assert torch.equal(dropped, kept) == (layers == 1)
        torch.manual_seed(8)  # the masks of a sequence of one step
        whole, final = network(inputs[:, None], torch.tensor([1, 1]), state)
        torch.testing.assert_close(dropped, whole[:, 0], **EXACT)
        for part, wanted in zip(flat(after), flat(final), strict=True):
            torch.testing.assert_close(part, wanted, **EXACT)


def test_steps_share_a_mask_of_weight_dropout_where_the_caller_keeps_it() -> None:
    network, inputs = build("lstm", 2, False, **weight_dropout), draw(2, 3, INPUT)
    state = states_like(network, 2)
    torch.manual_seed(8)
    with parametrize.cached():
        steps, _ = stepped(network, inputs, state)
        whole, _ = network(inputs, torch.tensor([3, 3]), state)
    torch.testing.assert_close(steps, whole, **EXACT)
    assert not torch.allclose(stepped(network, inputs, state)[0], steps)


def test_a_bidirectional_network_refuses_to_go_step_by_step() -> None:
    network = build("lstm", 1, True)
    with pytest.raises(BadInput, match="one direction starts at the last step; set bidirectional=false"):
        network.step(draw(2, INPUT), network.initial_state(2))
