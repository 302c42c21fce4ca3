"""The input of a cell in parts, each of which is projected as soon as it is known."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from unroll.cells.base import Cell
from unroll.networks.scan import projects_linearly


class Entry:
    """The input of a cell in parts, such as a symbol, a context and a fed-back vector.

    .. math:: x U + b = x_1 U_1 + b + \\sum_{p > 1} x_p U_p \\qquad\\text{for } x = [x_1; \\dots; x_P]

    A product can be computed for all steps at once, or for the steps of a source whose weighted sum is read. Under
    layer normalisation, and for a cell with a projection of its own, parts are joined before the projection.

    Args:
        cell: the cell.
        sizes: size of each part; their sum is the input size of the cell.
    """

    def __init__(self, cell: Cell, sizes: Sequence[int]) -> None:
        self.cell, self.splits = cell, projects_linearly(cell)
        self.columns = torch.split(cell.weight_input, list(sizes), dim=1) if self.splits else ()

    def first(self, values: Tensor) -> Tensor:
        """What the first part adds: x_1 U_1 + b, or x_1 itself; […, I_1] → […, gates · H] or […, I_1]."""
        return F.linear(values, self.columns[0], self.cell.bias) if self.splits else values

    def part(self, number: int, values: Tensor) -> Tensor:
        """What another part adds, counted from 0: x_p U_p, or x_p itself."""
        return F.linear(values, self.columns[number]) if self.splits else values

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """The projected input x U + b of a step, from what its parts add: [B, …] each → [B, gates · H]."""
        if not self.splits:
            return self.cell.project(torch.cat(list(parts), dim=-1))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total
