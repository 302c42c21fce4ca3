"""The recurrent language model (Mikolov et al. 2010)."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.networks.encoder import SequenceEncoder
from unroll.networks.recurrent import State


class LanguageNetwork(Protocol):
    """What the language-model task asks of a network: features of a window, the carried state, losses, logits."""

    def initial_state(self, batch_size: int) -> State: ...

    def __call__(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]: ...

    def losses(self, features: Tensor, targets: Tensor) -> Tensor: ...

    def logits(self, features: Tensor) -> Tensor: ...


class RecurrentLanguageNetwork(nn.Module):
    """Recurrent language model: Mikolov et al., Interspeech 2010; tied weights: Press and Wolf, EACL 2017.

    .. math:: P(w_{t+1} \\mid w_{\\le t}) = \\mathrm{softmax}(P h_t E^\\top + b)

    Args:
        encoder: embedding and recurrent network, one direction.
        embedding: the encoder's embedding of V tokens, width I.
        tied: whether the output matrix is the embedding itself; then h is projected to its width if they differ.

    Shapes:
        inputs: [B, T], lengths: [B], features: [B, T, I] if tied else [B, T, H], logits: […, V]
    """

    def __init__(self, encoder: SequenceEncoder, embedding: nn.Embedding, tied: bool) -> None:
        super().__init__()
        self.encoder = encoder
        width = embedding.embedding_dim if tied else encoder.output_size
        needs_projection = encoder.output_size != width
        self.projection = nn.Linear(encoder.output_size, width, bias=False) if needs_projection else nn.Identity()
        self.decoder = nn.Linear(width, embedding.num_embeddings)
        nn.init.zeros_(self.decoder.bias)
        if tied:
            self.decoder.weight = embedding.weight

    def initial_state(self, batch_size: int) -> State:
        """Zero state of the encoder."""
        return self.encoder.initial_state(batch_size)

    def forward(self, inputs: Tensor, lengths: Tensor, state: State) -> tuple[Tensor, State]:
        """Features of every step of a window and the state to carry on."""
        features, final = self.encoder(inputs, lengths, state)
        return self.projection(features), final

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Negative log-probability of each target: features [N, I or H], targets [N] → [N]."""
        return F.cross_entropy(self.logits(features), targets, reduction="none")

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities of the next token: [N, I or H] → [N, V]."""
        logits: Tensor = self.decoder(features)
        return logits


def embed(vocabulary_size: int, embedding_size: int, padding_index: int, scale: float) -> nn.Embedding:
    """Embedding from scratch: N(0, scale²), padding at zero.

    A scale near 1 makes tokens tell apart soon; as a tied output matrix over a large vocabulary it must be small,
    or the first softmax is all but certain of the wrong word.
    """
    embedding = nn.Embedding(vocabulary_size, embedding_size, padding_index)
    with torch.no_grad():
        embedding.weight.mul_(scale)
    return embedding
