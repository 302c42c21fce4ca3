"""Rows of states: selected, mixed and shared, whatever the state is made of."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest
import torch
from cells.test_cells import draw
from torch import Tensor

from unroll.cells import HiddenState, LSTMState
from unroll.networks.state import Shared, map_parts, select_rows, where_rows


class Nested(NamedTuple):
    """A state with everything that a state may have."""

    cells: tuple[Any, ...]
    nothing: None
    counts: Tensor
    masks: tuple[Tensor | None, ...]


def nested(rows: int, seed: int = 1) -> Nested:
    cells = (
        LSTMState(draw(rows, 3, seed=seed), draw(rows, 3, seed=seed + 1)),
        HiddenState(draw(rows, 2, 2, seed=seed)),
    )
    return Nested(cells, None, torch.arange(rows) + seed, (None, draw(rows, 4, seed=seed + 2)))


def tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    return [] if state is None else [tensor for part in state for tensor in tensors(part)]


def test_rows_are_selected_in_every_part_of_a_state() -> None:
    state, rows = nested(4), torch.tensor([3, 0, 0, 2, 1])
    chosen = select_rows(state, rows)
    assert isinstance(chosen, Nested)
    assert [type(cell) for cell in chosen.cells] == [LSTMState, HiddenState]
    assert chosen.nothing is None
    assert chosen.masks[0] is None
    assert len(tensors(chosen)) == 5
    for part, whole in zip(tensors(chosen), tensors(state), strict=True):
        assert torch.equal(part, whole[rows])


def test_rows_of_two_states_are_mixed_in_every_part() -> None:
    one, two, rows = nested(3), nested(3, seed=50), torch.tensor([True, False, True])
    mixed = where_rows(rows, one, two)
    assert isinstance(mixed.cells[0], LSTMState)
    for part, first, second in zip(tensors(mixed), tensors(one), tensors(two), strict=True):
        for row, is_first in enumerate(rows):
            assert torch.equal(part[row], (first if is_first else second)[row])


def test_a_function_is_applied_to_corresponding_parts() -> None:
    summed = map_parts(torch.add, nested(2), nested(2, seed=7))
    assert isinstance(summed, Nested)
    for part, one, two in zip(tensors(summed), tensors(nested(2)), tensors(nested(2, seed=7)), strict=True):
        assert torch.equal(part, one + two)


def test_states_of_different_structure_are_not_mixed() -> None:
    with pytest.raises(ValueError, match="zip"):
        map_parts(torch.add, (draw(2),), (draw(2), draw(2)))


class TestShared:
    """What several rows have in common."""

    values = (None, draw(3, 5), (draw(3, 2, 2), None))

    def read(self, shared: Shared) -> list[list[Tensor]]:
        """The values that each row reads."""
        values, width = shared.grouped()
        return [[part[n // width] for part in tensors(values)] for n in range(len(shared.owners))]

    @pytest.mark.parametrize(
        "owners", [[0, 1, 2], [0, 0, 1, 1, 2, 2], [2, 0, 1], [0, 1, 1, 2], [2, 2, 2], [1, 0]], ids=str
    )
    def test_each_row_reads_the_values_of_its_owner(self, owners: list[int]) -> None:
        for row, owner in zip(self.read(Shared(self.values, torch.tensor(owners))), owners, strict=True):
            assert all(torch.equal(part, whole[owner]) for part, whole in zip(row, tensors(self.values), strict=True))

    @pytest.mark.parametrize("rows", [[0, 2, 4], [1, 1, 3, 2], [5, 4, 3], [0, 1], [4, 4, 4, 1, 1, 1]], ids=str)
    def test_selected_rows_read_what_they_read_before(self, rows: list[int]) -> None:
        shared = Shared(self.values, torch.tensor([0, 0, 1, 1, 2, 2]))
        before, chosen = self.read(shared), select_rows((shared, None), torch.tensor(rows))[0]
        for row, origin in zip(self.read(chosen), rows, strict=True):
            assert all(torch.equal(part, whole) for part, whole in zip(row, before[origin], strict=True))

    def test_a_beam_copies_nothing(self) -> None:
        shared = Shared(self.values, torch.arange(3))
        beam = shared.select(torch.arange(3).repeat_interleave(4))
        reordered = beam.select(torch.tensor([3, 3, 0, 1, 4, 5, 6, 4, 11, 8, 9, 9]))
        values, width = reordered.grouped()
        assert width == 4
        assert all(part is whole for part, whole in zip(tensors(values), tensors(self.values), strict=True))

    def test_sequences_without_rows_are_left_out(self) -> None:
        shared = Shared(self.values, torch.tensor([0, 0, 1, 1, 2, 2])).select(torch.tensor([0, 1, 4, 4]))
        values, width = shared.grouped()
        assert (shared.rows, width) == (2, 2)
        assert all(
            torch.equal(part, whole[[0, 2]]) for part, whole in zip(tensors(values), tensors(self.values), strict=True)
        )
