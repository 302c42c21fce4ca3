"""The LSTM with peephole connections (Gers and Schmidhuber 2000)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unroll.cells.base import DerivedCell, over_time, sigmoid_backward, tanh_backward
from unroll.cells.lstm import GatedMemory, LSTMState


class PeepholeLSTMCell(GatedMemory, DerivedCell):
    """LSTM with peephole connections: Gers and Schmidhuber, "Recurrent Nets that Time and Count", IJCNN 2000.

    .. math::
        i, f &= \\sigma(x_t U_{i,f} + h_{t-1} W_{i,f} + p_{i,f} \\circ c_{t-1} + b_{i,f}) \\\\
        g &= \\tanh(x_t U_g + h_{t-1} W_g + b_g), \\qquad c_t = f \\circ c_{t-1} + i \\circ g \\\\
        o &= \\sigma(x_t U_o + h_{t-1} W_o + p_o \\circ c_t + b_o), \\qquad h_t = o \\circ \\tanh(c_t)

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        forget_bias: initial bias of the forget gate.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``LSTMState`` of two [B, H]; gates stacked in the order i f g o;
        weight_peephole: [3 · H], in the order i f o

    The gates of a unit read only the memory of that unit, as in the paper: peepholes are vectors, not matrices.
    """

    gates = 4
    recurrent_parameters = ("weight_recurrent", "weight_peephole")

    def __init__(self, input_size: int, hidden_size: int, forget_bias: float = 1.0) -> None:
        super().__init__(input_size, hidden_size, 1, forget_bias)
        self.weight_peephole = nn.Parameter(torch.empty(3 * hidden_size))
        self.reset_parameters()

    def step(self, projected: Tensor, state: LSTMState) -> tuple[Tensor, LSTMState]:
        i, f, g, o = (projected + self.recur(state.hidden)).chunk(4, dim=1)
        p_i, p_f, p_o = self.weight_peephole.chunk(3)
        i, f = torch.sigmoid(i + p_i * state.cell), torch.sigmoid(f + p_f * state.cell)
        cell = f * state.cell + i * torch.tanh(g)
        hidden = torch.sigmoid(o + p_o * cell) * torch.tanh(self.norm_cell(cell))
        return hidden, LSTMState(hidden, cell)

    def weights(self, parameters: dict[str, Tensor], dtype: torch.dtype) -> tuple[Tensor, ...]:
        """W, Wᵀ and the three peepholes, which are applied in the precision of the memory."""
        return *super().weights(parameters, dtype), *parameters["weight_peephole"].chunk(3)

    def forward_step(
        self, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState, weights: tuple[Tensor, ...]
    ) -> None:
        (gates, i, f, g, o), (_, transposed, p_i, p_f, p_o) = work, weights
        gates.addmm_(before.hidden, transposed)
        i.addcmul_(before.cell, p_i)
        f.addcmul_(before.cell, p_f)
        gates[:, : 2 * self.hidden_size].sigmoid_()
        g.tanh_()
        torch.mul(f, before.cell, out=after.cell).addcmul_(i, g)
        o.addcmul_(after.cell, p_o).sigmoid_()
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
        d_i, d_f, _, d_o = d_gates.chunk(4, dim=1)
        weight, _, p_i, p_f, p_o = weights
        torch.mul(d_after.hidden, by_output, out=d_o)
        d_cell = d_after.cell.addcmul_(d_after.hidden, reached).addcmul_(d_o, p_o)
        torch.mul(d_cell[:, None], by_memory, out=d_gates[:, : 3 * size].view(-1, 3, size))
        d_before.hidden.addmm_(d_gates, weight)
        d_before.cell.addcmul_(d_cell, work[2]).addcmul_(d_i, p_i).addcmul_(d_f, p_f)

    def weight_gradients(
        self, d_gates: Tensor, work: tuple[Tensor, ...], before: LSTMState, after: LSTMState
    ) -> dict[str, Tensor]:
        d_i, d_f, _, d_o = d_gates.chunk(4, dim=-1)
        seen = [(d_i * before.cell).sum((0, 1)), (d_f * before.cell).sum((0, 1)), (d_o * after.cell).sum((0, 1))]
        return {"weight_recurrent": over_time(d_gates, before.hidden), "weight_peephole": torch.cat(seen)}
