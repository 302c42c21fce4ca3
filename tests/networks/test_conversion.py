"""Weights to torch's modules and back: the same outputs, final states and gradients."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
import torch
from cells.test_cells import EXACT, VARIANTS, draw, randomized
from networks.test_scan import OwnCell
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unroll.cells import IRNNCell, LSTMCell, LSTMState, VanillaCell
from unroll.errors import BadInput
from unroll.networks.conversion import from_torch, to_torch
from unroll.networks.recurrent import Recurrent

INPUT, HIDDEN, TIME = 3, 4, 6
LENGTHS = torch.tensor([4, 1, 6, 3])

TWINS = {
    "vanilla-tanh": lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k),
    "vanilla-relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "irnn": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "lstm": nn.LSTM,
    "gru-after": nn.GRU,
}
WITHOUT = ["vanilla-sigmoid", "vanilla-identity", "coupled-lstm", "peephole-lstm", "gru-before"]

each_shape = pytest.mark.parametrize(
    ("variant", "layers", "bidirectional"),
    [pytest.param(v, n, b, id=f"{v}-{n}x{1 + b}") for v, n, b in product(TWINS, (1, 2), (False, True))],
)


def ours(variant: str, layers: int = 1, bidirectional: bool = False, **settings: Any) -> Recurrent:
    torch.manual_seed(3)
    build = VARIANTS[variant].build
    network: Recurrent = randomized(Recurrent(build, INPUT, HIDDEN, layers, bidirectional, **settings).double())
    return network


def theirs(variant: str, layers: int = 1, bidirectional: bool = False, **settings: Any) -> Any:
    torch.manual_seed(3)
    module = TWINS[variant](
        INPUT, HIDDEN, layers, bidirectional=bidirectional, **{"batch_first": True} | settings
    ).double()
    return randomized(module)


def parts_of(state: Any) -> list[Tensor]:
    """A network's state as torch has it: h, and c where there is one, each [L · D, B, H]."""
    return [torch.stack(parts) for parts in zip(*state, strict=True)]


def run_ours(network: Recurrent, inputs: Tensor, start: list[Tensor], lengths: Tensor) -> list[Tensor]:
    zero = network.initial_state(len(inputs))
    state = tuple(type(cell)(*(part[n] for part in start)) for n, cell in enumerate(zero))
    output, final = network(inputs, lengths, state)
    real = torch.arange(inputs.shape[1])[None] < lengths[:, None]
    return [output * real[..., None], *parts_of(final)]


def run_theirs(module: nn.RNNBase, inputs: Tensor, start: list[Tensor], lengths: Tensor) -> list[Tensor]:
    packed = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
    output, final = module(packed, tuple(start) if len(start) == 2 else start[0])
    padded, _ = pad_packed_sequence(output, batch_first=True, total_length=inputs.shape[1])
    return [padded, *(final if isinstance(final, tuple) else (final,))]


def in_our_names(module: nn.RNNBase, number: int, gradients: dict[str, Tensor]) -> dict[str, Tensor]:
    """Gradients by torch's weights of one layer and direction, under the names of ours.

    Of two biases that are added, each has the gradient of the sum.
    """
    directions = 2 if module.bidirectional else 1
    suffix = f"_l{number // directions}" + ("_reverse" if number % directions else "")
    named = {"weight_input": "weight_ih", "weight_recurrent": "weight_hh", "bias": "bias_ih"}
    wanted = {name: gradients[other + suffix] for name, other in named.items() if other + suffix in gradients}
    if isinstance(module, nn.GRU) and module.bias:
        wanted["bias_candidate"] = gradients["bias_hh" + suffix][2 * module.hidden_size :]
    return wanted


def assert_same(network: Recurrent, module: nn.RNNBase, lengths: Tensor = LENGTHS) -> None:
    """Outputs, final states and every gradient, on a ragged batch from a given state."""
    inputs = draw(len(lengths), TIME, INPUT)
    shape = (module.num_layers * (2 if module.bidirectional else 1), len(lengths), module.hidden_size)
    states = [draw(*shape, seed=5 + n) for n in range(2 if isinstance(module, nn.LSTM) else 1)]
    results, gradients = [], []
    for run, model in ((run_ours, network), (run_theirs, module)):
        leaves = [inputs.clone().requires_grad_(), *(part.clone().requires_grad_() for part in states)]
        made = run(model, leaves[0], leaves[1:], lengths)
        loss = sum((part * draw(*part.shape, seed=20 + n)).sum() for n, part in enumerate(made))
        found = torch.autograd.grad(loss, [*leaves, *model.parameters()])
        results.append([*made, *found[: len(leaves)]])
        names = [name for name, _ in model.named_parameters()]
        gradients.append(dict(zip(names, found[len(leaves) :], strict=True)))
    for one, two in zip(*results, strict=True):
        torch.testing.assert_close(one, two, **EXACT)
    compared = 0
    for number in range(len(network.layers)):
        for name, gradient in in_our_names(module, number, gradients[1]).items():
            torch.testing.assert_close(gradients[0][f"layers.{number}.cell.{name}"], gradient, **EXACT)
            compared += 1
    assert compared == len(gradients[0]) - (0 if module.bias else missing_biases(network))


def missing_biases(network: Recurrent) -> int:
    return sum("bias" in name for name, _ in network.named_parameters())


def test_every_variant_has_a_twin_or_is_refused_here() -> None:
    assert sorted([*TWINS, *WITHOUT]) == sorted(VARIANTS)


@each_shape
def test_a_network_and_the_module_made_of_it_give_the_same(variant: str, layers: int, bidirectional: bool) -> None:
    network = ours(variant, layers, bidirectional)
    module = to_torch(network)
    assert type(module) is type(theirs(variant))
    assert module.batch_first
    assert_same(network, module)
    second = module.bias_hh_l0
    assert not second[: 2 * HIDDEN].any()
    assert bool(second.any()) == (variant == "gru-after")


@each_shape
def test_a_module_and_the_network_made_of_it_give_the_same(variant: str, layers: int, bidirectional: bool) -> None:
    module = theirs(variant, layers, bidirectional)
    assert_same(from_torch(module), module)


@pytest.mark.parametrize("variant", TWINS)
def test_a_module_without_bias_has_bias_zero_here(variant: str) -> None:
    module = theirs(variant, 2, True, bias=False)
    network = from_torch(module)
    assert_same(network, module)
    assert not any(value.any() for name, value in network.named_parameters() if "bias" in name)


@pytest.mark.parametrize("variant", TWINS)
def test_a_module_that_reads_time_first_becomes_one_that_reads_batch_first(variant: str) -> None:
    module = theirs(variant, 2, batch_first=False)
    inputs = draw(2, TIME, INPUT)
    output = from_torch(module).outputs(inputs, torch.tensor([TIME, TIME]))
    torch.testing.assert_close(output, module(inputs.transpose(0, 1))[0].transpose(0, 1), **EXACT)


@each_shape
def test_there_and_back_is_the_same_network_number_by_number(variant: str, layers: int, bidirectional: bool) -> None:
    network = ours(variant, layers, bidirectional, dropout=0.25)
    back = from_torch(to_torch(network))
    assert network.state_dict().keys() == back.state_dict().keys()
    for name, value in network.state_dict().items():
        assert torch.equal(back.state_dict()[name], value), name
    module = to_torch(back)
    for name, value in to_torch(network).state_dict().items():
        assert torch.equal(module.state_dict()[name], value), name


@pytest.mark.parametrize("variant", TWINS)
def test_settings_types_and_modes_are_kept_and_no_memory_is_shared(variant: str) -> None:
    network = ours(variant, 2, True, dropout=0.25).float().eval()
    module = to_torch(network)
    assert (module.num_layers, module.bidirectional, module.dropout) == (2, True, 0.25)
    assert (module.input_size, module.hidden_size) == (INPUT, HIDDEN)
    assert {parameter.dtype for parameter in module.parameters()} == {torch.float32}
    back = from_torch(module)
    assert not module.training
    assert not back.training
    assert (back.directions, back.hidden_size, back.dropout.p) == (2, HIDDEN, 0.25)
    before = [parameter.clone() for parameter in (*network.parameters(), *back.parameters())]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(9.0)
    for parameter, kept in zip((*network.parameters(), *back.parameters()), before, strict=True):
        assert torch.equal(parameter, kept)
        assert parameter.requires_grad


def test_a_network_of_one_layer_drops_nothing_and_becomes_a_module_without_a_warning() -> None:
    network = ours("lstm", 1, False, dropout=0.5)
    assert to_torch(network).dropout == 0.0
    assert to_torch(ours("lstm", 1, False, variational=True)).dropout == 0.0  # of nothing


@pytest.mark.parametrize("variant", WITHOUT)
def test_a_cell_that_torch_has_no_form_of_is_refused(variant: str) -> None:
    name = type(VARIANTS[variant].build(INPUT, HIDDEN)).__name__
    with pytest.raises(BadInput, match=f"torch has no recurrent module for this {name}; it has the vanilla cell"):
        to_torch(ours(variant))


class OtherLSTMCell(LSTMCell):
    """An LSTM whose step is another."""

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        output, after = super().step(projected, state)
        return -output, after


@pytest.mark.parametrize("cell", [OwnCell, OtherLSTMCell])
def test_a_cell_of_ones_own_is_refused_even_if_it_is_derived_from_one_that_torch_has(cell: Any) -> None:
    with pytest.raises(BadInput, match=cell.__name__):
        to_torch(Recurrent(cell, INPUT, HIDDEN, 1, False))


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"layer_norm": True}, "layer_norm"),
        ({"weight_dropout": 0.5}, "weight_dropout"),
        ({"learned_state": True}, "learned_state"),
        ({"dropout": 0.5, "variational": True}, "variational"),
    ],
)
@pytest.mark.parametrize("variant", TWINS)
def test_a_setting_that_torch_has_no_form_of_is_refused(variant: str, settings: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        to_torch(ours(variant, 2, **settings))


def test_a_stack_of_different_cells_is_refused() -> None:
    cells = iter([VanillaCell(INPUT, HIDDEN), IRNNCell(HIDDEN, HIDDEN)])
    with pytest.raises(BadInput, match="different cells"):
        to_torch(Recurrent(lambda *_: next(cells), INPUT, HIDDEN, 2, False))


def test_a_module_that_projects_its_output_or_is_not_recurrent_is_refused() -> None:
    with pytest.raises(BadInput, match="proj_size=0"):
        from_torch(nn.LSTM(INPUT, HIDDEN, proj_size=2))
    with pytest.raises(BadInput, match=r"Linear is not a recurrent module .* nn\.RNN, nn\.LSTM or nn\.GRU"):
        from_torch(nn.Linear(INPUT, HIDDEN))  # type: ignore[arg-type]
