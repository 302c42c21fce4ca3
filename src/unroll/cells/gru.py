"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unroll.cells.base import Cell, HiddenState, last_step


class GRUCell(Cell):
    """Gated recurrent unit: Cho et al. 2014, reset after the matrix product as in cuDNN and torch.

    .. math::
        r, z &= \\sigma(x_t U_{r,z} + h_{t-1} W_{r,z} + b_{r,z}) \\\\
        n &= \\tanh(x_t U_n + b_n + r \\circ (h_{t-1} W_n + b_{hn})) \\\\
        h_t &= (1 - z) \\circ n + z \\circ h_{t-1}

    Args:
        input_size: width I of the input of one step.
        hidden_size: width H of the state.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]; gates stacked in the order r z n

    The candidate's recurrent bias b_hn stands inside the reset gate and cannot be merged with b_n: it is the
    one second bias that a cell has.
    """

    gates = 3

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__(input_size, hidden_size)
        self.bias_candidate = nn.Parameter(torch.empty(hidden_size))
        self.reset_parameters()

    def initial_state(self, batch_size: int) -> HiddenState:
        return HiddenState(self._zeros(batch_size))

    def forward(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        input_part = inputs @ self.weight_input.T + self.bias  # [B, 3H]
        recurrent_part = state.hidden @ self.weight_recurrent.T  # [B, 3H]
        (r_in, z_in, n_in), (r_rec, z_rec, n_rec) = input_part.chunk(3, 1), recurrent_part.chunk(3, 1)
        r, z = torch.sigmoid(r_in + r_rec), torch.sigmoid(z_in + z_rec)
        n = torch.tanh(n_in + r * (n_rec + self.bias_candidate))
        hidden = (1 - z) * n + z * state.hidden
        return hidden, HiddenState(hidden)

    def fused(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        second_bias = torch.cat([self.bias.new_zeros(2 * self.hidden_size), self.bias_candidate])
        weights = [self.weight_input, self.weight_recurrent, self.bias, second_bias]
        output, hidden = torch.gru(inputs, state.hidden[None], weights, True, 1, 0.0, self.training, False, True)
        return output, HiddenState(hidden[0])

    def final_state(self, inputs: Tensor, output: Tensor, lengths: Tensor, state: HiddenState) -> HiddenState:
        return HiddenState(last_step(output, lengths))
