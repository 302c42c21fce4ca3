"""Penalties on the outputs of a recurrent network."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class ActivationPenalty:
    """Activation regularisation and temporal activation regularisation: Merity, McCann, Socher 2017, arXiv:1708.01009.

    .. math:: \\frac{1}{N} \\sum_t \\left( \\frac{\\alpha}{H} \\lVert m \\odot h_t \\rVert^2
        + \\frac{\\beta}{H} \\lVert h_t - h_{t-1} \\rVert^2 \\right)

    N is the number of positions in the mean of the loss; if these are sequences, the steps of a sequence are averaged.

    Args:
        dropout: module that applies the mask m to the output h of the last layer; it gets a forward hook.
        alpha: weight α of the size of outputs after dropout.
        beta: weight β of their change from step to step before dropout.
    """

    def __init__(self, dropout: nn.Module, alpha: float, beta: float) -> None:
        self.alpha, self.beta = alpha, beta
        self.seen: list[tuple[Tensor, Tensor]] = []  # h and m ∘ h of the parts of a batch: [B, T, H]
        dropout.register_forward_hook(self._see)

    def _see(self, module: nn.Module, arguments: tuple[Any, ...], output: Tensor) -> None:
        if module.training:
            self.seen.append((arguments[0], output))

    def take(self, weights: Tensor, fresh: Tensor | None) -> Tensor:
        """The penalty on the last batch.

        Args:
            weights: weight of each step, 0 for padding.
            fresh: mask of the first steps of documents, which have no change; None if there are none.

        Shapes:
            weights, fresh: [B, T], result: []
        """
        raw, dropped = (torch.cat(parts, dim=1) for parts in zip(*self.seen, strict=True))  # [B, T, H]
        self.seen = []
        change = weights[:, 1:] if fresh is None else weights[:, 1:] * ~fresh[:, 1:]
        return self.alpha * _squares(dropped, weights) + self.beta * _squares(raw[:, 1:] - raw[:, :-1], change)


def _squares(values: Tensor, weights: Tensor) -> Tensor:
    """Weighted sum of the mean squares of steps; padding may have any value."""
    real = values.masked_fill((weights == 0)[..., None], 0.0)
    return (real.square().mean(dim=-1) * weights).sum()
