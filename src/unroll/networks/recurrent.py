"""Whole sequences: any cell, stacked, in one direction or two, exact under padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from unroll.cells.base import Cell
from unroll.networks.probe import check_cell
from unroll.networks.scan import outputs, scan

State = tuple[Any, ...]  # one cell state per layer and direction, forward before backward
CellFactory = Callable[[int, int], Cell]  # input width I and hidden width H → a cell


class RecurrentLayer(nn.Module):
    """One cell over time, forwards or backwards.

    The backward direction reverses each sequence by its own length, so that it starts at the last real step:
    padding is never read before a real step, and torch's dense kernel still does the work (packed sequences
    lose the fused kernel and take about twice the time on a CPU).

    Args:
        cell: the step.
        backward: whether time runs from the last real step to the first.
        learned_state: whether the first state is a parameter, at first the cell's own, which most often is zero.

    Shapes:
        inputs: [B, T, I], lengths: [B], output: [B, T, H]; the output beyond a sequence's length is undefined
    """

    def __init__(self, cell: Cell, backward: bool, learned_state: bool = False) -> None:
        super().__init__()
        self.cell, self.backward_in_time = cell, backward
        parts = cell.initial_state(1) if learned_state else ()
        self.start = nn.ParameterList(nn.Parameter(part[0].detach().clone()) for part in parts)

    def initial_state(self, batch_size: int) -> Any:
        """The first state of ``batch_size`` sequences: zero, or what was learned."""
        zero = self.cell.initial_state(batch_size)
        if not len(self.start):
            return zero
        return type(zero)(*(part.expand(batch_size, *part.shape).contiguous() for part in self.start))

    def outputs(self, inputs: Tensor, lengths: Tensor, state: Any) -> Tensor:
        """Output of every step, without the final state."""
        with parametrize.cached():  # one dropout of a weight for all steps
            if not self.backward_in_time:
                return outputs(self.cell, inputs, lengths, state)
            return reverse(outputs(self.cell, reverse(inputs, lengths), lengths, state), lengths)

    def forward(self, inputs: Tensor, lengths: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Output of every step and the state after each sequence's last one."""
        with parametrize.cached():
            if not self.backward_in_time:
                return scan(self.cell, inputs, lengths, state)
            output, final = scan(self.cell, reverse(inputs, lengths), lengths, state)
            return reverse(output, lengths), final


class Recurrent(nn.Module):
    """Layers of one kind of cell, each in one direction or two.

    Args:
        cell: makes a cell of an input width and a hidden width.
        input_size: width I of one step.
        hidden_size: width H of each direction.
        layers: number of layers L.
        bidirectional: whether a second set of cells reads each sequence from its end.
        dropout: probability that a unit between two layers is dropped, in [0, 1).
        variational: whether a sequence drops the same units at every step (Gal and Ghahramani 2016).
        weight_dropout: probability that an entry of W is dropped, the same at every step (Merity et al. 2018).
        layer_norm: whether the cells normalise their products (Ba et al. 2016).
        learned_state: whether the first state is learned instead of zero.

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
        """First state of every layer and direction."""
        return tuple(layer.initial_state(batch_size) for layer in self._typed_layers())

    def outputs(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Output of every step from the first state; cheaper than :meth:`forward` on ragged batches."""
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
        return cast("list[RecurrentLayer]", list(self.layers))

    def _by_depth(self) -> list[list[RecurrentLayer]]:
        layers = self._typed_layers()
        return [layers[i : i + self.directions] for i in range(0, len(layers), self.directions)]


def recurrent_matrices(network: nn.Module) -> list[nn.Parameter]:
    """W of every cell of a network, under its dropout where it has one."""
    found = []
    for module in network.modules():
        if isinstance(module, Cell):
            holder: Any = module
            if parametrize.is_parametrized(module, "weight_recurrent"):
                found.append(holder.parametrizations.weight_recurrent.original)
            else:
                found.append(module.weight_recurrent)
    return found


class LockedDropout(nn.Module):
    """Dropout whose mask is the same at every step of a sequence: Gal and Ghahramani, NeurIPS 2016.

    Args:
        probability: that a unit is dropped, in [0, 1).

    Shapes:
        sequences: [B, T, F]
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, sequences: Tensor) -> Tensor:
        """Drop the same units at every step, other ones of each sequence."""
        if not self.training or not self.probability:
            return sequences
        return sequences * F.dropout(torch.ones_like(sequences[:, :1]), self.probability)  # [B, 1, F]


class WeightDropout(nn.Module):
    """Dropout of a weight's entries, "DropConnect": Wan et al. 2013; on W: Merity, Keskar, Socher, ICLR 2018.

    Args:
        probability: that an entry is dropped, in [0, 1).
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, weight: Tensor) -> Tensor:
        """The weight with which a whole sequence is read."""
        return F.dropout(weight, self.probability, self.training)


def reverse(sequences: Tensor, lengths: Tensor) -> Tensor:
    """Reverse each sequence within its own length; padding stays where it is.

    Shapes:
        sequences: [B, T, F], lengths: [B], result: [B, T, F]
    """
    time = torch.arange(sequences.shape[1], device=sequences.device)[None]  # [1, T]
    source = torch.where(time < lengths[:, None], lengths[:, None] - 1 - time, time)  # [B, T]
    return sequences.gather(1, source[..., None].expand_as(sequences))
