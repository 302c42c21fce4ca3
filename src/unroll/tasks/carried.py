"""State that is carried from window to window: truncated backpropagation through time."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils import parametrize

from unroll.data.batch import Batch, Window
from unroll.networks.embedding import Words
from unroll.networks.recurrent import State


class Carrying(Protocol):
    """What a network must do to read windows: features of some steps, and the state behind them, from a given one."""

    def initial_state(self, batch_size: int) -> State: ...

    def __call__(self, inputs: Any, lengths: Tensor, state: State) -> tuple[Tensor, State]: ...


class CarriedState:
    """The state behind the last window: BPTT(k; s) of Williams and Peng, Neural Computation 2, 1990.

    Training and evaluation each have their own. It is kept without its history, and in single precision or better:
    autocast hands out bf16 for some cells, and what is rounded at every window drifts.
    """

    def __init__(self) -> None:
        self.states: dict[bool, State] = {}  # by whether the network is in training
        self.rows = 0  # of the training window that was read last
        self.loaded: list[list[Tensor]] = []  # of training, from a checkpoint, which holds nothing but tensors

    def read(self, network: Carrying, inputs: Tensor | Words, batch: Batch, training: bool) -> Tensor:
        """Features of every step of a window, and the state behind it kept for the next one.

        A window is read in one piece unless its state is wanted, or is to be forgotten by some rows, in its middle;
        each piece has a locked dropout of its own.

        Args:
            network: reads some steps from a given state.
            inputs: of the window.
            batch: the window.
            training: which of the two states it belongs to.

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
        with parametrize.cached():  # one dropout of a weight for the whole window
            for begin, end in pairwise(_cuts(window, steps)):
                if begin == window.carry:
                    self.states[training] = detach(state)
                if window.fresh is not None:
                    state = where(window.fresh[:, begin], network.initial_state(count), state)
                lengths = (window.left - begin).clamp(max=end - begin)
                features, after = network(_steps(inputs, begin, end), lengths.clamp(min=1), state)
                state = where(lengths > 0, after, state)  # where a sequence has ended, it stands still
                parts.append(features)
        if window.carry == steps:
            self.states[training] = detach(state)
        return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]

    def plain(self) -> list[list[Tensor]]:
        """The state of training as lists of tensors, without the row that fills an empty share."""
        return [[part[: self.rows].cpu() for part in state] for state in self.states.get(True, ())]

    def load(self, shares: list[list[list[Tensor]]], rank: int, world: int) -> None:
        """Go on from what :meth:`plain` gave in every process, with the rows that are now this one's."""
        self.states.pop(True, None)
        self.loaded = []
        for states in zip(*shares, strict=True):
            whole = [torch.cat(parts) for parts in zip(*states, strict=True)]
            self.loaded.append([part.tensor_split(world)[rank] for part in whole])

    def _take_loaded(self, network: Carrying, count: int) -> None:
        """Make of loaded tensors a state of the network's kind."""
        if not self.loaded:
            return
        first = network.initial_state(count)
        if len(self.loaded[0][0]) == count:  # else this share is empty, and its state of no account
            first = tuple(
                type(kind)(*(new.to(old) for new, old in zip(part, kind, strict=True)))
                for kind, part in zip(first, self.loaded, strict=True)
            )
        self.states[True], self.loaded = first, []

    def forget_broken(self) -> None:
        """Have the sequences begin anew whose state of training is not finite; the others go on."""
        state = self.states.get(True)
        if state is None:
            return
        rows = torch.stack([part.flatten(1).isfinite().all(dim=1) for kind in state for part in kind]).all(dim=0)
        nothing = tuple(type(kind)(*(torch.zeros_like(part) for part in kind)) for kind in state)
        self.states[True] = where(rows, state, nothing)


def _cuts(window: Window, steps: int) -> list[int]:
    """Where a window must be cut, its ends included."""
    fresh = [] if window.fresh is None else window.fresh.any(dim=0).nonzero()[:, 0].tolist()
    return sorted({0, window.carry, *fresh, steps})


def _steps(inputs: Tensor | Words, begin: int, end: int) -> Tensor | Words:
    if isinstance(inputs, Words):
        return inputs._replace(tokens=inputs.tokens[:, begin:end], forms=inputs.forms[:, begin:end])
    return inputs[:, begin:end]


def where(rows: Tensor, chosen: State, other: State) -> State:
    """Some rows of one state, the rest of another: rows [B] bool."""
    if rows.all():
        return chosen
    return tuple(
        type(one)(*(torch.where(rows[:, None], a, b) for a, b in zip(one, two, strict=True)))
        for one, two in zip(chosen, other, strict=True)
    )


def detach(state: State) -> State:
    """The same state without its history, its real numbers in single precision or better."""
    return tuple(
        type(part)(*(t.detach().float() if t.dtype in (torch.float16, torch.bfloat16) else t.detach() for t in part))
        for part in state
    )
