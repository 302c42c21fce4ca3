"""Recurrent networks over padded sequences: any cell, stacked, in one or two directions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from unroll.cells.base import Cell, CellState
from unroll.errors import BadInput
from unroll.networks.probe import check_cell
from unroll.networks.scan import outputs, scan

State = tuple[CellState, ...]  # one cell state per layer and direction, forward before backward
CellFactory = Callable[[int, int], Cell]  # input size I and hidden size H → a cell


class RecurrentLayer(nn.Module):
    """One cell over time, forwards or backwards.

    The backward direction reverses each sequence within its length, so that it starts at the last real step. Padding
    is never read before a real step, and torch's dense kernel can be used; packed sequences take about twice the time
    on a CPU.

    Args:
        cell: the cell, which computes one step.
        backward: whether to read from the last real step to the first.
        learned_state: whether the initial state is a parameter, initialised to the initial state of the cell.

    Shapes:
        inputs: [B, T, I], lengths: [B], output: [B, T, H]; the output is undefined beyond the length of a sequence
    """

    def __init__(self, cell: Cell, backward: bool, learned_state: bool = False) -> None:
        super().__init__()
        self.cell, self.backward_in_time = cell, backward
        parts = cell.initial_state(1) if learned_state else ()
        self.start = nn.ParameterList(nn.Parameter(part[0].detach().clone()) for part in parts)

    def initial_state(self, batch_size: int) -> CellState:
        """The initial state of ``batch_size`` sequences, zero or learned."""
        zero = self.cell.initial_state(batch_size)
        if not len(self.start):
            return zero
        return type(zero)(*(part.expand(batch_size, *part.shape).contiguous() for part in self.start))

    def outputs(self, inputs: Tensor, lengths: Tensor, state: CellState, context: Tensor | None = None) -> Tensor:
        """Output of every step, without the final state; ``context`` [B, C] is joined to each input, see ``scan``."""
        with parametrize.cached():  # one weight dropout mask for all steps
            if not self.backward_in_time:
                return outputs(self.cell, inputs, lengths, state, context)
            return reverse(outputs(self.cell, reverse(inputs, lengths), lengths, state, context), lengths)

    def forward(self, inputs: Tensor, lengths: Tensor, state: CellState) -> tuple[Tensor, CellState]:
        """Output of every step, and the state after the last step of each sequence."""
        with parametrize.cached():
            if not self.backward_in_time:
                return scan(self.cell, inputs, lengths, state)
            output, final = scan(self.cell, reverse(inputs, lengths), lengths, state)
            return reverse(output, lengths), final


class Recurrent(nn.Module):
    """Stacked recurrent layers, each in one or two directions.

    Args:
        cell: constructs a cell from an input size and a hidden size.
        input_size: size I of the input of one step.
        hidden_size: size H of each direction.
        layers: number of layers L.
        bidirectional: whether a second direction reads each sequence from its end.
        dropout: dropout probability between layers, in [0, 1).
        variational: whether to use the same dropout mask at every step (Gal and Ghahramani 2016).
        weight_dropout: dropout probability on the entries of W, equal at every step (Merity et al. 2018).
        layer_norm: whether to apply layer normalisation in the cells (Ba et al. 2016).
        learned_state: whether to learn the initial state.

    Shapes:
        inputs: [B, T, I], lengths: [B], output: [B, T, D · H]; state: L · D cell states of [B, H]
    """

    def __init__(
        self,
        cell: CellFactory,
        input_size: int,
        hidden_size: int,
        layers: int,
        bidirectional: bool,
        dropout: float = 0.0,
        variational: bool = False,
        weight_dropout: float = 0.0,
        layer_norm: bool = False,
        learned_state: bool = False,
    ) -> None:
        super().__init__()
        self.directions = 2 if bidirectional else 1
        self.hidden_size, self.output_size = hidden_size, self.directions * hidden_size
        self.layers = nn.ModuleList()
        for width in [input_size] + [self.output_size] * (layers - 1):
            for direction in range(self.directions):
                step = cell(width, hidden_size)
                if layer_norm:
                    step.normalize()
                check_cell(step, drops_weights=weight_dropout > 0)
                if weight_dropout:
                    parametrize.register_parametrization(step, "weight_recurrent", WeightDropout(weight_dropout))
                self.layers.append(RecurrentLayer(step, direction == 1, learned_state))
        self.dropout: nn.Module = LockedDropout(dropout) if variational else nn.Dropout(dropout)

    def initial_state(self, batch_size: int) -> State:
        """Initial state of every layer and direction."""
        return tuple(layer.initial_state(batch_size) for layer in self._typed_layers())

    def outputs(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Output of every step from the initial state; faster than :meth:`forward` on ragged batches."""
        starts = self.initial_state(len(inputs))
        for index, group in enumerate(self._by_depth()):
            inputs = self.dropout(inputs) if index else inputs
            first = index * self.directions
            parts = [layer.outputs(inputs, lengths, starts[first + d]) for d, layer in enumerate(group)]
            inputs = torch.cat(parts, dim=-1) if len(parts) > 1 else parts[0]  # [B, T, D · H]
        return inputs

    def forward(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Output of every step and the final state of every layer and direction, from a given state."""
        finals: list[CellState] = []
        for index, group in enumerate(self._by_depth()):
            inputs = self.dropout(inputs) if index else inputs
            first = index * self.directions
            parts = [layer(inputs, lengths, state[first + d]) for d, layer in enumerate(group)]
            inputs = torch.cat([output for output, _ in parts], dim=-1)  # [B, T, D · H]
            finals.extend(final for _, final in parts)
        return inputs, tuple(finals)

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Output of one step and the new state of every layer; equal to :meth:`forward` over sequences of one step.

        Each call has its own dropout masks; a caller that trains on steps keeps the mask of weight dropout for a
        sequence with ``parametrize.cached()``.

        Shapes:
            inputs: [B, I], output: [B, H], state: L cell states of [B, H]

        Raises:
            BadInput: the network has a second direction, which would have to read the following steps first.
        """
        if self.directions == 2:
            raise BadInput("A bidirectional network cannot go step by step, since one direction starts at the last "
                           "step; set bidirectional=false.")  # fmt: skip
        after: list[CellState] = []
        with parametrize.cached():
            for layer, before in zip(self._typed_layers(), state, strict=True):
                inputs = self.dropout(inputs[:, None])[:, 0] if after else inputs
                inputs, new = layer.cell(inputs, before)
                after.append(new)
        return inputs, tuple(after)

    def _typed_layers(self) -> list[RecurrentLayer]:
        return cast("list[RecurrentLayer]", list(self.layers))

    def _by_depth(self) -> list[list[RecurrentLayer]]:
        layers = self._typed_layers()
        return [layers[i : i + self.directions] for i in range(0, len(layers), self.directions)]


def recurrent_matrices(network: nn.Module) -> list[nn.Parameter]:
    """W of every cell of a network, before weight dropout."""
    matrices = []
    for module in network.modules():
        if isinstance(module, Cell):
            holder: Any = module
            if parametrize.is_parametrized(module, "weight_recurrent"):
                matrices.append(holder.parametrizations.weight_recurrent.original)
            else:
                matrices.append(module.weight_recurrent)
    return matrices


class LockedDropout(nn.Module):
    """Dropout whose mask is the same at every step of a sequence: Gal and Ghahramani, NeurIPS 2016.

    Args:
        probability: dropout probability, in [0, 1).

    Shapes:
        sequences: [B, T, F]
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, sequences: Tensor) -> Tensor:
        """Drop the same units at every step of a sequence."""
        mask = self.draw(sequences[:, :1])  # [B, 1, F]
        return sequences if mask is None else sequences * mask

    def draw(self, like: Tensor) -> Tensor | None:
        """A mask of the shape of ``like``, to be used at every step; None if nothing is dropped."""
        if not self.training or not self.probability:
            return None
        return F.dropout(torch.ones_like(like), self.probability)


class WeightDropout(nn.Module):
    """Dropout on the entries of a weight (DropConnect): Wan et al. 2013; on W: Merity, Keskar, Socher, ICLR 2018.

    Args:
        probability: dropout probability, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, weight: Tensor) -> Tensor:
        """The weight after dropout, used for a whole sequence."""
        return F.dropout(weight, self.probability, self.training)


def reverse(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence within its length; padding does not move.

    Shapes:
        sequences: [B, T, F], lengths: [B], result: [B, T, F]
    """
    batch, steps, width = sequences.shape
    time = torch.arange(steps, device=sequences.device)[None]  # [1, T]
    source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # [B, T]
    begin = steps * torch.arange(batch, device=sequences.device)[:, None]  # [B, 1]
    # whole rows of memory are copied, which takes an eighth of the time of gathering single numbers
    return sequences.reshape(-1, width).index_select(0, (begin + source).flatten()).view(batch, steps, width)
