"""The feed-forward neural language model (Bengio et al. 2003)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from unroll.errors import BadInput
from unroll.networks.output import TokenOutput


class RecentTokens(NamedTuple):
    """The tokens before a window that its first steps read, oldest first.

    Shapes:
        tokens: [B, n − 2] int64
    """

    tokens: Tensor


class FeedforwardLanguageNetwork(nn.Module):
    """A neural probabilistic language model: Bengio, Ducharme, Vincent, Jauvin, JMLR 2003.

    .. math::
        x = [C(w_{t-1}); C(w_{t-2}); \\dots; C(w_{t-n+1})], \\qquad y = b + W x + U \\tanh(d + H x), \\qquad
        P(w_t \\mid w_{t-1}, \\dots, w_{t-n+1}) = \\mathrm{softmax}(y)

    Args:
        embedding: C, of V tokens and size I (m in the paper), with a padding token.
        order: n, at least 2; the network reads n − 1 tokens to predict the next one.
        hidden_size: number H of tanh units (h in the paper).
        direct: whether to connect the embeddings to the output; otherwise W = 0.
        tied: whether the output matrix is the embedding; features are projected to size I if needed.
        dropout: dropout probability on x and on the tanh layer, in [0, 1).

    Shapes:
        inputs: [B, T], lengths: [B], features: [B, T, (n − 1) · I + H] if direct, else [B, T, H]; logits: […, V]

    Raises:
        BadInput: the order is below 2, or the embedding has no padding token.

    The features are [x; tanh(d + H x)], so that W and U are one matrix and the output layer is that of other networks.
    The text is preceded by padding, whose embedding is the zero vector (with tied weights, the softmax updates it).
    """

    def __init__(
        self, embedding: nn.Embedding, order: int, hidden_size: int, direct: bool, tied: bool, dropout: float
    ) -> None:
        super().__init__()
        if order < 2:
            raise BadInput(
                f"A feed-forward language model of order {order} reads no token; choose an order of at least 2."
            )
        if embedding.padding_idx is None:
            raise BadInput("The embedding has no padding token, which precedes the text; give it one.")
        self.embedding, self.direct, self.padding_index = embedding, direct, embedding.padding_idx
        self.context = order - 1
        input_size = self.context * embedding.embedding_dim
        self.hidden = nn.Linear(input_size, hidden_size)
        self.dropout = nn.Dropout(dropout)
        feature_size = hidden_size + (input_size if direct else 0)
        self.output = TokenOutput(feature_size, embedding.num_embeddings, embedding if tied else None)

    def initial_state(self, batch_size: int) -> tuple[RecentTokens]:
        """A context of padding."""
        size, device = (batch_size, self.context - 1), self.embedding.weight.device
        return (RecentTokens(torch.full(size, self.padding_index, device=device)),)

    def forward(
        self, inputs: Tensor, lengths: Tensor, state: tuple[RecentTokens]
    ) -> tuple[Tensor, tuple[RecentTokens]]:
        """Features of every step of a window, and the tokens that the next window reads."""
        earlier = self.context - 1  # tokens that a step reads in addition to its own
        tokens = torch.cat([state[0].tokens, inputs], dim=1)  # [B, n − 2 + T]
        vectors = self.embedding(tokens)
        steps = inputs.shape[1]
        newest_first = [vectors[:, start : start + steps] for start in range(earlier, -1, -1)]
        x = self.dropout(torch.cat(newest_first, dim=-1))  # [B, T, (n − 1) · I]
        hidden = self.dropout(torch.tanh(self.hidden(x)))  # [B, T, H]
        features = torch.cat([x, hidden], dim=-1) if self.direct else hidden
        recent = lengths[:, None] + torch.arange(earlier, device=lengths.device)  # the last n − 2 before padding
        return features, (RecentTokens(tokens.gather(1, recent)),)

    def step(self, tokens: Tensor, state: tuple[RecentTokens]) -> tuple[Tensor, tuple[RecentTokens]]:
        """Features after one more token of each text, and the tokens that the next step reads: tokens [N]."""
        features, after = self(tokens[:, None], torch.ones_like(tokens), state)
        return features[:, 0], after

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Negative log-probability of each target: features [N, …], targets [N] → [N]."""
        return self.output.losses(features, targets)

    def logits(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities y of the next token: [N, …] → [N, V]."""
        logits: Tensor = self.output(features)
        return logits
