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


def restricted(scores: Tensor, history: Tensor, restrictions: Restrictions, limits: Limits, ends: int | None) -> Tensor:
    """Scores of the next symbols, −∞ where a symbol is not allowed.

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
    if not _restricts(restrictions, limits, time, ends):
        return scores
    banned = torch.zeros_like(scores, dtype=torch.bool)
    banned[:, list(restrictions.forbidden)] = True
    if restrictions.block:
        rows, symbols = _repeated(history.flatten(0, 1), restrictions.block)
        banned[rows, symbols] = True
    if limits.required.shape[1]:
        _require(banned, limits.missing(history), limits, time, ends)
    if ends is not None:
        is_full = (limits.longest <= time).repeat_interleave(width)  # [B · W]
        banned[is_full] = True
        banned[:, ends] = banned[:, ends] & ~is_full | (limits.shortest > time).repeat_interleave(width)
    return scores.masked_fill(banned, -torch.inf)


def _restricts(restrictions: Restrictions, limits: Limits, time: int, ends: int | None) -> bool:
    """Whether any symbol may be disallowed at this step."""
    if restrictions.forbidden or restrictions.block or limits.required.shape[1]:
        return True
    return ends is not None and bool(((limits.shortest > time) | (limits.longest <= time)).any())


def _require(banned: Tensor, missing: Tensor, limits: Limits, time: int, ends: int | None) -> None:
    """Disallow what would leave out a required symbol: the end, or another symbol when there is no more room."""
    count = missing.sum(dim=2)  # [B, W]
    if ends is not None:
        banned[:, ends] |= (count > 0).flatten()
    pressed = (count == limits.longest[:, None] - time) & (count > 0)  # [B, W]
    wanted = torch.zeros_like(banned)
    rows, places = missing.flatten(0, 1).nonzero().unbind(1)
    wanted[rows, limits.required[rows // missing.shape[1], places]] = True
    banned |= ~wanted & pressed.flatten()[:, None]


def _repeated(history: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Rows of history [N, t], and the symbols with which they would repeat a sequence of ``size`` symbols."""
    if history.shape[1] < size:
        return torch.zeros(2, 0, dtype=torch.int64, device=history.device).unbind()  # type: ignore[return-value]
    earlier = history.unfold(1, size, 1)  # [N, t − size + 1, size]
    latest = history[:, None, history.shape[1] - size + 1 :]  # [N, 1, size − 1]
    rows, places = (earlier[..., :-1] == latest).all(dim=-1).nonzero().unbind(1)
    return rows, earlier[rows, places, -1]
