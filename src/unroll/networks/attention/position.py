"""Attention by position: in a window around a predicted position, or moving forwards only."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.errors import BadInput
from unroll.networks.attention.base import Prepared, masked_softmax
from unroll.networks.attention.content import AdditiveAttention, GeneralAttention
from unroll.networks.attention.hidden_layer import hidden_layer_scores

NEVER = -1e4  # a logarithm whose exponential is 0 in every precision, and which can be summed over a source


class LocalAttention(GeneralAttention):
    """Local attention with a predicted position, ``local-p``: Luong, Pham, Manning, EMNLP 2015, section 3.2.

    .. math::
        p_t &= S\\,\\sigma(v^\\top \\tanh(W_p s_t)) \\\\
        a_{tj} &\\propto \\exp(s_t^\\top W m_j)\\,\\exp\\Bigl(-\\frac{(j - p_t)^2}{2 (D/2)^2}\\Bigr)
        \\quad\\text{for } |j - p_t| \\le D, \\text{ else } 0

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m.
        size: size of the hidden layer that predicts the position.
        window: D, the number of steps on each side of the position that are read, at least 1.

    Shapes:
        see :class:`Attention`

    Raises:
        BadInput: the window is narrower than 1 step.

    j counts from 1 and S is the length of the source. In the paper the softmax is multiplied by the Gaussian; here the
    product is normalised, so that weights sum to 1. All scores are computed and those outside the window are masked:
    the product over a whole source is faster than a gathered window unless sources are very long.
    """

    def __init__(self, query_size: int, feature_size: int, size: int, window: int) -> None:
        super().__init__(query_size, feature_size)
        if window < 1:
            raise BadInput(f"A window of {window} steps on each side may have no step to read; choose at least 1.")
        self.window = window
        self.position = nn.Sequential(
            nn.Linear(query_size, size, bias=False), nn.Tanh(), nn.Linear(size, 1, bias=False)
        )

    def positions(self, queries: Tensor, mask: Tensor) -> Tensor:
        """Predicted positions p of queries [B, T, H]: [B, T, 1], between 0 and the length of the source."""
        share = torch.sigmoid(self.position(queries))
        return share.to(torch.promote_types(share.dtype, torch.float32)) * mask.sum(dim=1)[:, None, None]

    def weigh(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        positions = self.positions(projected, prepared.mask)  # [B, T, 1]
        steps = torch.arange(1, prepared.mask.shape[1] + 1, device=positions.device, dtype=positions.dtype)
        distances = steps - positions  # [B, T, S]
        scores = self.scores(projected, prepared, carried) - 2 * (distances / self.window) ** 2
        return masked_softmax(scores, prepared.mask[:, None] & (distances.abs() <= self.window))


class MonotonicAttention(AdditiveAttention):
    """Hard monotonic attention: Raffel, Luong, Liu, Weiss, Eck, ICML 2017.

    .. math::
        e_{tj} &= g \\frac{v^\\top}{\\lVert v \\rVert} \\tanh(W s_t + U m_j + b) + r, \\qquad
        p_{tj} = \\sigma(e_{tj} + \\varepsilon) \\\\
        q_{tj} &= \\sum_{k \\le j} a_{t-1,k} \\prod_{k \\le l < j} (1 - p_{tl}), \\qquad a_{tj} = p_{tj} q_{tj}

    In training, these are the expected weights, with Gaussian noise ε in front of the sigmoid, which makes p nearly
    binary. In evaluation p is 1 where e > 0 and otherwise 0: the decoder reads one step, the first such step that does
    not lie before the step read last.

    Args:
        query_size: size H of a query s.
        feature_size: size F of the features m.
        size: size A of the hidden layer.
        noise: standard deviation of ε in training.
        offset: initial value of r; a negative one, so that weights reach the end of a source from the start.

    Shapes:
        see :class:`Attention`; carried: the weights of the step before, at first those of a reading of step 1

    Weights sum to at most 1: what moves beyond the end of a source is lost for this step and all later ones. The
    products are exponentials of differences of cumulative sums, for every pair of steps, which is stable; the
    recursion of the paper's appendix divides by products that may underflow.
    """

    sequential: ClassVar[bool] = True

    def __init__(self, query_size: int, feature_size: int, size: int, noise: float = 1.0, offset: float = -1.0) -> None:
        super().__init__(query_size, feature_size, size)
        self.noise = noise
        self.gain = nn.Parameter(torch.full((1,), 1 / math.sqrt(size)))
        self.offset = nn.Parameter(torch.full((1,), offset))

    def scores(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        direction = self.gain * self.vector / self.vector.norm()
        return hidden_layer_scores(projected, prepared.keys, direction) + self.offset

    def weigh(self, projected: Tensor, prepared: Prepared, carried: Tensor | None) -> Tensor:
        assert carried is not None
        scores = self.scores(projected, prepared, carried)
        if self.training:
            scores = scores + self.noise * torch.randn_like(scores) if self.noise else scores
            chosen, passed = torch.sigmoid(scores), F.logsigmoid(-scores)
        else:
            is_chosen = scores > 0
            chosen, passed = is_chosen.to(scores.dtype), NEVER * is_chosen.to(scores.dtype)
        return expected_weights(chosen * prepared.mask[:, None], passed, carried)

    def first(self, prepared: Prepared) -> Tensor:
        wide = torch.promote_types(prepared.values.dtype, torch.float32)
        start = torch.zeros_like(prepared.mask, dtype=wide)
        start[:, 0] = 1.0
        return start

    def carry(self, carried: Tensor | None, weights: Tensor) -> Tensor:
        return weights


def expected_weights(chosen: Tensor, passed: Tensor, before: Tensor) -> Tensor:
    """Expected weights of monotonic attention: Raffel et al. 2017, equation 9.

    .. math:: a_j = p_j \\sum_{k \\le j} b_k \\prod_{k \\le l < j} (1 - p_l)

    Args:
        chosen: probability p of choosing each step.
        passed: ln(1 − p).
        before: weights b of the step before.

    Shapes:
        all and the result: [B, T, S]
    """
    steps = torch.arange(passed.shape[-1], device=passed.device)
    is_ahead = steps[:, None] > steps  # [S, S], from k to a step j before it
    # neither cumsum, which CUDA does not compute deterministically, nor matmul, which autocast would round
    sums = (passed[..., None] * is_ahead.T).sum(dim=-2)  # [B, T, S], ln(1 − p) of the steps before j
    moved = (sums[..., None, :] - sums[..., None]).masked_fill(is_ahead, NEVER).clamp(max=0.0).exp()  # [B, T, S, S]
    return chosen * (before[..., None] * moved).sum(dim=-2)
