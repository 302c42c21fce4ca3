"""Functions that reduce or select the outputs of a recurrent network.

Every function takes the output of :class:`~unroll.networks.recurrent.Recurrent`, [B, T, D · H], forward direction
first, and the lengths [B]. Padding may have any value, even NaN: it affects neither results nor gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from unroll.cells.base import last_step
from unroll.errors import BadInput

Readout = Callable[[Tensor, Tensor, int], Tensor]  # output [B, T, D · H], lengths [B], H → [B, D · H]


def finals(output: Tensor, lengths: Tensor, hidden_size: int) -> Tensor:
    """Last output of each direction: Graves and Schmidhuber 2005.

    .. math:: [\\overrightarrow{h}_T;\\ \\overleftarrow{h}_1]

    Args:
        output: output of one or two directions.
        lengths: length T of each sequence, in steps.
        hidden_size: size H of one direction.

    Shapes:
        output: [B, T, D · H], lengths: [B], result: [B, D · H]
    """
    forward, *backward = torch.split(output, hidden_size, dim=-1)
    return torch.cat([last_step(forward, lengths), *(part[:, 0] for part in backward)], dim=-1)


def mean(output: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the real steps: [B, T, F] → [B, F]."""
    return output.masked_fill(_padding(output, lengths), 0.0).sum(dim=1) / lengths[:, None]


def maximum(output: Tensor, lengths: Tensor) -> Tensor:
    """Maximum of each unit over the real steps: Collobert et al. 2011: [B, T, F] → [B, F]."""
    return output.masked_fill(_padding(output, lengths), -torch.inf).amax(dim=1)


def select(output: Tensor, lengths: Tensor, steps: Tensor) -> Tensor:
    """Select steps of each sequence, in the given order.

    Args:
        output: output of one or two directions.
        lengths: length of each sequence, in steps.
        steps: indices of the steps, from 0; a step may occur more than once.

    Shapes:
        output: [B, T, F], lengths: [B], steps: [B, S], result: [B, S, F]

    Raises:
        BadInput: a sequence has no such step.
    """
    absent = (steps < 0) | (steps >= lengths[:, None])
    if absent.any():
        b, s = absent.nonzero()[0].tolist()
        raise BadInput(f"Sequence {b} has {int(lengths[b])} steps, so there is no step {int(steps[b, s])} to select; "
                       "choose steps from 0 to its length − 1.")  # fmt: skip
    return output[torch.arange(len(output), device=output.device)[:, None], steps]


def excluding(
    output: Tensor, lengths: Tensor, hidden_size: int, before: Tensor | None = None, after: Tensor | None = None
) -> Tensor:
    """Context of each step without the step itself, for a bidirectional language model.

    .. math:: [\\overrightarrow{h}_{t-1};\\ \\overleftarrow{h}_{t+1}]

    Args:
        output: output of two directions.
        lengths: length of each sequence, in steps.
        hidden_size: size H of one direction.
        before: initial hidden state of the forward direction; zeros if None.
        after: initial hidden state of the backward direction; zeros if None.

    Shapes:
        output: [B, T, 2 · H], lengths: [B], before, after: [B, H], result: [B, T, 2 · H]; undefined
        beyond the length of a sequence

    Raises:
        BadInput: the output does not have two directions.

    The step is excluded only if each direction reads nothing but inputs. In stacked bidirectional layers, the forward
    direction of the second layer reads at t − 1 the output of the backward direction of the first layer, which depends
    on step t. Use one layer, or a separate stack for each direction.
    """
    if output.shape[-1] != 2 * hidden_size:
        raise BadInput(f"The output has {output.shape[-1]} units, but two directions of {hidden_size} have "
                       f"{2 * hidden_size}; to exclude a step, read the sequence in both directions.")  # fmt: skip
    forward, backward = torch.split(output, hidden_size, dim=-1)  # [B, T, H] each
    nothing = output.new_zeros(len(output), hidden_size)
    start, end = (nothing if hidden is None else hidden for hidden in (before, after))
    earlier = torch.cat([start[:, None], forward[:, :-1]], dim=1)
    later = torch.cat([backward[:, 1:], end[:, None]], dim=1)
    is_last = torch.arange(output.shape[1], device=output.device) == lengths[:, None] - 1  # [B, T]
    return torch.cat([earlier, torch.where(is_last[..., None], end[:, None], later)], dim=-1)


def _padding(output: Tensor, lengths: Tensor) -> Tensor:
    """Mask of padding: [B, T, 1]."""
    return (torch.arange(output.shape[1], device=output.device) >= lengths[:, None])[..., None]


def _pooled(pool: Callable[[Tensor, Tensor], Tensor], output: Tensor, lengths: Tensor, _: int) -> Tensor:
    """Adapt a function that does not depend on the hidden size to the signature of a readout."""
    return pool(output, lengths)


# partial, not lambda, so that networks can be pickled
READOUTS: dict[str, Readout] = {
    "last": partial(_pooled, last_step),
    "final": finals,
    "mean": partial(_pooled, mean),
    "max": partial(_pooled, maximum),
}
