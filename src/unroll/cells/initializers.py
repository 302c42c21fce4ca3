"""First values of weights, by the names that the papers give them."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def uniform(weight: Tensor, hidden_size: int) -> None:
    """Draw from U(−1/√H, 1/√H), as torch's recurrent modules do.

    Args:
        weight: any shape, filled in place.
        hidden_size: H.
    """
    bound = 1.0 / math.sqrt(hidden_size)
    nn.init.uniform_(weight, -bound, bound)


@torch.no_grad()
def orthogonal(weight_recurrent: Tensor) -> None:
    """Fill every gate's matrix with a random orthogonal one: Saxe, McClelland, Ganguli, ICLR 2014.

    Args:
        weight_recurrent: [gates · H, H], filled in place; each gate's block is orthogonal by itself, so that each
            product h W keeps the length of h.
    """
    for block in torch.split(weight_recurrent, weight_recurrent.shape[1]):
        nn.init.orthogonal_(block)


@torch.no_grad()
def identity(weight_recurrent: Tensor, scale: float) -> None:
    """Fill every gate's matrix with ``scale`` times the identity: Le, Jaitly, Hinton 2015.

    Args:
        weight_recurrent: [gates · H, H], filled in place.
        scale: 1 copies the state; smaller ones forget at a constant rate.
    """
    for block in torch.split(weight_recurrent, weight_recurrent.shape[1]):
        nn.init.eye_(block).mul_(scale)


@torch.no_grad()
def forget_bias(bias: Tensor, gate: int, hidden_size: int, value: float) -> None:
    """Set the bias of the forget gate: Gers, Schmidhuber, Cummins 2000; to 1: Jozefowicz, Zaremba, Sutskever 2015.

    Args:
        bias: [gates · H], of which one gate is filled in place.
        gate: number of the forget gate in the order in which gates are stacked.
        hidden_size: H.
        value: 1 makes the cell remember before it has learned to.
    """
    bias[gate * hidden_size : (gate + 1) * hidden_size] = value
