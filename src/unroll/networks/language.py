"""Recurrent language models (Mikolov et al. 2010) and their output layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.networks.encoder import SequenceEncoder
from unroll.networks.readout import excluding
from unroll.networks.recurrent import State


class LanguageNetwork(Protocol):
    """Interface of networks of the language model task: features of a window, the carried state, losses, logits."""

    def initial_state(self, batch_size: int) -> State: ...

    def __call__(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]: ...

    def losses(self, features: Tensor, targets: Tensor) -> Tensor: ...

    def logits(self, features: Tensor) -> Tensor: ...


class CountingNetwork(nn.Module, ABC):
    """A network that is fitted by counting instead of gradient descent, with the same result for every seed."""

    @abstractmethod
    def fit(self, tokens: np.ndarray) -> None:
        """Count ``tokens`` [N] and estimate the probabilities."""


class TokenOutput(nn.Module):
    """Output layer over the vocabulary, with optional tied weights: Press and Wolf, EACL 2017.

    .. math:: P(w) = \\mathrm{softmax}(P h E^\\top + b)

    Args:
        feature_size: size F of the features.
        vocabulary_size: size V of the vocabulary.
        embedding: embedding of size I whose matrix the output shares; h is projected to that size if it differs. None
            for a separate matrix.

    Shapes:
        features: […, F], logits: […, V]
    """

    def __init__(self, feature_size: int, vocabulary_size: int, embedding: nn.Embedding | None) -> None:
        super().__init__()
        width = feature_size if embedding is None else embedding.embedding_dim
        needs_projection = feature_size != width
        self.projection = nn.Linear(feature_size, width, bias=False) if needs_projection else nn.Identity()
        self.decoder = nn.Linear(width, vocabulary_size)
        nn.init.zeros_(self.decoder.bias)
        if embedding is not None:
            self.decoder.weight = embedding.weight

    @torch.no_grad()
    def start_from(self, counts: Tensor) -> None:
        """Initialise the bias to the unigram distribution.

        Meister et al., "A Natural Bias for Language Generation Models", ACL 2023.

        .. math:: b_w = \\ln \\frac{n_w + 1}{\\sum_v (n_v + 1)}

        Args:
            counts: n, number of occurrences of each token in the training split: [V]

        Adam changes a bias by at most the learning rate per step, so that it takes thousands of steps from 0 to b.
        Until then, the network must produce the frequencies with a constant feature. With a tied matrix, that feature
        is fed back as input, and the memory of an LSTM, which is unbounded, grows until its gates and its tanh
        saturate.
        """
        smoothed = counts.double() + 1
        self.decoder.bias.copy_((smoothed / smoothed.sum()).log())

    def forward(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities."""
        logits: Tensor = self.decoder(self.projection(features))
        return logits


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

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Negative log-probability of each target: features [N, H], targets [N] → [N]."""
        return F.cross_entropy(self.logits(features), targets, reduction="none")

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
        inputs: [B, T], lengths: [B], logits: [B, T, V]
    """

    def __init__(self, encoder: SequenceEncoder, output: TokenOutput) -> None:
        super().__init__()
        self.encoder, self.output = encoder, output

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Unnormalised log-probabilities of every token, predicted from the others."""
        recurrent = self.encoder.recurrent
        read = recurrent.outputs(self.encoder.dropout(self.encoder.inputs(inputs)), lengths)  # [B, T, D · H]
        if recurrent.directions == 2:
            before, after = (start[0].to(read) for start in recurrent.initial_state(len(read)))
            around = excluding(read, lengths, recurrent.hidden_size, before, after)
        else:
            before = recurrent.initial_state(len(read))[-1][0].to(read)
            around = torch.cat([before[:, None], read[:, :-1]], dim=1)  # [h→(t−1)]
        logits: Tensor = self.output(self.encoder.output_dropout(around))
        return logits
