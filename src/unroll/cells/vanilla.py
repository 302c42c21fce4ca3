"""The vanilla recurrent cell (Elman 1990)."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from unroll.cells.base import HiddenState, KernelCell
from unroll.errors import BadInput

NONLINEARITIES: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda activation: activation,
}  # fmt: skip
KERNELS = {"tanh": torch.rnn_tanh, "relu": torch.rnn_relu}


class VanillaCell(KernelCell):
    """Simple recurrent cell: Elman, "Finding Structure in Time", Cognitive Science 14, 1990.

    .. math:: h_t = \\varphi(x_t U + h_{t-1} W + b)

    Args:
        input_size: size I of the input of one step.
        hidden_size: size H of the state.
        nonlinearity: φ, one of ``tanh``, ``relu``, ``sigmoid`` or ``identity`` (a linear network).

    Shapes:
        inputs: [B, I], output: [B, H], state: ``HiddenState`` of [B, H]

    Raises:
        BadInput: the nonlinearity is unknown.
    """

    def __init__(self, input_size: int, hidden_size: int, nonlinearity: str = "tanh") -> None:
        if nonlinearity not in NONLINEARITIES:
            raise BadInput(f"There is no nonlinearity {nonlinearity!r}; choose one of {', '.join(NONLINEARITIES)}.")
        super().__init__(input_size, hidden_size)
        self.nonlinearity, self.bounded = nonlinearity, nonlinearity != "relu"

    def step(self, projected: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        hidden = NONLINEARITIES[self.nonlinearity](projected + self.recur(state.hidden))
        return hidden, HiddenState(hidden)

    @property
    def has_kernel(self) -> bool:
        return self.nonlinearity in KERNELS and not self.normalized

    def fused(self, inputs: Tensor, state: HiddenState) -> tuple[Tensor, HiddenState]:
        weights = [self.weight_input, self.weight_recurrent, self.bias, torch.zeros_like(self.bias)]
        kernel = KERNELS[self.nonlinearity]
        output, hidden = kernel(inputs, state.hidden[None], weights, True, 1, 0.0, self.training, False, True)
        return output, HiddenState(hidden[0])
