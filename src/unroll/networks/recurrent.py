"""Whole sequences: any cell, stacked, in one direction or two, exact under padding."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from unroll.cells import CELLS
from unroll.cells.base import Cell
from unroll.errors import BadInput

State = tuple[Any, ...]  # one cell state per layer and direction, forward before backward


class RecurrentLayer(nn.Module):
    """One cell over time, forwards or backwards.

    The backward direction reverses each sequence by its own length, so that it starts at the last real step:
    padding is never read before a real step, and torch's dense kernel still does the work (packed sequences
    lose the fused kernel and take about twice the time on a CPU).

    Args:
        cell: the step.
        backward: whether time runs from the last real step to the first.

    Shapes:
        inputs: [B, T, I], lengths: [B], output: [B, T, H]; the output beyond a sequence's length is undefined
    """

    def __init__(self, cell: Cell, backward: bool) -> None:
        super().__init__()
        self.cell, self.backward_in_time = cell, backward

    def outputs(self, inputs: Tensor, lengths: Tensor, state: Any) -> Tensor:
        """Output of every step, without the final state."""
        if not self.backward_in_time:
            return self.cell.fused(inputs, state)[0]
        return reverse(self.cell.fused(reverse(inputs, lengths), state)[0], lengths)

    def forward(self, inputs: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Output of every step and the state after each sequence's last one."""
        if self.backward_in_time:
            inputs = reverse(inputs, lengths)
        output, final = self.cell.fused(inputs, state)
        if int(lengths.min()) < inputs.shape[1]:
            final = self.cell.final_state(inputs, output, lengths, state)
        return (reverse(output, lengths) if self.backward_in_time else output), final


class Recurrent(nn.Module):
    """Layers of one kind of cell, each in one direction or two, with dropout between them.

    Args:
        cell: name of the cell, one of ``unroll.cells.CELLS``.
        input_size: width I of one step.
        hidden_size: width H of each direction.
        layers: number of layers L.
        bidirectional: whether a second set of cells reads each sequence from its end.
        dropout: probability that a unit between two layers is dropped, in [0, 1).

    Shapes:
        inputs: [B, T, I], lengths: [B], output: [B, T, D · H]; state: L · D cell states of [B, H]

    Raises:
        BadInput: the cell's name is unknown.
    """

    def __init__(
        self, cell: str, input_size: int, hidden_size: int, layers: int, bidirectional: bool, dropout: float
    ) -> None:
        super().__init__()
        if cell not in CELLS:
            raise BadInput(f"There is no cell {cell!r}; choose one of {', '.join(CELLS)}.")
        self.directions = 2 if bidirectional else 1
        self.hidden_size, self.output_size = hidden_size, self.directions * hidden_size
        widths = [input_size] + [self.output_size] * (layers - 1)
        self.layers = nn.ModuleList(
            RecurrentLayer(CELLS[cell](width, hidden_size), backward=direction == 1)
            for width in widths
            for direction in range(self.directions)
        )
        self.dropout = nn.Dropout(dropout)

    def initial_state(self, batch_size: int) -> State:
        """Zero state of every layer and direction."""
        return tuple(layer.cell.initial_state(batch_size) for layer in self._typed_layers())

    def outputs(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Output of every step from the zero state; cheaper than :meth:`forward` on ragged batches."""
        starts = self.initial_state(len(inputs))
        for index, group in enumerate(self._by_depth()):
            inputs = self.dropout(inputs) if index else inputs
            first = index * self.directions
            parts = [layer.outputs(inputs, lengths, starts[first + d]) for d, layer in enumerate(group)]
            inputs = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]  # [B, T, D · H]
        return inputs

    def forward(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Output of every step and the final state of every layer and direction, from a given state."""
        finals: list[Any] = []
        for index, group in enumerate(self._by_depth()):
            inputs = self.dropout(inputs) if index else inputs
            first = index * self.directions
            parts = [layer(inputs, lengths, state[first + d]) for d, layer in enumerate(group)]
            inputs = torch.cat([output for output, _ in parts], dim=-1)  # [B, T, D · H]
            finals.extend(final for _, final in parts)
        return inputs, tuple(finals)

    def _typed_layers(self) -> list[RecurrentLayer]:
        return [layer for layer in self.layers if isinstance(layer, RecurrentLayer)]

    def _by_depth(self) -> list[list[RecurrentLayer]]:
        layers = self._typed_layers()
        return [layers[i : i + self.directions] for i in range(0, len(layers), self.directions)]


def reverse(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence within its own length; padding stays where it is.

    Shapes:
        sequences: [B, T, …], lengths: [B], result: [B, T, …]
    """
    time = torch.arange(sequences.shape[1], device=sequences.device)[None]  # [1, T]
    source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # [B, T]
    return sequences.gather(1, source[..., None].expand_as(sequences))
