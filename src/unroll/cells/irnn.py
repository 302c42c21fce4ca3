"""The vanilla cell with rectified linear units, initialised to the identity (Le, Jaitly, Hinton 2015)."""

from __future__ import annotations

from torch import nn

from unroll.cells import initializers
from unroll.cells.vanilla import VanillaCell


class IRNNCell(VanillaCell):
    """IRNN: Le, Jaitly, Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", 2015.

    .. math:: h_t = \\max(0, x_t U + h_{t-1} W + b), \\qquad W_0 = s I, \\; b_0 = 0

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        scale: factor s of the initial W; with 1 the state is copied, below 1 it decays.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]

    U is initialised from N(0, 0.001²), as in the paper, so that the first outputs are small sums of past inputs.
    """

    def __init__(self, input_size: int, hidden_size: int, scale: float = 1.0) -> None:
        self.scale = scale
        super().__init__(input_size, hidden_size, "relu")

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.weight_input, std=0.001)
        initializers.identity(self.weight_recurrent, self.scale)
        nn.init.zeros_(self.bias)
