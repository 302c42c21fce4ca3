"""Recurrent language models (Mikolov et al. 2010), in one direction and in two."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from unroll.networks.encoder import SequenceEncoder
from unroll.networks.output import TokenOutput
from unroll.networks.readout import excluding
from unroll.networks.recurrent import State


class LanguageNetwork(Protocol):
    """Interface of networks of the language model task: features of a window or of one step, losses, logits."""

    def initial_state(self, batch_size: int) -> State: ...

    def __call__(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]: ...

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]: ...

    def losses(self, features: Tensor, targets: Tensor) -> Tensor: ...

    def logits(self, features: Tensor) -> Tensor: ...


class CountingNetwork(nn.Module, ABC):
    """A network that is fitted by counting instead of gradient descent, with the same result for every seed."""

    @abstractmethod
    def fit(self, tokens: np.ndarray) -> None:
        """Count ``tokens`` [N] and estimate the probabilities."""


class RecurrentLanguageNetwork(nn.Module):
    """Recurrent language model: Mikolov et al., Interspeech 2010.

    .. math:: P(w_{t+1} \\mid w_{\\le t}) = \\mathrm{softmax}(\\mathrm{output}(h_t))

    Args:
        encoder: inputs and recurrent network with one direction.
        output: output layer over its features.

    Shapes:
        inputs: [B, T], lengths: [B], features: [B, T, H], logits: […, V]
    """

    def __init__(self, encoder: SequenceEncoder, output: TokenOutput) -> None:
        super().__init__()
        self.encoder, self.output = encoder, output

    def initial_state(self, batch_size: int) -> State:
        """Initial state of the encoder."""
        return self.encoder.initial_state(batch_size)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Features of every step of a window, and the state that is carried to the next one."""
        return self.encoder(inputs, lengths, state)  # type: ignore[no-any-return]

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Features after one more token of each text, and the new state: tokens [N] → features [N, H]."""
        return self.encoder.step(tokens, state)

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Negative log-probability of each target: features [N, H], targets [N] → [N]."""
        return self.output.losses(features, targets)

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the next token: [N, H] → [N, V]."""
        logits: Tensor = self.output(features)
        return logits


class ClozeNetwork(nn.Module):
    """Bidirectional language model, which predicts each token from all others of its sequence: Mousa and Schuller 2017.

    .. math:: P(w_t \\mid w_{\\ne t}) =
        \\mathrm{softmax}(\\mathrm{output}([\\overrightarrow{h}_{t-1}; \\overleftarrow{h}_{t+1}]))

    Args:
        encoder: inputs and recurrent network. With two directions it must have one layer, since a second layer would
            read the token itself. With one direction, only the preceding tokens predict the token.
        output: output layer over its features.

    Shapes:
        inputs: [B, T], lengths: [B], features: [B, T, D · H], logits: [B, T, V]
    """

    def __init__(self, encoder: SequenceEncoder, output: TokenOutput) -> None:
        super().__init__()
        self.encoder, self.output = encoder, output

    def features(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Features of the context of every token, without the token: [B, T, D · H]."""
        recurrent = self.encoder.recurrent
        read = recurrent.outputs(self.encoder.dropout(self.encoder.inputs(inputs)), lengths)  # [B, T, D · H]
        if recurrent.directions == 2:
            before, after = (start[0].to(read) for start in recurrent.initial_state(len(read)))
            around = excluding(read, lengths, recurrent.hidden_size, before, after)
        else:
            before = recurrent.initial_state(len(read))[-1][0].to(read)
            around = torch.cat([before[:, None], read[:, :-1]], dim=1)  # [h→(t−1)]
        features: Tensor = self.encoder.output_dropout(around)
        return features

    def losses(self, features: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Negative log-probability of each target of a mask, 0 elsewhere: [B, T, D · H], [B, T], [B, T] → [B, T]."""
        return self.output.masked_losses(features, targets, mask)

    def likeliest(self, features: Tensor) -> Tensor:
        """The most likely token at each place: […, D · H] → […]."""
        return self.output.likeliest(features)

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Unnormalised log-probabilities of every token, predicted from the others."""
        logits: Tensor = self.output(self.features(inputs, lengths))
        return logits
