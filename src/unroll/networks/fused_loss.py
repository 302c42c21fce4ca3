"""A linear layer and the cross-entropy of its softmax, chunk by chunk of rows, without the matrix of logits."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unroll.cells.base import HALVES, product_type
from unroll.networks.pages import empty_like, zeros_like

CHUNK_BYTES = 24 * 2**20  # logits of a chunk
CHUNK_ROWS = 350  # at least, however large the vocabulary: products of fewer rows are slower
BLOCK_BYTES = 4 * 2**20  # of which the softmax is computed at a time, in fp32, while they are in the cache
NOTHING = (False, False, False)
TILE = 2048  # rows of the weight whose gradient is summed at a time, while they are in the cache


def linear_cross_entropy(
    features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of the softmax of a linear layer, with label smoothing: Szegedy et al., CVPR 2016, section 7.

    .. math::
        z_n = W x_n + b, \\qquad p_n = \\mathrm{softmax}(z_n), \\qquad
        \\ell_n = \\ln \\sum_v e^{z_{nv}} - (1 - \\epsilon)\\, z_{n t_n} - \\frac{\\epsilon}{V} \\sum_v z_{nv}

    The gradients are formed together with the losses, while the probabilities of a chunk of rows are at hand:

    .. math::
        \\frac{\\partial \\ell_n}{\\partial z_n} = p_n - (1 - \\epsilon)\\, 1_{t_n} - \\frac{\\epsilon}{V}

    Args:
        features: x.
        weight: W.
        bias: b, or None.
        targets: t, numbers of rows of W.
        smoothing: ε, in [0, 1).

    Shapes:
        features: [N, F], weight: [V, F], bias: [V], targets: [N], result: [N], in fp32 or higher

    Raises:
        NotImplementedError: a second derivative is requested.

    Under autocast, products have half precision and are summed in fp32; the softmax is computed in fp32 or higher.

    The gradient of the weight is a sum over rows, weighted by the gradient with respect to each loss, which is not
    known yet. It is taken as equal for all rows, as in a sum or a mean over them. If it is not, the backward pass
    computes the probabilities again. A caller that ignores some rows avoids this by passing the others alone.
    """
    grows = any(part is not None and part.requires_grad for part in (features, weight, bias))
    if grows and torch.is_grad_enabled():
        losses: Tensor = _LinearCrossEntropy.apply(  # type: ignore[no-untyped-call]
            features, weight, bias, targets, smoothing, product_type(features)
        )
        return losses
    return _Layer(features, weight, bias, targets, smoothing, product_type(features)).run(None, NOTHING)[0]


class _Layer:
    """The layer in the type of its products, with its inputs and targets."""

    def __init__(
        self,
        features: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        targets: Tensor,
        smoothing: float,
        kind: torch.dtype,
    ) -> None:
        self.wide = torch.float32 if kind in HALVES else kind
        self.features, self.targets = features.to(kind), targets
        self.weight = weight if weight.dtype == kind else empty_like(weight, kind).copy_(weight)
        self.bias = None if bias is None else bias.to(self.wide)
        self.smoothing = smoothing
        if smoothing:
            self.weight_sum = weight.sum(0, dtype=self.wide)  # Σ_v W_v: [F]

    @torch.no_grad()
    def run(
        self, upstream: Tensor | None, wanted: tuple[bool, ...]
    ) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None]:
        """Losses, and gradients with respect to features, weight and bias.

        Args:
            upstream: weight of each loss in the gradients of weight and bias, [N]; None for 1. The gradient of the
                features is that of each loss alone.
            wanted: which gradients to compute; the others are None.
        """
        weights = self.features.new_ones(len(self.features), dtype=self.wide) if upstream is None else upstream
        losses = torch.empty_like(weights, dtype=self.wide)
        by_features = torch.empty_like(self.features) if wanted[0] else None
        by_weight = (empty_like if len(losses) else zeros_like)(self.weight, self.wide) if wanted[1] else None
        by_bias = self.weight.new_zeros(len(self.weight), dtype=self.wide) if wanted[2] else None
        for rows, logits in self._chunks():
            losses[rows] = self._losses(logits, rows, differentiates=wanted != NOTHING)
            if by_features is not None:
                torch.mm(logits, self.weight, out=by_features[rows])
            if by_weight is not None:
                part = self.features[rows]
                part = part if upstream is None else (part * weights[rows, None]).to(part.dtype)
                _add_product(by_weight, logits, part, is_first=rows.start == 0)
            if by_bias is not None:
                by_bias += (logits.t() @ weights[rows, None].to(logits.dtype))[:, 0]
        if self.smoothing:
            self._smooth(by_features, by_weight, by_bias, weights)
        return losses, by_features, by_weight, by_bias

    def _chunks(self) -> Iterator[tuple[slice, Tensor]]:
        """Rows, and their logits without the bias [C, V], in the memory of the previous ones."""
        count, size = len(self.features), len(self.weight)
        most = max(CHUNK_ROWS, CHUNK_BYTES // (size * self.features.element_size()))
        rows = max(1, math.ceil(count / max(1, math.ceil(count / most))))  # chunks of equal size
        memory = self.features.new_empty(rows, size)
        for begin in range(0, count, rows):
            part = self.features[begin : begin + rows]
            yield slice(begin, begin + len(part)), torch.mm(part, self.weight.t(), out=memory[: len(part)])

    def _losses(self, logits: Tensor, rows: slice, differentiates: bool) -> Tensor:
        """Losses [C] of a chunk; if it ``differentiates``, its logits become their gradient but for −ε / V."""
        size = max(1, BLOCK_BYTES // (logits.shape[1] * self.wide.itemsize))
        wide, soft = logits.new_empty(2, min(size, len(logits)), logits.shape[1], dtype=self.wide)
        losses, rest = [], 1 - self.smoothing
        for part, targets in zip(torch.split(logits, size), torch.split(self.targets[rows, None], size), strict=True):
            scores, found = wide[: len(part)].copy_(part), soft[: len(part)]
            if self.bias is not None:
                scores += self.bias
            torch.softmax(scores, 1, out=found)
            # ln Σ_v e^z from the greatest probability, which is at least 1 / V
            losses.append(scores.amax(1) - found.amax(1).log() - rest * scores.gather(1, targets)[:, 0])
            if differentiates:
                part.copy_(found).scatter_(1, targets, (found.gather(1, targets) - rest).to(part.dtype))
        joined = torch.cat(losses)
        return joined - self._smoothing_loss(rows) if self.smoothing else joined

    def _smoothing_loss(self, rows: slice) -> Tensor:
        """ε / V · Σ_v z_v: [C]."""
        total = (self.features[rows] * self.weight_sum).sum(1)
        total = total if self.bias is None else total + self.bias.sum()
        return self.smoothing / len(self.weight) * total

    def _smooth(
        self, by_features: Tensor | None, by_weight: Tensor | None, by_bias: Tensor | None, weights: Tensor
    ) -> None:
        """Add the gradient of smoothing, −ε / V for each token."""
        share = self.smoothing / len(self.weight)
        if by_features is not None:
            by_features -= share * self.weight_sum
        if by_weight is not None:
            by_weight -= share * (weights[:, None] * self.features).sum(0)
        if by_bias is not None:
            by_bias -= share * weights.sum()


def _add_product(total: Tensor, left: Tensor, right: Tensor, is_first: bool) -> None:
    """Add leftᵀ right to ``total``, or assign it: [V, F], [C, V], [C, F]."""
    if total.dtype == left.dtype:
        total.addmm_(left.t(), right, beta=0 if is_first else 1)
        return
    for begin in range(0, len(total), TILE):  # chunks are summed in the precision of the total
        part, product = total[begin : begin + TILE], left[:, begin : begin + TILE].t() @ right
        part.copy_(product) if is_first else part.add_(product)


class _LinearCrossEntropy(torch.autograd.Function):
    """The losses, with gradients that are formed in the forward pass."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor,
                smoothing: float, kind: torch.dtype) -> Tensor:  # fmt: skip
        ctx.wanted, ctx.settings = tuple(ctx.needs_input_grad[:3]), (smoothing, kind)
        losses, *ctx.formed = _Layer(features, weight, bias, targets, smoothing, kind).run(None, ctx.wanted)
        ctx.save_for_backward(features, weight, bias, targets)
        return losses

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph=True
            raise NotImplementedError("The fused loss has no second derivative; use the logits.")
        features, weight, bias, targets = ctx.saved_tensors
        by_features, *shared = ctx.formed
        wanted = (False, *ctx.wanted[1:])
        # tensors of shapes without data, by which the cost of a network is measured, cannot be compared
        if shared and (given.is_meta or bool((given == given[:1]).all())):
            ctx.formed = [by_features]  # the others change; a second backward pass computes them again
            for part in shared:
                if part is not None:
                    part *= given[:1].sum()
        elif wanted != NOTHING:
            _, _, *shared = _Layer(features, weight, bias, targets, *ctx.settings).run(given, wanted)
        else:
            shared = [None, None]
        if by_features is not None:
            by_features = (by_features * given[:, None]).to(features.dtype)
        return by_features, *shared, None, None, None
