"""Initialisation of weights."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn


@torch.no_grad()
def uniform(weight: Tensor, hidden_size: int) -> None:
    """Fill with values from U(−1/√H, 1/√H), as torch's recurrent modules do.

    Args:
        weight: any shape, filled in place.
        hidden_size: H.
    """
    bound = 1.0 / math.sqrt(hidden_size)
    nn.init.uniform_(weight, -bound, bound)


@torch.no_grad()
def orthogonal(weight_recurrent: Tensor) -> None:
    """Fill the matrix of every gate with a random orthogonal matrix: Saxe, McClelland, Ganguli, ICLR 2014.

    Args:
        weight_recurrent: [gates · H, H], filled in place; the block of each gate is orthogonal, so that each
            product h W has the norm of h.
    """
    for block in torch.split(weight_recurrent, weight_recurrent.shape[1]):
        nn.init.orthogonal_(block)


@torch.no_grad()
def identity(weight_recurrent: Tensor, scale: float) -> None:
    """Fill the matrix of every gate with ``scale`` times the identity: Le, Jaitly, Hinton 2015.

    Args:
        weight_recurrent: [gates · H, H], filled in place.
        scale: factor of the identity; with 1 the state is copied, below 1 it decays exponentially.
    """
    for block in torch.split(weight_recurrent, weight_recurrent.shape[1]):
        nn.init.eye_(block).mul_(scale)


@torch.no_grad()
def forget_bias(bias: Tensor, gate: int, hidden_size: int, value: float) -> None:
    """Set the bias of the forget gate: Gers, Schmidhuber, Cummins 2000; to 1: Jozefowicz, Zaremba, Sutskever 2015.

    Args:
        bias: [gates · H], filled in place for one gate.
        gate: index of the forget gate in the order of the stacked gates.
        hidden_size: H.
        value: initial bias; with 1 the cell remembers from the start.
    """
    bias[gate * hidden_size : (gate + 1) * hidden_size] = value
