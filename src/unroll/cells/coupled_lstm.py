"""The LSTM with coupled input and forget gates (Greff et al. 2017)."""

from __future__ import annotations

import torch
from torch import Tensor

from unroll.cells.base import DerivedCell, over_time, sigmoid_backward, tanh_backward
from unroll.cells.lstm import GatedMemory, LSTMState


class CoupledLSTMCell(GatedMemory, DerivedCell):
    """LSTM with coupled input and forget gates (CIFG): Greff et al., "LSTM: A Search Space Odyssey", 2017.

    .. math::
        f, o &= \\sigma(x_t U_{f,o} + h_{t-1} W_{f,o} + b_{f,o}), \\qquad
        g = \\tanh(x_t U_g + h_{t-1} W_g + b_g) \\\\
        c_t &= f \\circ c_{t-1} + (1 - f) \\circ g, \\qquad h_t = o \\circ \\tanh(c_t)

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        forget_bias: initial bias of the forget gate.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``LSTMState`` of two [B, H]; gates stacked in the order f g o
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, 0, forget_bias)

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        f, g, o = (projected + self.recur(state.hidden)).chunk(3, dim=1)
        f = torch.sigmoid(f)
        cell = f * state.cell + (1 - f) * torch.tanh(g)
        hidden = torch.sigmoid(o) * torch.tanh(self.norm_cell(cell))
        return hidden, LSTMState(hidden, cell)

    def forward_step(
        self, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState, weights: tuple[Tensor, ...]
    ) -> None:
        gates, f, g, o = work
        gates.addmm_(before.hidden, weights[1])
        f.sigmoid_()
        g.tanh_()
        o.sigmoid_()
        torch.lerp(g.to(before.cell.dtype), before.cell, f.to(before.cell.dtype), out=after.cell)
        torch.mul(o, torch.tanh(after.cell), out=after.hidden)

    def derivatives(self, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState) -> tuple[Tensor, ...]:
        _, f, g, o = work
        reached = torch.tanh(after.cell).to(f.dtype)
        by_forgetting = sigmoid_backward(before.cell.to(f.dtype) - g, f)
        by_memory = torch.stack([by_forgetting, tanh_backward(1 - f, g)], dim=2)  # [T, B, 2, H]
        return by_memory, sigmoid_backward(reached, o), tanh_backward(o, reached)

    def backward_step(
        self, d_gates: Tensor, d_before: LSTMState, d_after: LSTMState, work: tuple[Tensor, ...],
        before: LSTMState, derivatives: tuple[Tensor, ...], weights: tuple[Tensor, ...],
    ) -> None:  # fmt: skip
        by_memory, by_output, reached = derivatives
        size = self.hidden_size
        torch.mul(d_after.hidden, by_output, out=d_gates[:, 2 * size :])
        d_cell = d_after.cell.addcmul_(d_after.hidden, reached)
        torch.mul(d_cell[:, None], by_memory, out=d_gates[:, : 2 * size].view(-1, 2, size))
        d_before.hidden.addmm_(d_gates, weights[0])
        d_before.cell.addcmul_(d_cell, work[1])

    def weight_gradients(
        self, d_gates: Tensor, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState
    ) -> dict[str, Tensor]:
        return {"weight_recurrent": over_time(d_gates, before.hidden)}
