"""The linear-chain conditional random field, which predicts all labels of a sequence jointly."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.errors import BadInput
from unroll.networks.partition import (
    full_precision,
    greatest_of,
    log_partition,
    padding_of,
    relative_log_partition,
    split_moves,
)
from unroll.networks.schemes import Constraints


class LinearChainCRF(nn.Module):
    """Linear-chain conditional random field: Lafferty, McCallum and Pereira, ICML 2001; Lample et al., NAACL 2016.

    .. math::
        s(x, y) = a_{y_1} + \\sum_{t=1}^{T} e_{t, y_t} + \\sum_{t=2}^{T} A_{y_{t-1}, y_t} + b_{y_T}, \\qquad
        P(y \\mid x) = \\frac{\\exp s(x, y)}{\\sum_{y'} \\exp s(x, y')}

    with emissions e, start a, transitions A and end b. The last three are initialised to zero, which makes a
    softmax at every step.

    Args:
        label_count: K.
        allowed: the allowed transitions; None to allow all. Any other has probability zero, in the partition, the
            best labels and the marginals, and no gradient.

    Shapes:
        emissions: [B, T, K]; targets: [B, T], −1 where a label is unknown; lengths: [B], each ≥ 1. Emissions and
        targets beyond the length of a sequence are ignored. start: [K], transitions: [K, K], from and to, end: [K]

    Raises:
        BadInput: the targets of a loss contain a forbidden transition, so that it would be infinite.

    All computations use fp32 or higher, also under autocast. Sums over paths use scaled probabilities, where a step is
    one matrix product. Sequences whose numbers may underflow or overflow are computed again in fp64 and, if that does
    not suffice, in log space, where a step takes K² exponentials. The sums are therefore exact, and slow only in rare
    cases. If the constraints allow no path at all, the log-partition is −∞ without a gradient, the marginals are zero,
    and there are no best labels.
    """

    forbidden: Tensor  # [K + K² + K] bool, of all transitions, in the order of _cast

    def __init__(self, label_count: int, allowed: Constraints | None) -> None:
        super().__init__()
        self.start = nn.Parameter(torch.zeros(label_count))
        self.transitions = nn.Parameter(torch.zeros(label_count, label_count))
        self.end = nn.Parameter(torch.zeros(label_count))
        forbidden = torch.zeros(label_count * (label_count + 2), dtype=torch.bool)
        if allowed is not None:
            for part, mask in zip(split_moves(forbidden, label_count), allowed, strict=True):
                part.copy_(mask).logical_not_()  # in place, as torch does on its meta device without its compiler
        self.register_buffer("forbidden", forbidden, persistent=False)

    def forward(self, emissions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Negative log-likelihood of each sequence, marginalised over unknown labels: [B]."""
        with full_precision(emissions):
            emissions, moves = self._cast(emissions)
            # the loss is unchanged, without the loss of precision of large emissions
            emissions = emissions - greatest_of(emissions)
            agreeing = _score(emissions, moves, targets, lengths)
            impossible = agreeing.isneginf()
            if impossible.any():
                self._refuse(targets, lengths, impossible)
            return relative_log_partition(emissions, moves, lengths) - agreeing

    def score(self, emissions: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
        """Score s(x, y); if labels are unknown, the logarithm of the sum of exp s over their possible values: [B]."""
        with full_precision(emissions):
            return _score(*self._cast(emissions), targets, lengths)

    def log_partition(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Logarithm of the sum of exp s(x, y) over all labels: [B]."""
        with full_precision(emissions):
            return log_partition(*self._cast(emissions), lengths)

    def marginals(self, emissions: Tensor, lengths: Tensor) -> Tensor:
        """Probability of each label at each real step, zero beyond: [B, T, K], without a gradient."""
        # the marginals are the gradient of the log-partition
        with torch.inference_mode(False), torch.enable_grad():
            emissions = self._cast(emissions.detach().clone())[0].requires_grad_()
            (gradient,) = torch.autograd.grad(self.log_partition(emissions, lengths).sum(), emissions)
        return gradient

    def viterbi(self, emissions: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Best labels of each sequence, [B, T], −1 beyond its length, and their scores, [B]."""
        labels, scores = self.n_best(emissions, lengths, 1)
        return labels[:, 0], scores[:, 0]

    @torch.no_grad()
    def n_best(self, emissions: Tensor, lengths: Tensor, n: int) -> tuple[Tensor, Tensor]:
        """The ``n`` best labellings of each sequence, best first: labels [B, n, T] and scores [B, n].

        Labels are −1 beyond the length of a sequence. If there are fewer labellings, the others have labels −1
        and score −∞.
        """
        emissions, moves = self._cast(emissions)
        batch, time, count = emissions.shape
        start, transitions, end = split_moves(moves, count)
        arrivals = transitions.T.repeat_interleave(
            n, dim=1
        )  # [K, K · n]: to each label from the n best paths to every label
        stay = torch.arange(count * n, device=emissions.device).view(count, n)
        scores = emissions.new_full((batch, count, n), -torch.inf)
        scores[:, :, 0] = start + emissions[:, 0]
        origins = []
        shortest = int(lengths.min())
        for t in range(1, time):
            best, origin = _best(scores.flatten(1)[:, None] + arrivals, n)  # [B, K, n]
            best = best + emissions[:, t, :, None]
            if t >= shortest:
                real = (t < lengths)[:, None, None]
                best, origin = torch.where(real, best, scores), torch.where(real, origin, stay)
            scores = best
            origins.append(origin)
        scores, place = _best((scores + end[:, None]).flatten(1), n)  # [B, n]
        places = [place]
        for origin in reversed(origins):
            places.append(origin.flatten(1).gather(1, places[-1]))
        labels = torch.stack(places[::-1], dim=2) // n  # [B, n, T]
        return labels.masked_fill(padding_of(emissions, lengths)[:, None] | scores.isneginf()[..., None], -1), scores

    def _cast(self, emissions: Tensor) -> tuple[Tensor, Tensor]:
        """Emissions, and scores of all transitions (start, transitions row by row, end), −∞ where forbidden."""
        wide = torch.promote_types(self.start.dtype, torch.float32)
        emissions = emissions.to(torch.promote_types(emissions.dtype, wide))
        moves = torch.cat([self.start, self.transitions.flatten(), self.end]).to(emissions.dtype)
        return emissions, moves.masked_fill(self.forbidden, -torch.inf)

    def _refuse(self, targets: Tensor, lengths: Tensor, impossible: Tensor) -> None:
        for b in impossible.nonzero()[:, 0].tolist():
            fault = self._fault(targets[b, : int(lengths[b])].tolist())
            if fault:
                raise BadInput(f"Sequence {b} of the batch {fault}: the constraints forbid that, so that its loss is "
                               "infinite; prepare the corpus again, which reads labels of spans as valid BIO, or build "
                               "the CRF without constraints (allowed=None).")  # fmt: skip

    def _fault(self, labels: list[int]) -> str | None:
        start, transitions, end = split_moves(self.forbidden, len(self.start))
        if labels[0] >= 0 and start[labels[0]]:
            return f"starts with label {labels[0]}"
        for t, (left, right) in enumerate(pairwise(labels), start=1):
            if left >= 0 and right >= 0 and transitions[left, right]:
                return f"goes from label {left} to label {right} at step {t}"
        if labels[-1] >= 0 and end[labels[-1]]:
            return f"ends with label {labels[-1]}"
        return "has unknown labels without an allowed value" if min(labels) < 0 else None


def _score(emissions: Tensor, moves: Tensor, targets: Tensor, lengths: Tensor) -> Tensor:
    padding = padding_of(emissions, lengths)
    unknown = (targets < 0) & ~padding
    scores = _path_score(emissions, moves, targets.masked_fill(padding | unknown, 0), lengths, padding)
    if not unknown.any():
        return scores
    rows = unknown.any(dim=1).nonzero()[:, 0]
    known = targets[rows, :, None]
    labels = torch.arange(emissions.shape[2], device=targets.device)
    agreeing = emissions[rows].masked_fill((known >= 0) & (known != labels), -torch.inf)  # [rows, T, K]
    return scores.index_copy(0, rows, log_partition(agreeing, moves, lengths[rows]))


def _path_score(emissions: Tensor, moves: Tensor, labels: Tensor, lengths: Tensor, padding: Tensor) -> Tensor:
    count = emissions.shape[2]
    last = labels.gather(1, lengths[:, None] - 1)
    between = count + labels[:, :-1] * count + labels[:, 1:]
    path = torch.cat([labels[:, :1], between, count + count * count + last], dim=1)  # [B, T + 1]
    moved = moves[path].masked_fill(F.pad(padding[:, 1:], (1, 1)), 0.0).sum(dim=1)
    return moved + emissions.gather(2, labels[..., None])[..., 0].masked_fill(padding, 0.0).sum(dim=1)


def _best(scores: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """The n greatest values of the last dimension and their indices; for n = 1, max is much faster than topk."""
    values, places = scores.max(dim=-1, keepdim=True) if n == 1 else scores.topk(n)
    return values, places
