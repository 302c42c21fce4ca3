"""Rows of states, whatever a state is made of: tensors, None, tuples and NamedTuples of those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

S = TypeVar("S")  # a tensor, None, or a tuple or NamedTuple of states


class Shared(NamedTuple):
    """Values of sequences that several rows of a state have in common, such as the hypotheses of one sentence.

    Rows are selected in ``owners`` alone, so that a beam does not copy the values. Values are copied only when a
    sequence has no row left, to leave it out.

    Shapes:
        values: a state with one row per sequence, [B, …]; owners: [N], the sequence of each row
    """

    values: Any
    owners: Tensor

    @property
    def rows(self) -> int:
        """Number of sequences B."""
        return len(next(_tensors(self.values)))

    def select(self, rows: Tensor) -> Shared:
        """The rows with these indices."""
        owners = self.owners.index_select(0, rows)
        kept, places = torch.unique(owners, return_inverse=True)
        return Shared(self.values, owners) if len(kept) == self.rows else Shared(select_rows(self.values, kept), places)

    def grouped(self) -> tuple[Any, int]:
        """Values and the number W of rows that each has, where row n of the state reads row n // W of the values.

        The values are as they are if the rows of a sequence are adjacent and every sequence has as many, as in a beam;
        otherwise they are copied for every row.
        """
        count, width = self.rows, max(1, len(self.owners) // self.rows)
        expected = torch.arange(count, device=self.owners.device).repeat_interleave(width)
        if torch.equal(self.owners, expected):
            return self.values, width
        return select_rows(self.values, self.owners), 1

    def apart(self) -> Any:
        """Values of each row."""
        values, width = self.grouped()
        return values if width == 1 else select_rows(self.values, self.owners)


def select_rows(state: S, rows: Tensor) -> S:
    """The rows of a state with the given indices, in that order; an index may occur more than once.

    Args:
        state: tensors of N rows each, and :class:`Shared` values.
        rows: indices of rows.

    Shapes:
        state: [N, …] each, rows: [M], result: [M, …] each
    """
    whole: Any = state
    if isinstance(whole, Shared):
        return whole.select(rows)  # type: ignore[return-value]
    if isinstance(whole, Tensor):
        return whole.index_select(0, rows)  # type: ignore[return-value]
    return state if whole is None else _like(whole, (select_rows(part, rows) for part in whole))


def where_rows(rows: Tensor, chosen: S, other: S) -> S:
    """Rows of two states of equal structure: ``chosen`` where ``rows`` [N] is true, else ``other``."""
    return map_parts(lambda one, two: torch.where(rows.view(-1, *[1] * (one.dim() - 1)), one, two), chosen, other)


def map_parts(function: Callable[..., Tensor], *states: S) -> S:
    """Apply a function to the tensors of a state, or to the corresponding tensors of states of equal structure."""
    first: Any = states[0]
    if isinstance(first, Tensor):
        return function(*states)  # type: ignore[return-value]
    if first is None:
        return states[0]
    others: Any = states
    made: S = _like(first, (map_parts(function, *parts) for parts in zip(*others, strict=True)))
    return made


def _like(state: Any, parts: Iterable[Any]) -> Any:
    """A state of the type of another one."""
    return type(state)(*parts) if hasattr(state, "_fields") else tuple(parts)


def _tensors(state: Any) -> Iterator[Tensor]:
    """Yield the tensors of a state."""
    if isinstance(state, Tensor):
        yield state
    elif state is not None:
        for part in state:
            yield from _tensors(part)
