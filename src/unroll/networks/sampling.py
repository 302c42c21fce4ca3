"""How a symbol is drawn from a distribution, and the most probable symbols of one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from unroll.errors import BadInput

BLOCK = 64  # symbols whose maximum is taken first, in a search for the greatest of many
FEW = 64  # values that are sorted faster than their greatest are found
NUCLEUS = 64  # symbols among which a nucleus is sought first


@dataclass(frozen=True)
class Sampling:
    """A distribution from which symbols are drawn, with that of the network as a special case.

    .. math::
        P'(w) \\propto P(w)^{1/\\tau} \\text{ for } w \\in S, \\qquad
        S = \\text{the smallest set of the most probable symbols with } P'(S) \\ge p

    First the temperature τ is applied, then all but the k most probable symbols are left out (Fan, Lewis, Dauphin, ACL
    2018), then the nucleus S of what remains is taken (Holtzman et al., ICLR 2020). Of equally probable symbols, the
    first ones stay.

    Args:
        temperature: τ; 0 takes the most probable symbol.
        top_k: k; 0 for all symbols.
        top_p: p, in (0, 1]; 1 for all symbols.

    Raises:
        BadInput: τ or k is negative, or p is not in (0, 1].
    """

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf"):
            raise BadInput(f"A temperature of {self.temperature} gives no distribution; give 0 or more.")
        if self.top_k < 0:
            raise BadInput(f"There are no {self.top_k} most probable symbols; give at least 1, or 0 for all.")
        if not 0 < self.top_p <= 1:
            raise BadInput(f"No symbols have a probability of {self.top_p}; give more than 0 and at most 1.")


def uniforms(seed: int, count: int) -> Tensor:
    """Numbers from [0, 1) for the draws of one sentence: [count] fp64.

    They are drawn on the CPU, so that they are equal on all devices, and the first ones do not depend on ``count``.
    """
    return torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def drawn(scores: Tensor, uniform: Tensor, sampling: Sampling) -> Tensor:
    """A symbol for each row, by inversion of the cumulative distribution.

    Args:
        scores: log-probabilities up to a constant per row; −∞ for symbols that are not drawn.
        uniform: a number from [0, 1) for each row.
        sampling: the distribution.

    Shapes:
        scores: [N, V], uniform: [N], symbols: [N]; any symbol if all scores of a row are −∞ or one is not a number
    """
    if sampling.temperature == 0:
        return scores.argmax(dim=1)
    wide = scores.to(torch.promote_types(scores.dtype, torch.float32)) / sampling.temperature
    symbols = None
    if 0 < sampling.top_k < wide.shape[1]:
        wide, symbols = greatest(wide, sampling.top_k)  # [N, k]
    likely, uniform = torch.softmax(wide, dim=1), uniform.to(wide.device)
    places = (
        _inverted(likely, uniform) if sampling.top_p == 1 else _in_nucleus(likely, uniform, sampling.top_p, NUCLEUS)
    )
    return places if symbols is None else symbols.gather(1, places[:, None])[:, 0]


def _inverted(likely: Tensor, uniform: Tensor) -> Tensor:
    """Where cumulative probabilities pass a share of their total: [N, C] and [N] → [N]."""
    cumulative = likely.cumsum(dim=1, dtype=torch.float64)
    # for shares of at most 1 − 2⁻⁵³, the product with a total is never rounded up to the total
    places = torch.searchsorted(cumulative, uniform[:, None] * cumulative[:, -1:], right=True)[:, 0]
    return places.clamp(max=likely.shape[1] - 1)  # where there is no distribution


def _in_nucleus(likely: Tensor, uniform: Tensor, share: float, count: int) -> Tensor:
    """Draws from the most probable symbols with a total of at least ``share``: [N, V] and [N] → [N].

    The nucleus is sought among the ``count`` most probable symbols and, for the rows in which it is greater, among more
    of them, since a sort of all symbols takes long.
    """
    values, places = greatest(likely, min(count, likely.shape[1]))
    before = F.pad(values.cumsum(dim=1, dtype=torch.float64), (1, 0))  # [N, C + 1], of all more probable symbols
    chosen = _inverted(values.masked_fill(before[:, :-1] >= share, 0.0), uniform)
    drawn = places.gather(1, chosen[:, None])[:, 0]
    rest = (before[:, -1] < share).nonzero()[:, 0]
    if len(rest) and count < likely.shape[1]:
        drawn[rest] = _in_nucleus(likely[rest], uniform[rest], share, 16 * count)
    return drawn


def greatest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The greatest values of each row in descending order, and their places; of equal values, the first ones.

    Args:
        scores: the values.
        count: how many of each row, at most V.

    Shapes:
        scores: [N, V], values, places: [N, count]
    """
    if count == 1:
        return scores.max(dim=1, keepdim=True)
    if count >= scores.shape[1] or scores.shape[1] <= FEW:
        values, places = scores.sort(dim=1, descending=True, stable=True)
        return values[:, :count], places[:, :count]
    values, places = _some_greatest(scores, count + 1)
    # of values equal to the last one, topk takes any
    ambiguous = (values[:, -2] == values[:, -1]) & values[:, -1].isfinite()
    if ambiguous.any():
        places[ambiguous] = _first_places(scores[ambiguous], values[ambiguous], places[ambiguous])
    places, order = places[:, :count].sort(dim=1)
    values, order = values[:, :count].gather(1, order).sort(dim=1, descending=True, stable=True)
    return values, places.gather(1, order)


def _first_places(scores: Tensor, values: Tensor, places: Tensor) -> Tensor:
    """Places of the greatest values where those that equal the last one are the first such values of the row.

    Ties are frequent in half precision, and a stable sort of whole rows would take long.

    Shapes:
        scores: [N, V], values, places, result: [N, C]
    """
    last = values[:, -1:]
    greater = (values > last).sum(dim=1)  # [N]
    rows, found = (scores == last).nonzero().unbind(1)
    counts = rows.bincount(minlength=len(scores))
    slots = greater[rows] + torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows]
    fits = slots < places.shape[1]
    places[rows[fits], slots[fits]] = found[fits]
    return places


def _some_greatest(scores: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The greatest values of each row: [N, V] → [N, count] twice; the order and the places of equal values may vary.

    In a large vocabulary, they are among the blocks with the greatest maxima, which are found faster.
    """
    blocks = scores.shape[1] // BLOCK
    if blocks < 4 * count:
        return scores.topk(count, dim=1)
    rest = blocks * BLOCK
    maxima = scores[:, :rest].reshape(len(scores), blocks, BLOCK).amax(dim=2)  # [N, V // 64]
    starts = maxima.topk(count, dim=1).indices * BLOCK  # [N, count]
    inside = torch.arange(BLOCK, device=scores.device)
    beyond = torch.arange(rest, scores.shape[1], device=scores.device).expand(len(scores), -1)
    places = torch.cat([(starts[..., None] + inside).flatten(1), beyond], dim=1)  # [N, count · 64 + …]
    values, chosen = scores.gather(1, places).topk(count, dim=1)
    return values, places.gather(1, chosen)
