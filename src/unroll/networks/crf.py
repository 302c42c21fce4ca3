"""The linear-chain conditional random field: the labels of a sequence told together, not one by one."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.errors import BadInput

SCHEMES = {"bio": "BI", "bioes": "BIES"}  # what may stand before the type of a span

# What a message adds up to. The range of fp32 reaches as far above 1 as below, and so both halves of it are of use.
_MASS = 2.0**60
# What is left of the range for the gradient that a message is multiplied with, which may be scaled.
_MARGIN = 2.0**16


class Constraints(NamedTuple):
    """Which labels may begin a sequence, follow one another and end it.

    Shapes:
        start: [K] bool, transitions: [K, K] bool, from and to, end: [K] bool
    """

    start: Tensor
    transitions: Tensor
    end: Tensor


def constraints(labels: Sequence[str], scheme: str) -> Constraints:
    """What a labelling scheme allows.

    In ``bio`` (IOB2: Tjong Kim Sang and Veenstra 1999) a span of type X begins with ``B-X`` and goes on with ``I-X``.
    In ``bioes`` (Ratinov and Roth 2009) it also ends with ``E-X``, unless it is one token, ``S-X``.

    Args:
        labels: ``O`` and ``PREFIX-TYPE``, in the order of their numbers.
        scheme: one of ``SCHEMES``.

    Raises:
        BadInput: the scheme is unknown, a label is none of the scheme, or no label may begin or end a sequence.
    """
    if scheme not in SCHEMES:
        raise BadInput(f"There is no labelling scheme {scheme!r}; choose one of {', '.join(SCHEMES)}.")
    for label in labels:
        if label != "O" and not re.fullmatch(rf"[{SCHEMES[scheme]}]-.+", label):
            forms = ", ".join(f"{prefix}-TYPE" for prefix in SCHEMES[scheme])
            raise BadInput(f"{label!r} is no label of the scheme {scheme}; give O, {forms}.")
    # beyond its ends a sequence is as good as O
    start = torch.tensor([_may_follow("O", label, scheme) for label in labels])
    end = torch.tensor([_may_follow(label, "O", scheme) for label in labels])
    for side, allowed in (("begin", start), ("end", end)):
        if not allowed.any():
            raise BadInput(f"By the scheme {scheme} none of the labels {', '.join(labels)} may {side} a sequence; "
                           "correct the labels or leave the scheme out.")  # fmt: skip
    transitions = torch.tensor([[_may_follow(left, right, scheme) for right in labels] for left in labels])
    return Constraints(start, transitions, end)


def _may_follow(left: str, right: str, scheme: str) -> bool:
    within = left[0] in "BI"  # a span that may go on, and in bioes must
    if right[0] in "IE":
        return within and left[2:] == right[2:]
    return scheme == "bio" or not within


class LinearChainCRF(nn.Module):
    """Linear-chain conditional random field: Lafferty, McCallum and Pereira, ICML 2001; Lample et al., NAACL 2016.

    .. math::
        s(x, y) = a_{y_1} + \\sum_{t=1}^{T} e_{t, y_t} + \\sum_{t=2}^{T} A_{y_{t-1}, y_t} + b_{y_T}, \\qquad
        P(y \\mid x) = \\frac{\\exp s(x, y)}{\\sum_{y'} \\exp s(x, y')}

    with emissions e, start a, transitions A and end b. These three are zero at first: a softmax at every step.

    Args:
        label_count: K.
        allowed: the moves that are possible; None if all are. Any other has probability zero, in the partition, the
            best labels and the marginals, and no gradient.

    Shapes:
        emissions: [B, T, K]; targets: [B, T], −1 where a label is unknown; lengths: [B], each ≥ 1. What emissions and
        targets hold beyond a sequence's length is never used. start: [K], transitions: [K, K], from and to, end: [K]

    Raises:
        BadInput: the targets of a loss make a forbidden move, so that it would be infinite.

    All is computed in fp32 or better, under autocast too. Sums over paths are taken in scaled probabilities, where a
    step is one matrix product. A sequence of which a number may leave the range is computed again, in fp64 and, if that
    does not hold it either, in log space, where a step is K² exponentials: so the sums are exact, and fast but for rare
    ones. Where the constraints leave no path at all, the log-partition is −∞ without a gradient, marginals are zero and
    there are no best labels.
    """

    forbidden: Tensor  # [K + K² + K] bool, of the moves as _cast lines them up

    def __init__(self, label_count: int, allowed: Constraints | None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(label_count))
        self.transitions = nn.Parameter(torch.zeros(label_count, label_count))
        self.end = nn.Parameter(torch.zeros(label_count))
        masks = allowed or tuple(torch.ones_like(parameter, dtype=torch.bool) for parameter in self.parameters())
        self.register_buffer("forbidden", ~torch.cat([mask.flatten() for mask in masks]), persistent=False)

    def forward(self, emissions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood of each sequence, summed over the labels that may stand for unknown ones: [B]."""
        with _full_precision(emissions):
            emissions, moves = self._cast(emissions)
            # the same loss, without the digits that large emissions would take from it
            emissions = emissions - _greatest(emissions)
            agreeing = _score(emissions, moves, targets, lengths)
            impossible = agreeing.isneginf()
            if impossible.any():
                self._refuse(targets, lengths, impossible)
            return _relative_log_partition(emissions, moves, lengths) - agreeing

    def score(self, emissions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Score s(x, y), or if labels are unknown the logarithm of the sum of exp s over all that they may be: [B]."""
        with _full_precision(emissions):
            return _score(*self._cast(emissions), targets, lengths)

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Logarithm of the sum of exp s(x, y) over all labels: [B]."""
        with _full_precision(emissions):
            return _log_partition(*self._cast(emissions), lengths)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each label at each real step, zero beyond: [B, T, K]. They carry no gradient."""
        # they are the gradient of the log-partition
        with torch.inference_mode(False), torch.enable_grad():
            emissions = self._cast(emissions.detach().clone())[0].requires_grad_()
            (gradient,) = torch.autograd.grad(self.log_partition(emissions, lengths).sum(), emissions)
        return gradient

    def viterbi(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Best labels of each sequence, [B, T], −1 beyond its length, and their score, [B]."""
        labels, scores = self.n_best(emissions, lengths, 1)
        return labels[:, 0], scores[:, 0]

    @torch.no_grad()
    def n_best(self, emissions: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The ``n`` best labellings of each sequence, best first: labels [B, n, T] and scores [B, n].

        Labels are −1 beyond a sequence's length, and all of them where no labelling is left, with score −∞.
        """
        emissions, moves = self._cast(emissions)
        batch, time, count = emissions.shape
        start, transitions, end = _parts(moves, count)
        arrivals = transitions.T.repeat_interleave(n, dim=1)  # [K, K · n]: to a label from the n best ways to each
        stay = torch.arange(count * n, device=emissions.device).view(count, n)
        scores = emissions.new_full((batch, count, n), -torch.inf)
        scores[:, :, 0] = start + emissions[:, 0]
        origins = []
        for t in range(1, time):
            best, origin = _best(scores.flatten(1)[:, None] + arrivals, n)  # [B, K, n]
            real = (t < lengths)[:, None, None]
            scores = torch.where(real, best + emissions[:, t, :, None], scores)
            origins.append(torch.where(real, origin, stay))
        scores, place = _best((scores + end[:, None]).flatten(1), n)  # [B, n]
        places = [place]
        for origin in reversed(origins):
            places.append(origin.flatten(1).gather(1, places[-1]))
        labels = torch.stack(places[::-1], dim=2) // n  # [B, n, T]
        return labels.masked_fill(_padding(emissions, lengths)[:, None] | scores.isneginf()[..., None], -1), scores

    def _cast(self, emissions: Tensor) -> tuple[Tensor, Tensor]:
        """Emissions and scores of all moves (start, transitions row by row, end), −∞ where forbidden."""
        wide = torch.promote_types(self.start.dtype, torch.float32)
        emissions = emissions.to(torch.promote_types(emissions.dtype, wide))
        moves = torch.cat([self.start, self.transitions.flatten(), self.end]).to(emissions.dtype)
        return emissions, moves.masked_fill(self.forbidden, -torch.inf)

    def _refuse(self, targets: Tensor, lengths: Tensor, impossible: Tensor) -> None:
        for b in impossible.nonzero()[:, 0].tolist():
            fault = self._fault(targets[b, : int(lengths[b])].tolist())
            if fault:
                raise BadInput(f"Sequence {b} of the batch {fault}, which the constraints forbid, so that its loss is "
                               "infinite; correct its labels or leave the constraints out.")  # fmt: skip

    def _fault(self, labels: list[int]) -> str | None:
        start, transitions, end = _parts(self.forbidden, len(self.start))
        if labels[0] >= 0 and start[labels[0]]:
            return f"begins with label {labels[0]}"
        for t, (left, right) in enumerate(pairwise(labels), start=1):
            if left >= 0 and right >= 0 and transitions[left, right]:
                return f"goes from label {left} to label {right} at step {t}"
        if labels[-1] >= 0 and end[labels[-1]]:
            return f"ends with label {labels[-1]}"
        return "has unknown labels for which no label can stand" if min(labels) < 0 else None


def _score(emissions: Tensor, moves: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    padding = _padding(emissions, lengths)
    unknown = (targets < 0) & ~padding
    scores = _path_score(emissions, moves, targets.masked_fill(padding | unknown, 0), lengths, padding)
    if not unknown.any():
        return scores
    rows = unknown.any(dim=1).nonzero()[:, 0]
    known, labels = targets[rows, :, None], torch.arange(emissions.shape[2], device=targets.device)
    agreeing = emissions[rows].masked_fill((known >= 0) & (known != labels), -torch.inf)  # [rows, T, K]
    return scores.index_copy(0, rows, _log_partition(agreeing, moves, lengths[rows]))


def _path_score(emissions: Tensor, moves: Tensor, labels: Tensor, lengths: Tensor, padding: Tensor) -> Tensor:
    count = emissions.shape[2]
    last = labels.gather(1, lengths[:, None] - 1)
    between = count + labels[:, :-1] * count + labels[:, 1:]
    path = torch.cat([labels[:, :1], between, count + count * count + last], dim=1)  # [B, T + 1]
    moved = moves[path].masked_fill(F.pad(padding[:, 1:], (1, 1)), 0.0).sum(dim=1)
    return moved + emissions.gather(2, labels[..., None])[..., 0].masked_fill(padding, 0.0).sum(dim=1)


def _log_partition(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    greatest = _greatest(emissions)  # [B, T, 1]
    taken = greatest[..., 0].masked_fill(_padding(emissions, lengths), 0.0).sum(dim=1)
    return _relative_log_partition(emissions - greatest, moves, lengths) + taken


def _relative_log_partition(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    """Log-partition if the greatest emission of each step is zero."""
    differentiable = torch.is_grad_enabled() and (emissions.requires_grad or moves.requires_grad)
    result: Tensor
    exact: Tensor
    result, exact = _ScaledPartition.apply(  # type: ignore[no-untyped-call]
        emissions, moves, lengths, 2 if differentiable else 1
    )
    if exact.all():
        return result
    rows = (~exact).nonzero()[:, 0]
    if emissions.dtype == torch.float64:
        return result.index_copy(0, rows, _log_space_partition(emissions[rows], moves, lengths[rows]))
    wider = _relative_log_partition(emissions[rows].double(), moves.double(), lengths[rows])
    return result.index_copy(0, rows, wider.to(result.dtype))


class _ScaledPartition(torch.autograd.Function):
    """Log-partition by scaled messages, and its gradient, the expected counts: Rabiner, Proc. IEEE 1989, section V.A.

    .. math::
        \\alpha_1 = \\frac{a \\circ e_1}{c_1}, \\qquad \\alpha_t = \\frac{(\\alpha_{t-1} A) \\circ e_t}{c_t}, \\qquad
        \\log Z = \\sum_t \\log c_t + \\log \\alpha_T \\cdot b

    with e, a, A and b exponentiated. The messages from the end are those of the reversed sequence with A transposed, so
    that both take one loop, where a step is one call for two matrix products; the gradient of A is one product over all
    steps.

    Shapes:
        emissions: [B, T, K], the greatest of each step zero; moves: [K + K² + K]; lengths: [B]; directions: 2, or 1
        where no gradient is wanted; log-partition: [B]; exact: [B] bool, false where a number may have left the range,
        so that the log-partition is not to be used
    """

    @staticmethod
    def forward(ctx: Any, emissions: Tensor, moves: Tensor, lengths: Tensor, directions: int) -> tuple[Tensor, Tensor]:
        real, last = ~_padding(emissions, lengths).T, lengths - 1  # [T, B], [B]
        greatest = _finite(moves.amax())
        moves = moves - greatest
        emissions = _in_order(emissions, last, directions)  # [T, D, B, K]
        least = _least_finite(moves), _least_finite(emissions[:, 0]).amin(dim=1)
        start, transitions, end = _parts(moves.exp(), emissions.shape[3])
        both = torch.stack([transitions, transitions.T])[:directions]
        before, after, divisors = _pass(emissions.exp_(), torch.stack([start, end])[:directions], both)
        total = torch.where(real, divisors[:, 0].log(), 0.0).sum(dim=0)
        total += (after[last, 0, torch.arange(len(last), device=last.device)] @ end).log() + greatest * (lengths + 1)
        exact = _in_range(after, real, *least)
        ctx.save_for_backward(before, after, transitions, real, last)
        ctx.mark_non_differentiable(exact)
        return total, exact

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # create_graph
            raise NotImplementedError("The CRF's gradient, the expected counts, has no second derivative here.")
        before, after, transitions, real, last = ctx.saved_tensors
        time, _, batch, count = after.shape
        steps, rows = torch.arange(time, device=after.device)[:, None], torch.arange(batch, device=after.device)
        # the messages from the end lie in an order of their own
        places = ((last - steps).clamp(min=0) * 2 + 1) * batch + rows  # [T, B]
        with _full_precision(after):
            forward = after[:, 0]
            counts = before.flatten(0, 2).index_select(0, places.T.flatten()).view(batch, time, count)
            counts *= forward.transpose(0, 1)  # [B, T, K]: probability of each label, but for a factor
            total = counts.sum(dim=2)
            weights = torch.where(real.T & (total > 0), gradient[:, None] / total, 0.0)  # [B, T]
            counts *= weights[..., None]
            left = forward[:-1] * (weights.T[:-1] * real[1:])[..., None]  # [T − 1, B, K]
            right = after.flatten(0, 2).index_select(0, places[1:].flatten())  # [(T − 1) · B, K]
            # 0 · ∞ where a move is forbidden, which masked_fill in _cast makes zero
            pairs = transitions * (left.flatten(0, 1).T @ right)
        by_moves = torch.cat([counts[:, 0].sum(dim=0), pairs.flatten(), counts[rows, last].sum(dim=0)])
        return counts, by_moves, None, None


def _in_order(emissions: Tensor, last: Tensor, directions: int) -> Tensor:
    """Steps from the beginning and from the end: [B, T, K] → [T, D, B, K].

    Behind the last step of a sequence comes the last one again: what padding holds is not read.
    """
    time = emissions.shape[1]
    steps = torch.arange(time, device=last.device)[:, None]
    order = torch.stack([steps.minimum(last), (last - steps).clamp(min=0)][:directions], dim=1)  # [T, D, B]
    rows = order + time * torch.arange(len(last), device=last.device)
    return emissions.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, -1)


def _pass(emissions: Tensor, first: Tensor, moves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Messages before and after each step's emissions, and what they were divided by.

    Shapes:
        emissions: [T, D, B, K], overwritten; first: [D, K]; moves: [D, K, K]; before, after: [T, D, B, K];
        divisors: [T, D, B]
    """
    time, directions, batch, count = emissions.shape
    before, divisors = torch.empty_like(emissions), emissions.new_empty(time, directions, batch, 1)
    before[0] = first[:, None]
    share = emissions.new_full((count,), 1 / _MASS)
    tiny = emissions.new_full((directions * batch,), torch.finfo(emissions.dtype).tiny)  # 0 / 0 would be NaN
    flat = emissions.view(time, -1, count).unbind(), divisors.view(time, -1).unbind()
    message = None
    for ahead, step, divisor, rows, sums in zip(before, emissions, divisors, *flat, strict=True):
        if message is not None:
            torch.bmm(message, moves, out=ahead)
        step *= ahead
        torch.addmv(tiny, rows, share, out=sums)
        message = step.div_(divisor)
    return before, emissions, divisors[..., 0]


def _in_range(messages: Tensor, real: Tensor, least_move: Tensor, least_emission: Tensor) -> Tensor:
    """Whether no product left the range of normal numbers, neither in the messages nor in the gradient: [B] bool.

    Each is of two or three of these numbers, a message among them or a move. Zeros are what is forbidden: if no product
    left the range, there are no others.
    """
    least = F.threshold(messages, 0.0, torch.inf).amin(dim=3).masked_fill(~real[:, None], torch.inf)  # [T, D, B]
    least = least.amin(dim=(0, 1)).log().clamp(max=0.0)
    floor = math.log(torch.finfo(messages.dtype).tiny * messages.shape[3] * _MARGIN)
    return least + least_move + least.minimum(least_emission) > floor


def _log_space_partition(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    start, transitions, end = _parts(moves, emissions.shape[2])
    messages = start + emissions[:, 0]  # [B, K]
    for t in range(1, emissions.shape[1]):
        following = _log_sum_exp(messages[:, :, None] + transitions) + emissions[:, t]
        messages = torch.where((t < lengths)[:, None], following, messages)
    return _log_sum_exp(messages + end)


def _log_sum_exp(values: Tensor) -> Tensor:
    """Over the second axis; where all is −∞ the gradient is zero, and that of ``torch.logsumexp`` is NaN."""
    greatest = _finite(values.detach().amax(dim=1, keepdim=True))
    total = (values - greatest).exp().sum(dim=1)
    return torch.where(total > 0, total.clamp(min=torch.finfo(total.dtype).tiny).log() + greatest[:, 0], -torch.inf)


def _parts(moves: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Start [K], transitions [K, K] and end [K] of moves [K + K² + K]."""
    start, transitions, end = torch.split(moves, [count, count * count, count])
    return start, transitions.view(count, count), end


def _best(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n greatest of the last axis, and their places; a maximum takes a fraction of the time of ``topk``."""
    values, places = scores.max(dim=-1, keepdim=True) if n == 1 else scores.topk(n)
    return values, places


def _greatest(emissions: Tensor) -> Tensor:
    return _finite(emissions.detach().amax(dim=2, keepdim=True))


def _least_finite(logs: Tensor) -> Tensor:
    """Least of the first axis that is not −∞; zero if there is none."""
    return F.threshold(logs, torch.finfo(logs.dtype).min, 0.0).amin(dim=0)


def _finite(values: Tensor) -> Tensor:
    """−∞ as the lowest number, which can be subtracted from −∞."""
    return values.clamp(min=torch.finfo(values.dtype).min)


def _padding(emissions: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(emissions.shape[1], device=lengths.device) >= lengths[:, None]  # [B, T]


def _full_precision(tensor: Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)
