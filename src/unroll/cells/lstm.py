"""Long short-term memory (Hochreiter and Schmidhuber 1997)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from unroll.cells import initializers
from unroll.cells.base import Cell, KernelCell


class LSTMState(NamedTuple):
    """State of an LSTM.

    Shapes:
        hidden: [B, H], cell: [B, H]
    """

    hidden: Tensor
    cell: Tensor


class GatedMemory(Cell):
    """Base class of cells with a memory c beside their output: the state, the forget bias and the norm of the memory.

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        forget_gate: index of the forget gate in the order of the stacked gates.
        forget_bias: initial bias of the forget gate.
    """

    def __init__(self, input_size: int, hidden_size: int, forget_gate: int, forget_bias: float) -> None:
        self.forget_gate, self.forget_bias = forget_gate, forget_bias
        super().__init__(input_size, hidden_size)
        self.norm_cell: nn.Module = nn.Identity()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        initializers.forget_bias(self.bias, self.forget_gate, self.hidden_size, self.forget_bias)

    def normalize(self) -> None:
        """Normalise both products and the memory in the output: Ba, Kiros, Hinton 2016, equations 20 to 22."""
        super().normalize()
        self.norm_cell = self._norm(self.hidden_size)

    def initial_state(self, batch_size: int) -> LSTMState:
        return LSTMState(self._zeros(batch_size), self._zeros(batch_size))


class LSTMCell(GatedMemory, KernelCell):
    """Long short-term memory: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.

    .. math::
        i, f, o &= \\sigma(x_t U_{i,f,o} + h_{t-1} W_{i,f,o} + b_{i,f,o}) \\\\
        g &= \\tanh(x_t U_g + h_{t-1} W_g + b_g) \\\\
        c_t &= f \\circ c_{t-1} + i \\circ g, \\qquad h_t = o \\circ \\tanh(c_t)

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        forget_bias: initial bias of the forget gate; with 1 the cell remembers from the start
            (Jozefowicz, Zaremba, Sutskever 2015).

    Shapes:
        inputs: [B, I], output: [B, H], state: ``LSTMState`` of two [B, H]; gates stacked in the order i f g o
    """

    gates = 4

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, 1, forget_bias)

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected + self.recur(state.hidden)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(self.norm_cell(cell))
        return hidden, LSTMState(hidden, cell)

    def _weights(self) -> list[Tensor]:
        return [self.weight_input, self.weight_recurrent, self.bias, torch.zeros_like(self.bias)]

    def fused(self, inputs: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        start = (state.hidden[None], state.cell[None])
        output, hidden, cell = torch.lstm(inputs, start, self._weights(), True, 1, 0.0, self.training, False, True)
        return output, LSTMState(hidden[0], cell[0])

    def final_state(self, inputs: Tensor, output: Tensor, lengths: Tensor, state: LSTMState) -> LSTMState:
        # The memory c is not part of the output, and the kernel returns only its last value. The packed kernel,
        # which is slower, ends each row at its length.
        packed = pack_padded_sequence(inputs, lengths.cpu(), batch_first=True, enforce_sorted=False)
        order, back = packed.sorted_indices, packed.unsorted_indices
        assert order is not None and back is not None
        start = (state.hidden[order][None], state.cell[order][None])
        _, hidden, cell = torch.lstm(
            packed.data, packed.batch_sizes, start, self._weights(), True, 1, 0.0, self.training, False
        )
        return LSTMState(hidden[0][back], cell[0][back])
