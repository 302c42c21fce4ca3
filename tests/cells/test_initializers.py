"""First values: what the papers say that they are."""

from __future__ import annotations

import math

import pytest
import torch
from cells.test_cells import VARIANTS, draw, each_variant
from torch import nn

from unroll.cells import Cell, CoupledLSTMCell, IRNNCell, LSTMCell, PeepholeLSTMCell, initializers

INPUT, HIDDEN = 3, 64
EXACT = {"rtol": 0.0, "atol": 1e-10}

# the gates whose first bias is a promise of its own, by number
FORGET = {"lstm": 1, "peephole-lstm": 1, "coupled-lstm": 0}
with_forget_gate = pytest.mark.parametrize(
    ("kind", "gate"), [(LSTMCell, 1), (PeepholeLSTMCell, 1), (CoupledLSTMCell, 0)]
)


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_every_gates_block_of_an_orthogonal_weight_is_orthogonal(gates: int) -> None:
    torch.manual_seed(0)
    weight = torch.full((gates * 8, 8), float("nan"), dtype=torch.float64)
    initializers.orthogonal(weight)
    blocks = weight.split(8)
    for block in blocks:
        torch.testing.assert_close(block @ block.T, torch.eye(8, dtype=torch.float64), **EXACT)
        hidden = draw(8)
        torch.testing.assert_close((block @ hidden).norm(), hidden.norm(), **EXACT)
    assert len({block[0, 0].item() for block in blocks}) == gates  # each drawn by itself
    assert not torch.equal(blocks[0].abs(), torch.eye(8, dtype=torch.float64))


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_an_identity_weight_is_the_scaled_identity_in_every_gate(scale: float) -> None:
    weight = draw(15, 5)
    initializers.identity(weight, scale)
    for block in weight.split(5):
        assert torch.equal(block, scale * torch.eye(5, dtype=torch.float64))


def test_initializers_fill_parameters_and_record_nothing() -> None:
    for fill in (
        lambda w: initializers.uniform(w, 5), initializers.orthogonal, lambda w: initializers.identity(w, 1.0),
        lambda w: initializers.forget_bias(w, 0, 5, 1.0),
    ):  # fmt: skip
        weight = nn.Parameter(draw(5, 5))
        before = weight.detach().clone()
        fill(weight)
        assert weight.is_leaf
        assert not torch.equal(weight, before)


def test_a_forget_bias_fills_its_gate_and_no_other() -> None:
    bias = draw(12)
    before = bias.clone()
    initializers.forget_bias(bias, 2, 4, 1.5)
    assert torch.equal(bias[8:], torch.full((4,), 1.5, dtype=torch.float64))
    assert torch.equal(bias[:8], before[:8])


def drawn_uniformly(cell: Cell, variant: str) -> dict[str, torch.Tensor]:
    """The parameters, without those of which a paper says something else."""
    if isinstance(cell, IRNNCell):
        return {}
    drawn = dict(cell.named_parameters())
    if variant in FORGET:
        biases = drawn["bias"].view(-1, HIDDEN)
        drawn["bias"] = biases[[gate for gate in range(len(biases)) if gate != FORGET[variant]]]
    return drawn


@each_variant
@pytest.mark.parametrize("again", [False, True], ids=["made", "reset"])
def test_every_parameter_is_drawn_within_one_over_root_hidden(variant: str, again: bool) -> None:
    torch.manual_seed(0)
    cell, bound = VARIANTS[variant].build(INPUT, HIDDEN), 1 / math.sqrt(HIDDEN)
    if again:
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.fill_(9.0)
        cell.reset_parameters()
    for name, parameter in drawn_uniformly(cell, variant).items():
        # 64 numbers and more, all in one half of the range, would be a constant or another distribution
        assert parameter.abs().max() <= bound, name
        assert parameter.min() < -bound / 2, name
        assert parameter.max() > bound / 2, name
        assert abs(parameter.mean().item()) < 4 * bound / math.sqrt(3 * parameter.numel()), name  # 4 standard errors


@with_forget_gate
@pytest.mark.parametrize("value", [1.0, 0.0, 2.5])
def test_the_forget_bias_is_the_argument_and_a_reset_keeps_it(kind: type[LSTMCell], gate: int, value: float) -> None:
    cell = kind(INPUT, HIDDEN, value)
    for _ in range(2):
        biases = cell.bias.view(-1, HIDDEN)
        others = torch.cat([biases[:gate], biases[gate + 1 :]])
        assert torch.equal(biases[gate], torch.full((HIDDEN,), value))
        assert others.abs().max() <= 1 / math.sqrt(HIDDEN)
        assert len(others.unique()) > others.numel() // 2  # drawn, not set
        with torch.no_grad():
            cell.bias.fill_(9.0)
        cell.reset_parameters()


@with_forget_gate
def test_the_forget_bias_is_one_unless_asked_otherwise(kind: type[LSTMCell], gate: int) -> None:
    assert torch.equal(kind(INPUT, HIDDEN).bias.view(-1, HIDDEN)[gate], torch.ones(HIDDEN))


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_an_irnn_starts_as_the_paper_says_and_a_reset_brings_it_back(scale: float) -> None:
    torch.manual_seed(0)
    cell = IRNNCell(100, HIDDEN, scale)
    for _ in range(2):
        assert torch.equal(cell.weight_recurrent, scale * torch.eye(HIDDEN))
        assert not cell.bias.any()
        assert cell.weight_input.std().item() == pytest.approx(0.001, rel=0.05)  # 6,400 numbers: 0.9 % of error
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.fill_(9.0)
        cell.reset_parameters()


@each_variant
def test_a_reset_leaves_a_normalisation_at_gain_one_and_bias_zero(variant: str) -> None:
    cell = VARIANTS[variant].build(INPUT, HIDDEN)
    cell.normalize()
    cell.reset_parameters()
    norms = [module for module in cell.modules() if isinstance(module, nn.LayerNorm)]
    assert len(norms) >= 2
    for norm in norms:
        assert torch.equal(norm.weight, torch.ones_like(norm.weight))
        assert not norm.bias.any()
