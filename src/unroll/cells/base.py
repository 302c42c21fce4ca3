"""One step of recurrence: the contract of every cell, and the legend of letters for the whole project.

====== ==========================================
letter meaning
====== ==========================================
B      batch: sequences side by side
T      time: steps of a sequence
S      source time, where two sequences meet
I      input width
H      hidden width
L      layers
D      directions, 1 or 2
V      vocabulary: number of distinct tokens
K      labels
====== ==========================================
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn


class HiddenState(NamedTuple):
    """State of a cell whose output is its whole memory.

    Shapes:
        hidden: [B, H]
    """

    hidden: Tensor


class Cell(nn.Module, ABC):
    """One step of a recurrent network, with the parameters that its equations name.

    The parameters are ``weight_input`` U, ``weight_recurrent`` W and ``bias`` b, the gates stacked along the
    first axis: one bias per gate. A cell for which torch has a fused kernel says so in :meth:`fused`, which
    runs the same equations over a whole sequence with the same parameters.

    Args:
        input_size: width I of the input of one step.
        hidden_size: width H of the state.

    Shapes:
        weight_input: [gates · H, I], weight_recurrent: [gates · H, H], bias: [gates · H]
    """

    gates: ClassVar[int] = 1

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        self.input_size, self.hidden_size = input_size, hidden_size
        self.weight_input = nn.Parameter(torch.empty(self.gates * hidden_size, input_size))
        self.weight_recurrent = nn.Parameter(torch.empty(self.gates * hidden_size, hidden_size))
        self.bias = nn.Parameter(torch.empty(self.gates * hidden_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw every parameter from U(−1/√H, 1/√H), as torch does."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def _zeros(self, batch_size: int) -> Tensor:
        return self.weight_recurrent.new_zeros(batch_size, self.hidden_size)

    @abstractmethod
    def initial_state(self, batch_size: int) -> Any:
        """Zero state for ``batch_size`` sequences."""

    @abstractmethod
    def forward(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """One step: ``inputs`` [B, I] and the state before it → output [B, H] and the state after it."""

    @abstractmethod
    def fused(self, inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """All steps of equally long sequences in torch's kernel: [B, T, I] → [B, T, H] and the last state."""

    @abstractmethod
    def final_state(self, inputs: Tensor, output: Tensor, lengths: Tensor, state: Any) -> Any:
        """State after the last real step of each padded sequence.

        Shapes:
            inputs: [B, T, I], output: [B, T, H] as :meth:`fused` gave it, lengths: [B]
        """


def last_step(output: Tensor, lengths: Tensor) -> Tensor:
    """Output at the last real step, ``lengths − 1``: [B, T, H] → [B, H]."""
    return output[torch.arange(len(output), device=output.device), lengths - 1]
