"""What all attention has in common: prepared keys and values with their mask, and weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from unroll.errors import BadInput
from unroll.networks.memory import Memory
from unroll.networks.partition import full_precision


class Prepared(NamedTuple):
    """A memory prepared for attention: its keys are projected once for all steps of the decoder.

    Shapes:
        keys: [B, S, A]; values: [B, S, F], zeros for padding; mask: [B, S] bool, true for real steps
    """

    keys: Tensor
    values: Tensor
    mask: Tensor


class Attention(nn.Module, ABC):
    """Weights over the steps of a source, and the context, which is their weighted sum.

    .. math:: a_{tj} = \\mathrm{softmax}_j(e_{tj}), \\qquad c_t = \\sum_j a_{tj} m_j

    A new attention needs to implement :meth:`scores`. Queries of several steps are independent of each other, unless
    ``sequential`` is true: then a step reads what :meth:`carry` keeps of the weights of earlier steps.

    Args:
        query_size: size H of a query, the state of the decoder.
        feature_size: size F of the features of a step of the source.

    Shapes:
        queries: [B, T, H], weights: [B, T, S], contexts: [B, T, F]; carried: [B, S] at the first step, then [B, T, S]
        of T queries that each have their own past; None if not sequential

    Weights of a query sum to 1 and are exactly 0 for padding, whose features may have any value, even NaN.
    """

    sequential: ClassVar[bool] = False

    def __init__(self, query_size: int, feature_size: int) -> None:
        super().__init__()
        self.query_size, self.feature_size = query_size, feature_size

    def prepare(self, memory: Memory) -> Prepared:
        """Project the keys of a memory, and mask its padding."""
        mask = torch.arange(memory.features.shape[1], device=memory.lengths.device) < memory.lengths[:, None]  # [B, S]
        values = memory.features.masked_fill(~mask[..., None], 0.0)
        return Prepared(self.keys(values), values, mask)

    def keys(self, values: Tensor) -> Tensor:
        """Keys of the steps of a source: [B, S, F] → [B, S, A]."""
        return values

    def project(self, queries: Tensor) -> Tensor:
        """The part of the scores that depends on the queries alone: [B, T, H] → [B, T, A]."""
        return queries

    @abstractmethod
    def scores(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        """Scores e of projected queries [B, T, A], before the mask: [B, T, S]."""

    def weigh(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        """Weights of projected queries: [B, T, A] → [B, T, S], in fp32 or higher."""
        return masked_softmax(self.scores(projected, prepared, carried), prepared.mask[:, None])

    def first(self, prepared: Prepared) -> Tensor | None:
        """What the first step reads of earlier weights: [B, S]."""
        return None

    def carry(self, carried: Tensor | None, weights: Tensor) -> Tensor | None:
        """What a step hands on to the next one, from what it has read and its weights."""
        return None

    def read(self, queries: Tensor, prepared: Prepared, carried: Tensor | None) -> tuple[Tensor, Tensor]:
        """Contexts [B, T, F] and weights [B, T, S] of queries [B, T, H]."""
        weights = self.weigh(self.project(queries), prepared, carried)
        return torch.bmm(weights.to(prepared.values.dtype), prepared.values), weights

    def _require_equal_sizes(self) -> None:
        """Refuse queries and features that cannot be multiplied.

        Raises:
            BadInput: they differ in size.
        """
        if self.query_size != self.feature_size:
            raise BadInput(f"{type(self).__name__} multiplies states of {self.query_size} numbers and features of "
                           f"{self.feature_size}, which must be equal; choose general or additive.")  # fmt: skip


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last dimension where ``mask`` is true, and 0 elsewhere, in fp32 or higher."""
    wide = torch.promote_types(scores.dtype, torch.float32)
    return torch.softmax(scores.masked_fill(~mask, -torch.inf), dim=-1, dtype=wide)


def coverage_losses(weights: Tensor) -> Tensor:
    """Loss of reading again what has been read: See, Liu, Manning, ACL 2017, equation 12.

    .. math:: \\sum_j \\min\\Bigl(a_{tj},\\ \\sum_{t' < t} a_{t'j}\\Bigr)

    Args:
        weights: attention weights of all steps of a target in order.

    Shapes:
        weights: [B, T, S], result: [B, T]
    """
    time = torch.arange(weights.shape[1], device=weights.device)
    is_earlier = (time < time[:, None]).to(weights.dtype)  # [T, T]
    with full_precision(weights):  # not cumsum, which CUDA does not compute deterministically
        coverage = torch.matmul(is_earlier, weights)  # [B, T, S], of the steps before
    return torch.minimum(weights, coverage).sum(dim=-1)
