"""The output layer over a vocabulary, of language models and of decoders."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells.base import HALVES
from unroll.networks.fused_loss import linear_cross_entropy

# Vocabulary from which the loss is fused. There it takes as long as the plain one and less memory; from about twice the
# size on it is faster, and below a quarter slower, since it starts more operations.
FUSED_SIZE = 4096
ROWS = 512  # of which the most likely token is found at a time


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

    def losses(self, features: Tensor, targets: Tensor, smoothing: float = 0.0) -> Tensor:
        """Negative log-probability of each target, with label smoothing: Szegedy et al., CVPR 2016, section 7.

        Args:
            features: features of N places.
            targets: token at each place.
            smoothing: weight of the uniform distribution in the target distribution, in [0, 1).

        Shapes:
            features: [N, F], targets: [N], result: [N], in fp32 or higher
        """
        if self.decoder.out_features < FUSED_SIZE:
            return F.cross_entropy(_widened(self(features)), targets, reduction="none", label_smoothing=smoothing)
        return linear_cross_entropy(
            self.projection(features), self.decoder.weight, self.decoder.bias, targets, smoothing
        )

    def masked_losses(self, features: Tensor, targets: Tensor, mask: Tensor) -> Tensor:
        """Losses of some places of sequences, 0 elsewhere, with nothing computed there: see ``linear_cross_entropy``.

        Args:
            features: features of every place.
            targets: token at each place.
            mask: the places that count.

        Shapes:
            features: [B, T, F], targets: [B, T], mask: [B, T], result: [B, T], in fp32 or higher
        """
        if bool(mask.all()):
            return self.losses(features.flatten(0, 1), targets.flatten()).view_as(targets)
        counted = self.losses(features[mask], targets[mask])
        return counted.new_zeros(targets.shape).masked_scatter(mask, counted)

    def log_probabilities(self, features: Tensor) -> Tensor:
        """Log-probabilities of every token, in fp32 or higher: […, F] → […, V]."""
        return torch.log_softmax(_widened(self(features)), dim=-1)

    def likeliest(self, features: Tensor) -> Tensor:
        """The most likely token, without the logits of all rows at a time: […, F] → […]."""
        rows = torch.split(features.flatten(0, -2), ROWS)
        return torch.cat([self(part).argmax(dim=-1) for part in rows]).view(features.shape[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Unnormalised log-probabilities."""
        logits: Tensor = self.decoder(self.projection(features))
        return logits


def _widened(logits: Tensor) -> Tensor:
    """Logits in fp32 or higher: in half precision, log-probabilities would have three digits."""
    return logits.float() if logits.dtype in HALVES else logits
