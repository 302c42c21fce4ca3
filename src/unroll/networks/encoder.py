"""A sequence of tokens or of real vectors, read by a recurrent network."""

from __future__ import annotations

import copy
from typing import Any

from torch import Tensor, nn

from unroll.errors import no_such
from unroll.networks.readout import READOUTS
from unroll.networks.recurrent import Recurrent, State


class SequenceEncoder(nn.Module):
    """Inputs → recurrent network → features of every step, with dropout at both ends.

    Args:
        inputs: turns a batch into vectors [B, T, I]: an embedding, or the identity for real vectors.
        recurrent: the network that reads them.
        dropout: drops units of the input vectors and of the features.
        readout: what stands for a whole sequence, one of ``unroll.networks.readout.READOUTS``.

    Shapes:
        inputs: [B, T] tokens or [B, T, I] vectors, or what ``inputs`` takes, lengths: [B], features: [B, T, D · H]

    Raises:
        BadInput: there is no such readout.
    """

    def __init__(self, inputs: nn.Module, recurrent: Recurrent, dropout: nn.Module, readout: str) -> None:
        super().__init__()
        if readout not in READOUTS:
            raise no_such("readout", readout, READOUTS)
        self.inputs, self.recurrent, self.readout = inputs, recurrent, READOUTS[readout]
        self.dropout, self.output_dropout = dropout, copy.deepcopy(dropout)  # apart, so that each can be watched
        self.output_size = recurrent.output_size

    def initial_state(self, batch_size: int) -> State:
        """First state of the recurrent network."""
        return self.recurrent.initial_state(batch_size)

    def outputs(self, inputs: Any, lengths: Tensor) -> Tensor:
        """Features of every step, each sequence read from the first state."""
        features: Tensor = self.output_dropout(self.recurrent.outputs(self.dropout(self.inputs(inputs)), lengths))
        return features

    def summary(self, inputs: Any, lengths: Tensor) -> Tensor:
        """One vector per sequence, by the readout: [B, D · H]."""
        return self.readout(self.outputs(inputs, lengths), lengths, self.recurrent.hidden_size)

    def forward(self, inputs: Any, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Features of every step and the final state, from a given state."""
        features, final = self.recurrent(self.dropout(self.inputs(inputs)), lengths, state)
        return self.output_dropout(features), final
