"""Bridges: from the summary of a source to the first state of a decoder."""

from __future__ import annotations

from abc import ABC, abstractmethod
from math import prod

import torch
from torch import Tensor, nn

from unroll.errors import BadInput
from unroll.networks.recurrent import State


class Bridge(nn.Module, ABC):
    """First state of a decoder from the summary of a source.

    Args:
        summary_size: size C of the summary.
        initial: initial state of the decoder's network for any number of sequences, from which the sizes of the parts
            of a state are read.

    Shapes:
        summary: [B, C], initial and result: state of [B, …] of every layer
    """

    def __init__(self, summary_size: int, initial: State) -> None:
        super().__init__()
        self.summary_size = summary_size

    @abstractmethod
    def forward(self, summary: Tensor, initial: State) -> State:
        """First state of the decoder, where ``initial`` is the state that it has without a source."""


class ZeroBridge(Bridge):
    """The initial state of the decoder's network, zero unless it is learned; the summary is not read."""

    def forward(self, summary: Tensor, initial: State) -> State:
        return initial


class CopyBridge(Bridge):
    """The summary as each part of the state of each layer: Cho et al., EMNLP 2014, with h₀ = C.

    Args:
        summary_size: size C of the summary.
        initial: see :class:`Bridge`.

    Shapes:
        summary: [B, C], result: state of [B, C] of every layer

    Raises:
        BadInput: a part of a state has another size than the summary, or is not of real numbers.
    """

    def __init__(self, summary_size: int, initial: State) -> None:
        super().__init__(summary_size, initial)
        for layer, name, part in _parts(initial):
            if part.shape[1:] != (summary_size,):
                raise BadInput(f"A summary of {summary_size} numbers cannot be copied to the part {name} of the state "
                               f"of decoder layer {layer + 1}, which has {' × '.join(map(str, part.shape[1:]))}; "
                               "choose the bridge linear, or equal sizes.")  # fmt: skip

    def forward(self, summary: Tensor, initial: State) -> State:
        return tuple(type(cell)(*(summary.to(part.dtype) for part in cell)) for cell in initial)


class LinearBridge(Bridge):
    """A transformed summary: Bahdanau, Cho, Bengio, ICLR 2015, appendix A.2.2.

    .. math:: s_0 = \\tanh(W c + b)

    Args:
        summary_size: size C of the summary.
        initial: see :class:`Bridge`.

    Shapes:
        summary: [B, C], result: state of [B, …] of every layer, each part with its own W and b

    Raises:
        BadInput: a part of a state is not of real numbers.
    """

    def __init__(self, summary_size: int, initial: State) -> None:
        super().__init__(summary_size, initial)
        self.sizes = [prod(part.shape[1:]) for _, _, part in _parts(initial)]
        self.linear = nn.Linear(summary_size, sum(self.sizes))

    def forward(self, summary: Tensor, initial: State) -> State:
        values = iter(torch.split(torch.tanh(self.linear(summary)), self.sizes, dim=-1))
        # contiguous, as cuDNN requires, and in the precision of the initial state: sums in a memory need more than bf16
        return tuple(
            type(cell)(*(next(values).reshape(part.shape).contiguous().to(part.dtype) for part in cell))
            for cell in initial
        )


def _parts(state: State) -> list[tuple[int, str, Tensor]]:
    """Layer, name and values of each part of a state.

    Raises:
        BadInput: a part is not of real numbers.
    """
    parts = [(layer, name, part) for layer, cell in enumerate(state) for name, part in cell._asdict().items()]
    for layer, name, part in parts:
        if not part.is_floating_point():
            raise BadInput(f"The part {name} of the state of decoder layer {layer + 1} is of {part.dtype}, which a "
                           "summary cannot determine; choose the bridge zero.")  # fmt: skip
    return parts


BRIDGES: dict[str, type[Bridge]] = {"zero": ZeroBridge, "copy": CopyBridge, "linear": LinearBridge}
