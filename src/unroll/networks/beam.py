"""The hypotheses of a search, of many sentences at a time, and how they are extended by a symbol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from unroll.errors import BadInput
from unroll.networks.restrictions import Restrictions, restrict
from unroll.networks.sampling import Sampling, drawn, greatest, uniforms
from unroll.networks.state import select_rows


class Stepper(Protocol):
    """A network that reads a symbol per row and predicts the next one.

    Its state has a row for each hypothesis, and is made of tensors, None, NamedTuples, and
    :class:`~unroll.networks.state.Shared` values, which all hypotheses of a sentence read. Nothing that outlives a call
    may hide in an attribute: rows of the state are selected, repeated and left out between steps.

    Shapes:
        previous: [N], log_probabilities: [N, V]
    """

    def start(self) -> Any:  # of the type of the network
        """The state of one hypothesis per sentence."""

    def step(self, previous: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Read a symbol: log-probabilities of the next one, in fp32 or higher, and the state after it.

        The search may overwrite the log-probabilities.
        """


class Hypotheses(NamedTuple):
    """The best answers of each sentence, best first.

    Shapes:
        symbols: [B, N, T], without the one that ends an answer, 0 beyond its length; lengths: [B, N];
        log_probabilities: [B, N]; scores: [B, N], which include the length penalty; both are −∞ if there are fewer
        answers; capped: [B], whether the best answer has the maximum length and so might have been longer
    """

    symbols: Tensor
    lengths: Tensor
    log_probabilities: Tensor
    scores: Tensor
    capped: Tensor


class Beam:
    """The hypotheses of the sentences that are still searched, and the answers found so far.

    Shapes:
        previous: [B · W], sentences: [B], sums: [B, W], history: [B, W, T + 1] of the B sentences that are still
        searched; scores, totals, lengths: [all, N], symbols: [all, N, T + 1] of all sentences
    """

    def __init__(
        self, steppers: Sequence[Stepper], first: Tensor, ends: int | None, restrictions: Restrictions, width: int,
        best: int, alpha: float, sampling: Sampling | None, seeds: Sequence[int],
    ) -> None:  # fmt: skip
        self.steppers, self.ends, self.restrictions, self.width = steppers, ends, restrictions, width
        self.sampling = sampling
        self.states = [stepper.start() for stepper in steppers]
        self.previous, self.time = first, 0
        self.limits = restrictions.limits(first)
        self.longest = self.limits.longest  # of all sentences
        count, most, device = len(first), int(self.longest.max()), first.device
        self.sentences = torch.arange(count, device=device)
        self.sums = torch.zeros(count, 1, dtype=torch.float64, device=device)  # ln P; −∞ where there is no hypothesis
        self.history = torch.zeros(count, 1, most + 1, dtype=torch.int64, device=device)
        self.used = torch.zeros(count, dtype=torch.int64, device=device)  # places of finished hypotheses
        sizes = torch.arange(most + 2, dtype=torch.float64, device=device)
        self.penalty = ((5 + sizes) / 6) ** alpha  # by |y|
        self.scores = torch.full((count, best), -torch.inf, dtype=torch.float64, device=device)
        self.totals = self.scores.clone()
        self.lengths = torch.zeros(count, best, dtype=torch.int64, device=device)
        self.symbols = torch.zeros(count, best, most + 1, dtype=torch.int64, device=device)
        if sampling is not None:
            own = [uniforms(seed, size + 1) for seed, size in zip(seeds, self.longest.tolist(), strict=True)]
            self.uniforms = torch.stack([F.pad(row, (0, most + 1 - len(row))) for row in own]).to(device)

    def found(self) -> Hypotheses:
        """The answers of all sentences."""
        there = self.scores > -torch.inf
        lengths = self.lengths * there
        capped = there[:, 0] & (lengths[:, 0] == self.longest) & (self.ends is not None)
        return Hypotheses((self.symbols * there[..., None])[..., :-1], lengths, self.totals, self.scores, capped)

    def step(self) -> None:
        """Extend every hypothesis by a symbol, and keep the best."""
        likely, symbols = self._candidates()  # [B, W, C]
        origin, symbols, sums = self._kept(self.sums[..., None] + likely, symbols)  # [B, W'] each
        ending = symbols == self.ends if self.ends is not None else self.limits.longest[:, None] == self.time + 1
        alive = sums > -torch.inf
        over = ending & alive  # [B, W']
        if not _is_identity(origin, self.sums.shape[1]):
            self.history = self.history.gather(1, _deep(origin, self.history))
        self.history[:, :, self.time] = symbols if self.ends is None else symbols * ~over
        has_ended = bool(over.any())
        if has_ended:
            self._finish(over, sums)
        self.time += 1
        if self.width == 1 and not has_ended and alive.all():  # the most frequent case, in which nothing else changes
            self.previous, self.sums = symbols[:, 0], sums
        else:
            self._go_on(origin, symbols, sums.masked_fill(over, -torch.inf))

    def _candidates(self) -> tuple[Tensor, Tensor]:
        """Log-probabilities and symbols of the C continuations of each hypothesis that may be kept, [B, W, C]."""
        history = self.history[:, :, : self.time]
        likely = self._predicted()  # [B · W, V]
        restrict(likely, history, self.restrictions, self.limits, self.ends)
        if self.sampling is not None:
            symbols = drawn(likely, self.uniforms[self.sentences, self.time], self.sampling)[:, None]  # [B, 1]
            values = likely.gather(1, symbols)
        else:
            values, symbols = greatest(likely, min(self.width, likely.shape[1]))  # [B · W, C]
            if self.restrictions.required:
                values, symbols = self._with_required(likely, values, symbols, self.limits.missing(history))
        # a network that has diverged has no answer
        values = values.double().nan_to_num(-torch.inf, neginf=-torch.inf)
        return values.view(*self.sums.shape, -1), symbols.view(*self.sums.shape, -1)

    def _predicted(self) -> Tensor:
        """Log-probabilities of all symbols after each hypothesis, [B · W, V].

        Raises:
            BadInput: the networks differ in their vocabularies.
        """
        steps = [stepper.step(self.previous, state) for stepper, state in zip(self.steppers, self.states, strict=True)]
        self.states = [state for _, state in steps]
        likely = [log_probabilities for log_probabilities, _ in steps]
        if len(likely) == 1:
            return likely[0]
        sizes = sorted({part.shape[1] for part in likely})
        if len(sizes) > 1:
            raise BadInput(f"The networks of an ensemble have vocabularies of {' and '.join(map(str, sizes))} symbols; "
                           "give networks that were trained with the same one.")  # fmt: skip
        return torch.stack(likely).mean(dim=0)

    def _with_required(self, scores: Tensor, values: Tensor, symbols: Tensor, missing: Tensor) -> tuple[Tensor, Tensor]:
        """Add the required symbols that a hypothesis does not have yet, unless they are candidates anyway."""
        wanted = self.limits.required.repeat_interleave(missing.shape[1], dim=0)  # [B · W, R]
        new = missing.flatten(0, 1) & (wanted[..., None] != symbols[:, None]).all(dim=-1)
        wanted = wanted.clamp(min=0)
        added = scores.gather(1, wanted).masked_fill(~new, -torch.inf)
        return torch.cat([values, added], dim=1), torch.cat([symbols, wanted], dim=1)

    def _kept(self, sums: Tensor, symbols: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The best continuations, as many as there are places: hypothesis, symbol and sum of each, [B, W']."""
        if sums.shape[1:] == (1, 1):
            return torch.zeros_like(symbols[..., 0]), symbols[..., 0], sums[..., 0]
        flat = sums.flatten(1)  # [B, W · C]
        if self.restrictions.required:
            places = self._shared_out(flat, symbols)
        else:
            places = greatest(flat, min(self.width, flat.shape[1]))[1]
        beyond = torch.arange(places.shape[1], device=places.device) >= self.width - self.used[:, None]
        best = flat.gather(1, places).masked_fill(beyond, -torch.inf)
        return places // symbols.shape[2], symbols.flatten(1).gather(1, places), best

    def _shared_out(self, flat: Tensor, symbols: Tensor) -> Tensor:
        """Places of the best continuations if those with equally many required symbols have equally many places."""
        missing = self.limits.missing(self.history[:, :, : self.time])  # [B, W, R]
        brings = missing[:, :, None] & (symbols[..., None] == self.limits.required[:, None, None])  # [B, W, C, R]
        left = (missing.sum(dim=2)[..., None] - brings.sum(dim=3)).flatten(1)  # [B, W · C]
        values, places = flat.sort(dim=1, descending=True, stable=True)
        banks = F.one_hot(left.gather(1, places), missing.shape[2] + 1) * (values > -torch.inf)[..., None]
        rank = (banks.cumsum(dim=1) * banks).sum(dim=2)  # from 1 within a bank; 0 where there is no hypothesis
        order = rank.masked_fill(rank == 0, flat.shape[1] + 1).argsort(dim=1, stable=True)
        return places.gather(1, order)[:, : self.width]

    def _finish(self, over: Tensor, sums: Tensor) -> None:
        """Put finished hypotheses among the answers of their sentences; of equal scores, the earlier ones stay."""
        rows = over.any(dim=1).nonzero()[:, 0]
        owners = self.sentences[rows]
        fresh = sums[rows].masked_fill(~over[rows], -torch.inf)  # [b, W']
        length = torch.full_like(over[rows], self.time + (self.ends is None), dtype=torch.int64)
        scores = torch.cat([self.scores[owners], fresh / self.penalty[self.time + 1]], dim=1)
        order = scores.sort(dim=1, descending=True, stable=True)[1][:, : self.scores.shape[1]]  # [b, N]
        deep = _deep(order, self.history)
        self.scores[owners] = scores.gather(1, order)
        self.totals[owners] = torch.cat([self.totals[owners], fresh], dim=1).gather(1, order)
        self.lengths[owners] = torch.cat([self.lengths[owners], length], dim=1).gather(1, order)
        self.symbols[owners] = torch.cat([self.symbols[owners], self.history[rows]], dim=1).gather(1, deep)
        self.used[rows] += over[rows].sum(dim=1)

    def _go_on(self, origin: Tensor, symbols: Tensor, sums: Tensor) -> None:
        """Leave out the sentences that are finished, and the hypotheses that none of the others has."""
        size = self.limits.longest + (self.ends is not None)  # [B]
        bound = sums.amax(dim=1) / self.penalty[size]
        kept = _may_improve(bound, self.scores[self.sentences, -1]).nonzero()[:, 0]
        alive = sums[kept] > -torch.inf
        width = int(alive.sum(dim=1).max()) if len(kept) else 0
        order = alive.long().argsort(dim=1, descending=True, stable=True)[:, :width]
        rows = (kept[:, None] * self.sums.shape[1] + origin[kept].gather(1, order)).flatten()
        if len(rows) and not _is_identity(rows[None], len(self.previous)):
            self.states = [select_rows(state, rows) for state in self.states]
        self.previous = symbols[kept].gather(1, order).flatten()
        self.sums = sums[kept].gather(1, order)
        if len(kept) < len(origin) or not _is_identity(order, origin.shape[1]):
            self.history = self.history[kept].gather(1, _deep(order, self.history))
            self.sentences, self.used = self.sentences[kept], self.used[kept]
            self.limits = self.limits.select(kept)


def _may_improve(bound: Tensor, worst: Tensor) -> Tensor:
    """Whether a hypothesis may still become one of the answers: bound and score of the worst answer so far, [B] each.

    Of equal scores, the earlier one is better.
    """
    return bound > worst


def _is_identity(rows: Tensor, count: int) -> bool:
    """Whether rows [B, W] are 0 to ``count`` − 1 for every sentence."""
    if rows.shape[1] == count == 1:
        return True
    return rows.shape[1] == count and bool((rows == torch.arange(count, device=rows.device)).all())


def _deep(places: Tensor, values: Tensor) -> Tensor:
    """Places [B, W] for each of the entries of values [B, …, T]: [B, W, T]."""
    return places[..., None].expand(-1, -1, values.shape[2])
