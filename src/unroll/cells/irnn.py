"""The vanilla cell of rectified units that starts as the identity (Le, Jaitly, Hinton 2015)."""

from __future__ import annotations

from torch import nn

from unroll.cells import initializers
from unroll.cells.vanilla import VanillaCell


class IRNNCell(VanillaCell):
    """IRNN: Le, Jaitly, Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units", 2015.

    .. math:: h_t = \\max(0, x_t U + h_{t-1} W + b), \\qquad W_0 = s I, \\; b_0 = 0

    Args:
        input_size: width I of the input of one step.
        hidden_size: width H of the state.
        scale: s of the first W; 1 keeps the state as it is, less than 1 forgets.

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]

    U starts at N(0, 0.001²), as in the paper: the first outputs are sums of the past, and small.
    """

    def __init__(self, input_size: int, hidden_size: int, scale: float = 1.0) -> None:
        self.scale = scale
        super().__init__(input_size, hidden_size, "relu")

    def reset_parameters(self) -> None:
        super().reset_parameters()
        nn.init.normal_(self.weight_input, std=0.001)
        initializers.identity(self.weight_recurrent, self.scale)
        nn.init.zeros_(self.bias)
