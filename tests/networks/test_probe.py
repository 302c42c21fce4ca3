"""Cells of one's own: computed as they are written, or refused with their file and line."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll import cells
from unroll.cells import Cell, GRUCell, HiddenState, LSTMCell, LSTMState, PeepholeLSTMCell, VanillaCell
from unroll.errors import BadInput
from unroll.networks.probe import KNOWN, check_cell
from unroll.networks.recurrent import Recurrent


class PlainCell(Cell):
    """What the broken ones below would be if they were not broken."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = torch.tanh(projected + self.recur(state.hidden))
        return hidden, HiddenState(hidden)


class SquashedGRUCell(GRUCell):
    """Another project, whose derivative needs its own output, before a parent that writes to it."""

    def project(self, inputs: Tensor) -> Tensor:
        return torch.tanh(super().project(inputs))


class IdentityGRUCell(GRUCell):
    """A project that hands out its input."""

    def project(self, inputs: Tensor) -> Tensor:
        return inputs


class ClippedLSTMCell(LSTMCell):
    """Another recur."""

    def recur(self, hidden: Tensor) -> Tensor:
        return super().recur(hidden.clamp(-0.1, 0.1))


class RootNormedGRUCell(GRUCell):
    """A norm of another kind, which it sets itself."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm_recurrent = nn.RMSNorm(3 * hidden_size)


class NormedMemoryCell(PeepholeLSTMCell):
    """A norm of the memory alone."""

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.norm_cell = nn.LayerNorm(hidden_size)


class UnbiasedLSTMCell(LSTMCell):
    """A parameter that is a property."""

    @property
    def weight(self) -> Tensor:
        return self.weight_recurrent * 2

    def _weights(self) -> list[Tensor]:
        return [self.weight_input, self.weight_recurrent, torch.zeros_like(self.bias), torch.zeros_like(self.bias)]


class ZonedGRUCell(GRUCell):
    """A step that calls its parent's."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = 0.5 * super().step(projected, state)[0] + 0.5 * state.hidden
        return hidden, HiddenState(hidden)


class StartedCell(PlainCell):
    """A first state that is not zero."""

    def initial_state(self, batch_size: int) -> HiddenState:
        return HiddenState(self._zeros(batch_size) + 0.25)


class Counted(NamedTuple):
    hidden: Tensor
    count: Tensor


class CountingCell(Cell):
    """A part of the state that is no real number, and one of another shape."""

    def initial_state(self, batch_size: int) -> Counted:
        return Counted(self._zeros(batch_size), torch.zeros(batch_size, dtype=torch.long))

    def step(self, projected: Tensor, state: Counted) -> tuple[Tensor, Counted]:
        hidden = torch.tanh(projected + self.recur(state.hidden)) / (1 + state.count[:, None])
        return hidden, Counted(hidden, state.count + 1)


class DroppingCell(PlainCell):
    """Draws in training only."""

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        return super().step(F.dropout(projected, 0.5, self.training), state)


GOOD = [PlainCell, SquashedGRUCell, ClippedLSTMCell, RootNormedGRUCell, NormedMemoryCell, ZonedGRUCell, StartedCell,
        CountingCell, DroppingCell]  # fmt: skip


@pytest.mark.parametrize("kind", GOOD)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_a_cell_of_ones_own_is_computed_as_it_is_written(kind: type[Cell], bidirectional: bool) -> None:
    torch.manual_seed(0)
    network = Recurrent(kind, 3, 4, 1, bidirectional).eval()
    inputs, lengths = torch.randn(2, 5, 3, requires_grad=True), torch.tensor([5, 5])
    output, _ = network(inputs, lengths, network.initial_state(2))
    directions = []
    for number, layer in enumerate(network.layers):
        cell = layer.cell
        state, made = cell.initial_state(2), []
        for part in inputs.unbind(1)[:: -1 if number else 1]:
            step, state = cell(part, state)
            made.append(step)
        directions.append(torch.stack(made[:: -1 if number else 1], dim=1))
    expected = torch.cat(directions, dim=-1)
    torch.testing.assert_close(output, expected)
    parameters = [inputs, *(p for p in network.parameters())]
    found = torch.autograd.grad(output.square().sum(), parameters, allow_unused=True)
    wanted = torch.autograd.grad(expected.square().sum(), parameters, allow_unused=True)
    for one, two in zip(found, wanted, strict=True):
        torch.testing.assert_close(torch.zeros(1) if one is None else one, torch.zeros(1) if two is None else two,
                                   rtol=1e-4, atol=1e-5)  # fmt: skip


def test_a_project_that_hands_out_its_input_is_not_written_to() -> None:
    network, inputs = Recurrent(IdentityGRUCell, 12, 4, 1, False), torch.randn(2, 5, 12)
    before = inputs.clone()
    output, _ = network(inputs, torch.tensor([5, 5]), network.initial_state(2))
    assert torch.equal(inputs, before)
    cell = network.layers[0].cell
    state = cell.initial_state(2)
    for time, part in enumerate(inputs.unbind(1)):
        step, state = cell(part, state)
        torch.testing.assert_close(output[:, time], step)


def test_the_check_of_a_cell_draws_no_number_and_leaves_it_as_it_was() -> None:
    torch.manual_seed(3)
    cell = PlainCell(3, 4)
    before, drawn = cell.weight_input.clone(), torch.get_rng_state()
    check_cell(cell, drops_weights=True)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert cell.training
    assert torch.equal(cell.weight_input, before)
    assert cell.weight_input.grad is None


def test_every_cell_of_this_package_passes_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = [
        kind for kind in KNOWN if inspect.isclass(kind) and issubclass(kind, Cell) and not inspect.isabstract(kind)
    ]
    assert len(kinds) == 6
    monkeypatch.setattr("unroll.networks.probe.KNOWN", set())
    for kind in kinds:
        for normalized in (False, True):
            cell = kind(3, 4)
            if normalized:
                cell.normalize()
            check_cell(cell, drops_weights=True)


def test_a_learned_first_state_begins_where_the_cell_begins() -> None:
    network = Recurrent(StartedCell, 3, 4, 1, False, learned_state=True)
    ((state,),) = network.initial_state(2)
    assert torch.equal(state, torch.full((2, 4), 0.25))


class Shaped(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = projected @ state.hidden  # HERE
        return hidden, HiddenState(hidden)


class Signed(PlainCell):
    def forward(self, inputs: Tensor, state: Any, mask: Tensor) -> tuple[Tensor, Any]:
        return super().forward(inputs * mask, state)


class Chunked(PlainCell):
    def project(self, inputs: Tensor) -> Tensor:
        return torch.cat(super().project(inputs).flip(1).chunk(1, dim=1), dim=1)


class Forwarded(GRUCell):
    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        return super().forward(2 * inputs, state)


class Derived(GRUCell):
    def forward_step(self, work: Any, before: Any, after: Any, weights: Any) -> None:
        super().forward_step(work, before, after, weights)

    def derivatives(self, work: Any, before: Any, after: Any) -> Any:
        return tuple(2 * part for part in super().derivatives(work, before, after))


class Remembering(PlainCell):
    memory: Tensor | None = None

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        if self.memory is not None:
            projected = projected + self.memory
        hidden, after = super().step(projected, state)
        self.memory = hidden.detach()
        return hidden, after


class Drawing(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        return super().step(F.dropout(projected, 0.5), state)


class Writing(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        with torch.no_grad():
            state.hidden.mul_(0.5)
        return super().step(projected, state)


class InPlace(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = torch.sigmoid(projected + self.recur(state.hidden))
        hidden.mul_(hidden)
        return hidden, HiddenState(hidden)


class Doubled(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden, after = super().step(projected, state)
        return hidden.double(), after


class Infinite(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = torch.log(projected - projected)
        return hidden, HiddenState(hidden)


class Wide(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden, after = super().step(projected, state)
        return torch.cat([hidden, hidden], dim=1), after


class Changed(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, Any]:
        hidden, _ = super().step(projected, state)
        return hidden, LSTMState(hidden, hidden)


class Bare(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> Any:
        return super().step(projected, state)[0]


class Listed(PlainCell):
    def initial_state(self, batch_size: int) -> Any:
        return [self._zeros(batch_size)]


class OneRow(PlainCell):
    def initial_state(self, batch_size: int) -> HiddenState:
        return HiddenState(self._zeros(1))


class Unprepared(PlainCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        nn.Module.__init__(self)
        self.input_size, self.hidden_size = input_size, hidden_size


class Biasless(PlainCell):
    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        del self.bias


BROKEN = [Shaped, Signed, Chunked, Forwarded, Derived, Remembering, Drawing, Writing, InPlace, Doubled, Infinite,
          Wide, Changed, Bare, Listed, OneRow, Unprepared, Biasless]  # fmt: skip


@pytest.mark.parametrize("kind", BROKEN)
def test_a_cell_that_breaks_a_rule_is_refused_with_its_file_and_line(kind: type[Cell]) -> None:
    with pytest.raises(BadInput) as refused:
        Recurrent(kind, 12, 4, 1, False)
    said = str(refused.value)
    assert "\n" not in said
    assert kind.__name__ in said
    found = re.match(rf"\S*{Path(__file__).name}, line (\d+): ", said)
    assert found
    lines, first = inspect.getsourcelines(kind)
    assert first <= int(found[1]) < first + len(lines)
    marked = [first + number for number, line in enumerate(lines) if "# HERE" in line]
    assert int(found[1]) in (marked or [int(found[1])])


class Unnormed(PlainCell):
    def project(self, inputs: Tensor) -> Tensor:
        return F.linear(inputs, self.weight_input, self.bias)


class Unrecurred(PlainCell):
    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = torch.tanh(projected + F.linear(state.hidden, self.weight_recurrent))
        return hidden, HiddenState(hidden)


class Unweighted(VanillaCell):
    def recur(self, hidden: Tensor) -> Tensor:
        return hidden


def test_a_setting_that_a_cell_would_ignore_is_refused() -> None:
    for kind, norm in ((Unnormed, "norm_input"), (Unrecurred, "norm_recurrent")):
        Recurrent(kind, 3, 4, 1, False)
        with pytest.raises(BadInput, match=rf"{kind.__name__}.*{norm}.*arch\.encoder\.layer_norm=false"):
            Recurrent(kind, 3, 4, 1, False, layer_norm=True)
    Recurrent(Unweighted, 3, 4, 1, False)
    with pytest.raises(BadInput, match=r"Unweighted.*arch\.encoder\.weight_dropout=0"):
        Recurrent(Unweighted, 3, 4, 1, False, weight_dropout=0.5)


def test_cells_that_are_exported_are_known() -> None:
    assert {getattr(cells, name) for name in cells.__all__} == KNOWN
