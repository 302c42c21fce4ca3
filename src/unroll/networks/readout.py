"""What is read off the outputs of a recurrent network: one vector per sequence, some steps, or what is around a step.

Every function takes the output of :class:`~unroll.networks.recurrent.Recurrent`, [B, T, D · H], the forward direction
in front, and the lengths [B]. Every step, as a tagger needs it, is that output itself and takes no function. Padding
may hold anything, NaN too: it reaches neither a result nor a gradient.
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
    """What each direction has when it has read the whole sequence: Graves and Schmidhuber 2005.

    .. math:: [\\overrightarrow{h}_T;\\ \\overleftarrow{h}_1]

    Args:
        output: of one direction or two.
        lengths: T of each sequence, in steps.
        hidden_size: width H of one direction.

    Shapes:
        output: [B, T, D · H], lengths: [B], result: [B, D · H]
    """
    forward, *backward = torch.split(output, hidden_size, dim=-1)
    return torch.cat([last_step(forward, lengths), *(part[:, 0] for part in backward)], dim=-1)


def mean(output: Tensor, lengths: Tensor) -> Tensor:
    """Mean over the real steps: [B, T, F] → [B, F]."""
    return output.masked_fill(_padding(output, lengths), 0.0).sum(dim=1) / lengths[:, None]


def maximum(output: Tensor, lengths: Tensor) -> Tensor:
    """Largest value of each unit over the real steps: Collobert et al. 2011: [B, T, F] → [B, F]."""
    return output.masked_fill(_padding(output, lengths), -torch.inf).amax(dim=1)


def select(output: Tensor, lengths: Tensor, steps: Tensor) -> Tensor:
    """Chosen steps of each sequence, in the order asked for.

    Args:
        output: of one direction or two.
        lengths: of each sequence, in steps.
        steps: numbers of the steps, from 0; a step may be asked for more than once.

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
    """All of a sequence but the step itself, for a language model of both directions.

    .. math:: [\\overrightarrow{h}_{t-1};\\ \\overleftarrow{h}_{t+1}]

    Args:
        output: of two directions.
        lengths: of each sequence, in steps.
        hidden_size: width H of one direction.
        before: hidden state from which the forward direction began; zeros if it is None.
        after: hidden state from which the backward direction began; zeros if it is None.

    Shapes:
        output: [B, T, 2 · H], lengths: [B], before, after: [B, H], result: [B, T, 2 · H]; beyond a sequence's length
        it is undefined

    Raises:
        BadInput: the output is not that of two directions.

    It excludes the step only if each direction has read nothing but inputs. In a stack whose layers are bidirectional
    the second layer's forward direction reads, at t − 1, what the first layer's backward direction knows of step t.
    So let the network have one layer, or give the two directions a stack each and join their outputs.
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
    """Where a step is no real one: [B, T, 1]."""
    return (torch.arange(output.shape[1], device=output.device) >= lengths[:, None])[..., None]


def _alike(pool: Callable[[Tensor, Tensor], Tensor], output: Tensor, lengths: Tensor, _: int) -> Tensor:
    """A function that treats every unit alike, called as a readout is."""
    return pool(output, lengths)


# partial, not lambda: a network that keeps one can be copied to another process
READOUTS: dict[str, Readout] = {
    "last": partial(_alike, last_step),
    "final": finals,
    "mean": partial(_alike, mean),
    "max": partial(_alike, maximum),
}
