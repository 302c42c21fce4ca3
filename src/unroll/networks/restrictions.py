"""Restrictions of the answers of a search: their lengths, and what they must and must not contain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from unroll.errors import BadInput


@dataclass(frozen=True)
class Restrictions:
    """Lengths and symbols of the answers of a search.

    Lengths count the symbols before the one that ends an answer. Log-probabilities remain those of the network: what is
    not allowed is left out, and its share is not given to what remains.

    Args:
        longest: maximum length, of all sentences or of each: an integer or [B].
        shortest: minimum length, of all sentences or of each.
        forbidden: symbols that occur in no answer.
        required: for each sentence, the symbols that must occur in its answer (Hokamp and Liu, ACL 2017); empty if no
            sentence has any.
        block: n, if no sequence of n symbols may occur twice in an answer (Paulus et al., ICLR 2018); 0 to allow all.

    Raises:
        BadInput: no answer is long or short enough, a symbol is both required and forbidden, or n is negative.
    """

    longest: int | Tensor
    shortest: int | Tensor = 0
    forbidden: Sequence[int] = ()
    required: Sequence[Sequence[int]] = ()
    block: int = 0

    def __post_init__(self) -> None:
        longest, shortest = torch.as_tensor(self.longest), torch.as_tensor(self.shortest)
        if (longest < 1).any():
            raise BadInput(f"A maximum length of {int(longest.min())} leaves no answer; give at least 1.")
        if (shortest < 0).any() or (shortest > longest).any():
            raise BadInput(f"No answer has a length from {int(shortest.max())} to {int(longest.min())}; give a minimum "
                           "length from 0 to the maximum length.")  # fmt: skip
        if self.block < 0:
            raise BadInput(f"No sequence has {self.block} symbols; give a length of at least 1, or 0 to allow all.")
        for row, symbols in enumerate(self.required):
            if both := set(symbols) & set(self.forbidden):
                raise BadInput(f"Symbol {min(both)} is both required and forbidden; choose one.")
            room = int(longest.expand(len(self.required))[row])
            if len(set(symbols)) > room:
                raise BadInput(f"{len(set(symbols))} symbols are required of an answer of at most {room}; give a "
                               "greater maximum length.")  # fmt: skip

    def limits(self, first: Tensor) -> Limits:
        """The limits of each of the sentences whose first inputs are ``first`` [B]."""
        count, device = len(first), first.device
        rows = [sorted(set(symbols)) for symbols in self.required] or [[]] * count
        most = max(map(len, rows), default=0)
        padded = [row + [-1] * (most - len(row)) for row in rows]
        return Limits(
            torch.as_tensor(self.shortest, device=device).expand(count),
            torch.as_tensor(self.longest, device=device).expand(count),
            torch.tensor(padded, dtype=torch.int64, device=device).view(count, most),
        )


class Limits(NamedTuple):
    """The limits of the sentences that are still searched.

    Shapes:
        shortest, longest: [B], required: [B, R] symbols, −1 beyond those of a sentence
    """

    shortest: Tensor
    longest: Tensor
    required: Tensor

    def select(self, rows: Tensor) -> Limits:
        """The limits of some of the sentences."""
        return Limits(*(part[rows] for part in self))

    def missing(self, history: Tensor) -> Tensor:
        """Whether each required symbol has yet to occur: history [B, W, t] → [B, W, R] bool."""
        there = (history[:, :, None] == self.required[:, None, :, None]).any(dim=-1)  # [B, W, R]
        return ~there & (self.required >= 0)[:, None]


def restrict(scores: Tensor, history: Tensor, restrictions: Restrictions, limits: Limits, ends: int | None) -> None:
    """Overwrite the scores of the next symbols with −∞ where a symbol is not allowed.

    Args:
        scores: of every symbol after each hypothesis.
        history: symbols of each hypothesis so far.
        restrictions: what was asked for.
        limits: the limits of each sentence.
        ends: symbol that ends an answer; None if answers end by their length.

    Shapes:
        scores: [B · W, V], history: [B, W, t]
    """
    width, time = history.shape[1:]
    if restrictions.forbidden:
        scores[:, list(restrictions.forbidden)] = -torch.inf
    if restrictions.block:
        rows, symbols = _repeated(history.flatten(0, 1), restrictions.block)
        scores[rows, symbols] = -torch.inf
    if ends is not None:
        full = (limits.longest <= time).repeat_interleave(width).nonzero()[:, 0]
        _allow_only(scores, full, full, torch.full_like(full, ends))
        scores[(limits.shortest > time).repeat_interleave(width), ends] = -torch.inf
    if limits.required.shape[1]:
        _require(scores, limits.missing(history), limits, time, ends)


def _require(scores: Tensor, missing: Tensor, limits: Limits, time: int, ends: int | None) -> None:
    """Disallow what would leave out a required symbol: the end, or another symbol when there is no more room."""
    count = missing.sum(dim=2)  # [B, W]
    if ends is not None:
        scores[(count > 0).flatten(), ends] = -torch.inf
    pressed = (count == limits.longest[:, None] - time)[..., None] & missing  # [B, W, R]
    rows, places = pressed.flatten(0, 1).nonzero().unbind(1)
    _allow_only(scores, rows, rows, limits.required[rows // missing.shape[1], places])


def _allow_only(scores: Tensor, whole: Tensor, rows: Tensor, symbols: Tensor) -> None:
    """Disallow all symbols in the rows ``whole``, but for some symbols in some of them."""
    kept = scores[rows, symbols]
    scores[whole] = -torch.inf
    scores[rows, symbols] = kept


def _repeated(history: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Rows of history [N, t], and the symbols with which they would repeat a sequence of ``size`` symbols."""
    if history.shape[1] < size:
        return torch.zeros(2, 0, dtype=torch.int64, device=history.device).unbind()  # type: ignore[return-value]
    earlier = history.unfold(1, size, 1)  # [N, t − size + 1, size]
    latest = history[:, None, history.shape[1] - size + 1 :]  # [N, 1, size − 1]
    rows, places = (earlier[..., :-1] == latest).all(dim=-1).nonzero().unbind(1)
    return rows, earlier[rows, places, -1]
