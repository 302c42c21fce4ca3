"""Recurrent encoder of sequences of tokens or real vectors."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from unroll.errors import no_such
from unroll.networks.embedding import Words
from unroll.networks.readout import READOUTS
from unroll.networks.recurrent import Recurrent, State


class SequenceEncoder(nn.Module):
    """Inputs → recurrent network → features of every step, with dropout on inputs and features.

    Args:
        inputs: maps a batch to vectors [B, T, I]: an embedding, or the identity for real vectors.
        recurrent: the recurrent network.
        dropout: dropout on the input vectors and on the features.
        readout: how to reduce the features of a sequence to one vector, one of ``unroll.networks.readout.READOUTS``;
            None if the task does not.

    Shapes:
        inputs: [B, T] tokens or [B, T, I] vectors, or another type that ``inputs`` accepts;
        lengths: [B], features: [B, T, D · H]

    Raises:
        BadInput: there is no such readout.
    """

    def __init__(self, inputs: nn.Module, recurrent: Recurrent, dropout: nn.Module, readout: str | None) -> None:
        super().__init__()
        if readout is not None and readout not in READOUTS:
            raise no_such("readout", readout, READOUTS)
        self.inputs, self.recurrent, self.readout = inputs, recurrent, readout
        self.dropout = dropout
        self.output_dropout = copy.deepcopy(dropout)  # separate, for hooks that distinguish the two
        self.output_size = recurrent.output_size

    def initial_state(self, batch_size: int) -> State:
        """Initial state of the recurrent network."""
        return self.recurrent.initial_state(batch_size)

    def outputs(self, inputs: Tensor | Words, lengths: Tensor) -> Tensor:
        """Features of every step, starting from the initial state."""
        features: Tensor = self.output_dropout(self.recurrent.outputs(self.dropout(self.inputs(inputs)), lengths))
        return features

    def summary(self, inputs: Tensor | Words, lengths: Tensor) -> Tensor:
        """One vector per sequence, computed by the readout: [B, D · H]."""
        return self.read_out(self.outputs(inputs, lengths), lengths)

    def read_out(self, features: Tensor, lengths: Tensor) -> Tensor:
        """One vector per sequence from the features of its steps: [B, T, D · H] → [B, D · H]."""
        assert self.readout is not None, "the description of a task that summarizes sequences names the block readout"
        return READOUTS[self.readout](features, lengths, self.recurrent.hidden_size)

    def forward(self, inputs: Tensor | Words, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Features of every step and the final state, starting from a given state."""
        features, final = self.recurrent(self.dropout(self.inputs(inputs)), lengths, state)
        return self.output_dropout(features), final

    def step(self, inputs: Tensor, state: State) -> tuple[Tensor, State]:
        """Features of one step, and the new state: inputs [N] or [N, I] → features [N, H]."""
        features, after = self.recurrent.step(self.dropout(self.inputs(inputs)), state)
        return self.output_dropout(features), after
