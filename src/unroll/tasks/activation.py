"""Penalties on what a recurrent network puts out, rather than on its weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ActivationPenalty:
    """Activation regularisation, and its temporal kind: Merity, McCann, Socher 2017, arXiv:1708.01009.

    .. math:: \\frac{1}{N} \\sum_t \\left( \\frac{\\alpha}{H} \\lVert m \\odot h_t \\rVert^2
        + \\frac{\\beta}{H} \\lVert h_t - h_{t-1} \\rVert^2 \\right)

    N is what the mean of the loss is over: where that is sequences, the sum over a sequence's steps is their mean.

    Args:
        dropout: module whose mask m is on the last layer's output h; it is watched in training.
        alpha: α, of the size of outputs after dropout.
        beta: β, of their change from step to step before it.
    """

    def __init__(self, dropout: nn.Module, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta
        self.seen: list[tuple[Tensor, Tensor]] = []  # h, and m ∘ h, of the parts of one batch: [B, T, H]
        dropout.register_forward_hook(self._see)

    def _see(self, module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        if module.training:
            self.seen.append((arguments[0], output))

    def take(self, weights: Tensor, fresh: Tensor | None) -> Tensor:
        """The sum over the batch that was read last.

        Args:
            weights: how much each step counts, 0 where it is padded.
            fresh: where a new document begins, whose first step changes from nothing; None where nowhere.

        Shapes:
            weights, fresh: [B, T], result: []
        """
        raw, dropped = (torch.cat(parts, dim=1) for parts in zip(*self.seen, strict=True))  # [B, T, H]
        self.seen = []
        change = weights[:, 1:] if fresh is None else weights[:, 1:] * ~fresh[:, 1:]
        return self.alpha * _squares(dropped, weights) + self.beta * _squares(raw[:, 1:] - raw[:, :-1], change)


def _squares(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the mean squares of steps; what is in the padding may be anything."""
    real = values.masked_fill((weights == 0)[..., None], 0.0)
    return (real.square().mean(dim=-1) * weights).sum()
