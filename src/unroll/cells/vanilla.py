"""The vanilla recurrent cell (Elman 1990)."""

from __future__ import annotations

import torch
from torch import Tensor

from unroll.cells.base import Cell, HiddenState, last_step


class VanillaCell(Cell):
    """Simple recurrence with a tanh: Elman, "Finding Structure in Time", Cognitive Science 14, 1990.

    .. math:: h_t = \\tanh(x_t U + h_{t-1} W + b)

    Args:
        input_size: width I of the input of one step.
        hidden_size: width H of the state.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]
    """

    gates = 1

    def initial_state(self, batch_size: int) -> HiddenState:
        return HiddenState(self._zeros(batch_size))

    def forward(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = torch.tanh(inputs @ self.weight_input.T + state.hidden @ self.weight_recurrent.T + self.bias)
        return hidden, HiddenState(hidden)

    def fused(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        weights = [self.weight_input, self.weight_recurrent, self.bias, torch.zeros_like(self.bias)]
        output, hidden = torch.rnn_tanh(inputs, state.hidden[None], weights, True, 1, 0.0, self.training, False, True)
        return output, HiddenState(hidden[0])

    def final_state(self, inputs: Tensor, output: Tensor, lengths: Tensor, state: HiddenState) -> HiddenState:
        return HiddenState(last_step(output, lengths))
