"""A sequence of tokens or of real vectors, read by a recurrent network."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unroll.cells.base import last_step
from unroll.networks.recurrent import Recurrent, State


class SequenceEncoder(nn.Module):
    """Inputs → recurrent network → features of every step, with dropout at both ends.

    Args:
        inputs: turns a batch into vectors [B, T, I]: an embedding, or the identity for real vectors.
        recurrent: the network that reads them.
        dropout: probability that a unit of the input vectors and of the features is dropped, in [0, 1).

    Shapes:
        inputs: [B, T] tokens or [B, T, I] vectors, lengths: [B], features: [B, T, D · H]
    """

    def __init__(self, inputs: nn.Module, recurrent: Recurrent, dropout: float) -> None:
        super().__init__()
        self.inputs, self.recurrent, self.dropout = inputs, recurrent, nn.Dropout(dropout)
        self.output_size = recurrent.output_size

    def initial_state(self, batch_size: int) -> State:
        """Zero state of the recurrent network."""
        return self.recurrent.initial_state(batch_size)

    def outputs(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Features of every step, each sequence read from the zero state."""
        features: Tensor = self.dropout(self.recurrent.outputs(self.dropout(self.inputs(inputs)), lengths))
        return features

    def finals(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """One vector per sequence, [h→(T); h←(1)]: what each direction has when it has read all of it: [B, D · H]."""
        forward, *backward = torch.split(self.outputs(inputs, lengths), self.recurrent.hidden_size, dim=-1)
        return torch.cat([last_step(forward, lengths), *(part[:, 0] for part in backward)], dim=-1)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Features of every step and the final state, from a given state."""
        features, final = self.recurrent(self.dropout(self.inputs(inputs)), lengths, state)
        return self.dropout(features), final
