"""State carried from window to window, for truncated backpropagation through time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from unroll.data.batch import Batch, Window
from unroll.networks.embedding import Words
from unroll.networks.recurrent import State
from unroll.networks.state import map_parts, where_rows


class Carrying(Protocol):
    """A network that reads windows: it returns the features of some steps and the state after them."""

    def initial_state(self, batch_size: int) -> State: ...

    def __call__(self, inputs: Any, lengths: Tensor, state: State) -> tuple[Tensor, State]: ...


class CarriedState:
    """The state after the last window: BPTT(k; s) of Williams and Peng, Neural Computation 2, 1990.

    Training and evaluation have separate states. They are detached and kept in fp32 or higher, since autocast returns
    bf16 for some cells, and rounding at every window would accumulate.
    """

    def __init__(self) -> None:
        self.states: dict[bool, State] = {}  # key: whether the network is in training
        self.rows = 0  # number of rows of the last training window
        self.loaded: list[list[Tensor]] = []  # state of training from a checkpoint, as plain tensors

    def read(self, network: Carrying, inputs: Tensor | Words, batch: Batch, training: bool) -> Tensor:
        """Features of every step of a window; the state after it is kept for the next one.

        A window is split where the next window starts or where rows reset their state. Each part has its own locked
        dropout mask.

        Args:
            network: the network.
            inputs: inputs of the window.
            batch: the window.
            training: whether to use the state of training or that of evaluation.

        Shapes:
            inputs: [B, T] or [B, T, I], features: [B, T, F]
        """
        window, count, steps = batch.window, *batch.mask.shape
        assert window is not None
        if training:
            self.rows = window.rows
            self._take_loaded(network, count)
        if window.first or training not in self.states:
            self.states[training] = network.initial_state(count)
        state, parts = self.states[training], []
        with parametrize.cached():  # one weight dropout mask for the whole window
            for begin, end in pairwise(_cuts(window, steps)):
                if begin == window.carry:
                    self.states[training] = detach(state)
                if window.fresh is not None:
                    state = where(window.fresh[:, begin], network.initial_state(count), state)
                lengths = (window.left - begin).clamp(max=end - begin)
                features, after = network(_steps(inputs, begin, end), lengths.clamp(min=1), state)
                state = where(lengths > 0, after, state)  # the state does not change after the end of a sequence
                parts.append(features)
        if window.carry == steps:
            self.states[training] = detach(state)
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def plain(self) -> list[list[Tensor]]:
        """The state of training as lists of tensors, without the row that stands for an empty share."""
        return [[part[: self.rows].cpu() for part in state] for state in self.states.get(True, ())]

    def load(self, shares: list[list[list[Tensor]]], rank: int, world: int) -> None:
        """Restore the results of :meth:`plain` of all processes, with the rows of this process."""
        self.states.pop(True, None)
        self.loaded = []
        for states in zip(*shares, strict=True):
            whole = [torch.cat(parts) for parts in zip(*states, strict=True)]
            self.loaded.append([part.tensor_split(world)[rank] for part in whole])

    def _take_loaded(self, network: Carrying, count: int) -> None:
        """Convert loaded tensors to the state type of the network."""
        if not self.loaded:
            return
        first = network.initial_state(count)
        if len(self.loaded[0][0]) == count:  # otherwise this share is empty, and its state is not used
            first = tuple(
                type(kind)(*(new.to(old) for new, old in zip(part, kind, strict=True)))
                for kind, part in zip(first, self.loaded, strict=True)
            )
        self.states[True], self.loaded = first, []

    def discard_non_finite(self) -> None:
        """Reset the state of training of the sequences in which it is not finite."""
        state = self.states.get(True)
        if state is None:
            return
        rows = torch.stack([part.flatten(1).isfinite().all(dim=1) for kind in state for part in kind]).all(dim=0)
        self.states[True] = where(rows, state, map_parts(torch.zeros_like, state))


def _cuts(window: Window, steps: int) -> list[int]:
    """Positions at which to split a window, including its ends."""
    fresh = [] if window.fresh is None else window.fresh.any(dim=0).nonzero()[:, 0].tolist()
    return sorted({0, window.carry, *fresh, steps})


def _steps(inputs: Tensor | Words, begin: int, end: int) -> Tensor | Words:
    if isinstance(inputs, Words):
        return inputs._replace(tokens=inputs.tokens[:, begin:end], forms=inputs.forms[:, begin:end])
    return inputs[:, begin:end]


def where(rows: Tensor, chosen: State, other: State) -> State:
    """Select rows of two states: ``chosen`` where ``rows`` [B] is true, else ``other``."""
    return chosen if rows.all() else where_rows(rows, chosen, other)


def detach(state: State) -> State:
    """The detached state, in fp32 or higher."""
    halves = (torch.float16, torch.bfloat16)
    return map_parts(lambda part: part.detach().float() if part.dtype in halves else part.detach(), state)
