"""Long short-term memory (Hochreiter and Schmidhuber 1997)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from unroll.cells import initializers
from unroll.cells.base import HALVES, Cell, DerivedCell, KernelCell, over_time, sigmoid_backward, tanh_backward

WIDE = 448  # hidden size from which, in half precision, training is faster without torch's kernel


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


class LSTMCell(GatedMemory, KernelCell, DerivedCell):
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

    On a CPU, torch's kernel is the faster implementation, except for wide cells in half precision, whose training takes
    twice the time of the hand-written derivative.
    """

    gates = 4

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, 1, forget_bias)

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected + self.recur(state.hidden)).chunk(4, dim=1)
        cell = torch.sigmoid(f) * state.cell + torch.sigmoid(i) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(self.norm_cell(cell))
        return hidden, LSTMState(hidden, cell)

    def kernel_is_faster(self, kind: torch.dtype) -> bool:
        return kind not in HALVES or self.hidden_size < WIDE or not torch.is_grad_enabled()

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

    def forward_step(
        self, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState, weights: tuple[Tensor, ...]
    ) -> None:
        gates, i, f, g, o = work
        gates.addmm_(before.hidden, weights[1])
        gates[:, : 2 * self.hidden_size].sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.mul(f, before.cell, out=after.cell).addcmul_(i, g)
        torch.mul(o, torch.tanh(after.cell), out=after.hidden)

    def derivatives(self, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState) -> tuple[Tensor, ...]:
        _, i, f, g, o = work
        reached = torch.tanh(after.cell).to(i.dtype)
        by_forgetting = sigmoid_backward(before.cell.to(i.dtype), f)
        by_memory = torch.stack([sigmoid_backward(g, i), by_forgetting, tanh_backward(i, g)], dim=2)  # [T, B, 3, H]
        return by_memory, sigmoid_backward(reached, o), tanh_backward(o, reached)

    def backward_step(
        self, d_gates: Tensor, d_before: LSTMState, d_after: LSTMState, work: tuple[Tensor, ...],
        before: LSTMState, derivatives: tuple[Tensor, ...], weights: tuple[Tensor, ...],
    ) -> None:  # fmt: skip
        by_memory, by_output, reached = derivatives
        size = self.hidden_size
        torch.mul(d_after.hidden, by_output, out=d_gates[:, 3 * size :])
        d_cell = d_after.cell.addcmul_(d_after.hidden, reached)
        torch.mul(d_cell[:, None], by_memory, out=d_gates[:, : 3 * size].view(-1, 3, size))
        d_before.hidden.addmm_(d_gates, weights[0])
        d_before.cell.addcmul_(d_cell, work[2])

    def weight_gradients(
        self, d_gates: Tensor, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState
    ) -> dict[str, Tensor]:
        return {"weight_recurrent": over_time(d_gates, before.hidden)}
