"""Copying: an output that also predicts symbols of the source, known or unknown to the target vocabulary."""

from __future__ import annotations

from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class VocabularyOutput(Protocol):
    """An output layer over the target vocabulary."""

    def losses(self, features: Tensor, targets: Tensor) -> Tensor: ...

    def log_probabilities(self, features: Tensor) -> Tensor: ...


class CopyingOutput(nn.Module):
    """Pointer–generator: See, Liu, Manning, ACL 2017, equations 8 and 9.

    .. math::
        g_t &= \\sigma(w^\\top \\tilde h_t + b) \\\\
        P(y) &= g_t\\,P_{\\mathrm{softmax}}(y) + (1 - g_t) \\sum_{j:\\,x_j = y} a_{tj}

    A symbol of the source that the target vocabulary lacks has an index of its own beyond the vocabulary, see
    :func:`extended`. All probabilities are sums of logarithms, in fp32 or higher.

    Args:
        output: output layer over the V symbols of the target vocabulary.
        feature_size: size F of the features h̃.
        vocabulary_size: size V of the target vocabulary.
        unknown_index: symbol that a decoder reads in place of one that the target vocabulary lacks.

    Shapes:
        features: [N, F]; weights: [N, S] of attention; symbols: [N, S] of the source from :func:`extended`, −1 for
        padding; targets: [N], below V + S

    The gate of the paper reads the context, the state and the input of the decoder. This one reads the features, which
    are computed from the first two. Attention weights that sum to less than 1 (monotonic attention) make
    probabilities sum to less than 1 too.
    """

    def __init__(self, output: nn.Module, feature_size: int, vocabulary_size: int, unknown_index: int) -> None:
        super().__init__()
        self.output = output
        self.gate = nn.Linear(feature_size, 1)
        self.vocabulary_size, self.unknown_index = vocabulary_size, unknown_index

    def losses(self, features: Tensor, targets: Tensor, weights: Tensor, symbols: Tensor) -> Tensor:
        """Negative log-probability of each target: [N], infinite for one that is neither known nor in the source."""
        known = targets < self.vocabulary_size
        generated = -self._vocabulary.losses(features, targets.masked_fill(~known, self.unknown_index))
        copied = (weights * (symbols == targets[:, None])).sum(dim=-1)  # [N]
        to_generate, to_copy = self._gates(features)
        generated = (to_generate + generated).masked_fill(~known, -torch.inf)
        return -_log_sum(generated, to_copy + _logarithm(copied))

    def log_probabilities(self, features: Tensor, weights: Tensor, symbols: Tensor) -> Tensor:
        """Log-probabilities of all V + S symbols: [N, V + S]."""
        generated = self._vocabulary.log_probabilities(features)  # [N, V]
        count, steps = weights.shape
        copied = weights.new_zeros(count, self.vocabulary_size + steps)
        rows = torch.arange(count, device=weights.device)[:, None]
        # not scatter_add, which CUDA does not compute deterministically
        copied = copied.index_put((rows, symbols.clamp(min=0)), weights * (symbols >= 0), accumulate=True)
        to_generate, to_copy = (gate[:, None] for gate in self._gates(features))
        nothing = generated.new_full((count, steps), -torch.inf)
        return _log_sum(torch.cat([to_generate + generated, nothing], dim=1), to_copy + _logarithm(copied))

    def readable(self, symbols: Tensor) -> Tensor:
        """Symbols as a decoder reads them, of which it has embeddings of V alone."""
        return symbols.masked_fill(symbols >= self.vocabulary_size, self.unknown_index)

    def _gates(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Logarithms of g and 1 − g: [N] each."""
        score = self.gate(features)[:, 0]
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        return F.logsigmoid(score), F.logsigmoid(-score)

    @property
    def _vocabulary(self) -> VocabularyOutput:
        return cast("VocabularyOutput", self.output)


def extended(symbols: Tensor, lengths: Tensor, known: Tensor, vocabulary_size: int) -> Tensor:
    """Symbols of sources as a target may copy them.

    A symbol that the target vocabulary has gets its index there. Any other gets V + j, where j is the first step of its
    source with that symbol: the written form is the one at step j. So no list of the unknown symbols of a source is
    needed, and the extended vocabulary of a source of S steps has V + S symbols.

    Args:
        symbols: symbols of sources, equal exactly where the written forms are equal. Forms that the source vocabulary
            lacks are numbered from U, for each source or for all.
        lengths: length of each source, in steps.
        known: index in the target vocabulary of each symbol of the source vocabulary, −1 where it is absent.
        vocabulary_size: size V of the target vocabulary.

    Shapes:
        symbols: [B, S], lengths: [B], known: [U], result: [B, S], −1 for padding
    """
    table = torch.cat([known, known.new_full((1,), -1)])  # [U + 1], the last for all forms beyond the source vocabulary
    indices = table[symbols.clamp(0, len(known))]  # [B, S]
    is_same = symbols[:, :, None] == symbols[:, None]  # [B, S, S]
    beyond = vocabulary_size + is_same.int().argmax(dim=-1)  # the first of equal values, as documented
    padding = torch.arange(symbols.shape[1], device=symbols.device) >= lengths[:, None]
    return torch.where(indices >= 0, indices, beyond).masked_fill(padding, -1)


def _logarithm(mass: Tensor) -> Tensor:
    """Logarithm whose derivative at 0, where it is −∞, is 0."""
    is_zero = mass <= 0
    return mass.masked_fill(is_zero, 1.0).log().masked_fill(is_zero, -torch.inf)


def _log_sum(one: Tensor, two: Tensor) -> Tensor:
    """Logarithm of a sum of two exponentials, whose derivative where both are 0 is 0."""
    nothing = torch.isneginf(one) & torch.isneginf(two)
    return torch.logaddexp(one.masked_fill(nothing, 0.0), two.masked_fill(nothing, 0.0)).masked_fill(
        nothing, -torch.inf
    )
