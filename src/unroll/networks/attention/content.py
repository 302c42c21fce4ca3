"""Attention by content: scores of the state of the decoder and the features of a step of the source."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn

from unroll.networks.attention.base import Attention, Prepared
from unroll.networks.attention.hidden_layer import hidden_layer_scores


class AdditiveAttention(Attention):
    """Additive attention: Bahdanau, Cho, Bengio, ICLR 2015, section 3.1 and appendix A.1.2.

    .. math:: e_{tj} = v^\\top \\tanh(W s_t + U m_j + b)

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m.
        size: size A of the hidden layer.

    Shapes:
        see :class:`Attention`; keys U m + b and projected queries W s have size A

    See :func:`~unroll.networks.attention.hidden_layer.hidden_layer_scores` for how the scores are computed.
    """

    def __init__(self, query_size: int, feature_size: int, size: int) -> None:
        super().__init__(query_size, feature_size)
        self.of_query = nn.Linear(query_size, size, bias=False)
        self.of_feature = nn.Linear(feature_size, size)
        self.vector = nn.Parameter(torch.empty(size))
        nn.init.uniform_(self.vector, -1 / math.sqrt(size), 1 / math.sqrt(size))

    def keys(self, values: Tensor) -> Tensor:
        projected: Tensor = self.of_feature(values)
        return projected.to(torch.promote_types(projected.dtype, torch.float32))  # once, not at every step

    def project(self, queries: Tensor) -> Tensor:
        projected: Tensor = self.of_query(queries)
        return projected

    def scores(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        return hidden_layer_scores(projected, prepared.keys, self.vector)


class CoverageAttention(AdditiveAttention):
    """Additive attention that reads how much each step has been read: See, Liu, Manning, ACL 2017, equation 11.

    .. math:: e_{tj} = v^\\top \\tanh(W s_t + U m_j + w k_{tj} + b), \\qquad k_{tj} = \\sum_{t' < t} a_{t'j}

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m.
        size: size A of the hidden layer.

    Shapes:
        see :class:`Attention`; carried: the coverage k

    The paper adds :func:`~unroll.networks.attention.coverage_losses` to the loss, without which the coverage is used
    little. That loss needs the weights alone, of any attention.
    """

    sequential: ClassVar[bool] = True

    def __init__(self, query_size: int, feature_size: int, size: int) -> None:
        super().__init__(query_size, feature_size, size)
        self.of_coverage = nn.Parameter(torch.empty(size))
        nn.init.uniform_(self.of_coverage, -1.0, 1.0)

    def scores(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        assert carried is not None
        keys = prepared.keys[:, None] + carried[..., None] * self.of_coverage  # [B, T, S, A], others for each query
        scores = hidden_layer_scores(projected.flatten(0, 1)[:, None], keys.flatten(0, 1), self.vector)
        return scores.view_as(carried)

    def first(self, prepared: Prepared) -> Tensor:
        wide = torch.promote_types(prepared.values.dtype, torch.float32)
        return torch.zeros_like(prepared.mask, dtype=wide)

    def carry(self, carried: Tensor | None, weights: Tensor) -> Tensor:
        assert carried is not None
        return carried + weights


class DotAttention(Attention):
    """Dot-product attention: Luong, Pham, Manning, EMNLP 2015, equation 8, ``dot``.

    .. math:: e_{tj} = s_t^\\top m_j

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m, equal to H.

    Shapes:
        see :class:`Attention`; keys and values are the features

    Raises:
        BadInput: the sizes differ.
    """

    def __init__(self, query_size: int, feature_size: int) -> None:
        super().__init__(query_size, feature_size)
        self._require_equal_sizes()

    def scores(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        return products(projected, prepared.keys)


class ScaledAttention(DotAttention):
    """Scaled dot-product attention: Vaswani et al., NeurIPS 2017, equation 1, without projections.

    .. math:: e_{tj} = \\frac{s_t^\\top m_j}{\\sqrt{H}}

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m, equal to H.

    Shapes:
        see :class:`Attention`

    Raises:
        BadInput: the sizes differ.
    """

    def keys(self, values: Tensor) -> Tensor:
        return values / math.sqrt(self.query_size)


class GeneralAttention(Attention):
    """Attention with a bilinear score: Luong, Pham, Manning, EMNLP 2015, equation 8, ``general``.

    .. math:: e_{tj} = s_t^\\top W m_j

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m.

    Shapes:
        see :class:`Attention`; keys W m have size H
    """

    def __init__(self, query_size: int, feature_size: int) -> None:
        super().__init__(query_size, feature_size)
        self.of_feature = nn.Linear(feature_size, query_size, bias=False)

    def keys(self, values: Tensor) -> Tensor:
        projected: Tensor = self.of_feature(values)
        return projected

    def scores(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        return products(projected, prepared.keys)


def products(queries: Tensor, keys: Tensor) -> Tensor:
    """Inner products of all queries and all keys: [B, T, A], [B, S, A] → [B, T, S]."""
    return torch.bmm(queries, keys.transpose(1, 2))
