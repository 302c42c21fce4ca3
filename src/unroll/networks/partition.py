"""The log-partition of a linear chain and its gradient."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# The sum of a message. The range of fp32 is symmetric around 1, and this uses both halves of it.
_MASS = 2.0**60
# The part of the range reserved for the gradient by which a message is multiplied, which may be scaled.
_MARGIN = 2.0**16


def log_partition(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    """Logarithm of the sum of exp s(x, y) over all labels y, with s as in ``LinearChainCRF``.

    Shapes:
        emissions: [B, T, K]; moves: [K + K² + K], start, transitions row by row, and end; lengths: [B]; result: [B]
    """
    greatest = greatest_of(emissions)  # [B, T, 1]
    taken = greatest[..., 0].masked_fill(padding_of(emissions, lengths), 0.0).sum(dim=1)
    return relative_log_partition(emissions - greatest, moves, lengths) + taken


def relative_log_partition(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    """Log-partition, as :func:`log_partition`, of emissions whose maximum is zero at each step."""
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
    wider = relative_log_partition(emissions[rows].double(), moves.double(), lengths[rows])
    return result.index_copy(0, rows, wider.to(result.dtype))


class _ScaledPartition(torch.autograd.Function):
    """Log-partition by scaled messages, and its gradient, the expected counts: Rabiner, Proc. IEEE 1989, section V.A.

    .. math::
        \\alpha_1 = \\frac{a \\circ e_1}{c_1}, \\qquad \\alpha_t = \\frac{(\\alpha_{t-1} A) \\circ e_t}{c_t}, \\qquad
        \\log Z = \\sum_t \\log c_t + \\log \\alpha_T \\cdot b

    with e, a, A and b exponentiated. The backward messages are the forward messages of the reversed sequence with A
    transposed, so that one loop computes both, with one batched product per step. The gradient of A is one product over
    all steps.

    Shapes:
        emissions: [B, T, K], maximum zero at each step; moves: [K + K² + K]; lengths: [B]; directions: 2, or 1 if no
        gradient is needed; log-partition: [B]; exact: [B] bool, false where a number may have underflowed or
        overflowed, so that the log-partition is invalid
    """

    @staticmethod
    def forward(ctx: Any, emissions: Tensor, moves: Tensor, lengths: Tensor, directions: int) -> tuple[Tensor, Tensor]:
        real = ~padding_of(emissions, lengths).T  # [T, B]
        last = lengths - 1  # [B]
        greatest = _finite(moves.amax())
        moves = moves - greatest
        emissions = _in_order(emissions, last, directions)  # [T, D, B, K]
        least = _least_finite(moves), _least_finite(emissions[:, 0]).amin(dim=1)
        start, transitions, end = split_moves(moves.exp(), emissions.shape[3])
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
            raise NotImplementedError("The gradient of the CRF has no second derivative.")
        before, after, transitions, real, last = ctx.saved_tensors
        time, _, batch, count = after.shape
        steps = torch.arange(time, device=after.device)[:, None]
        rows = torch.arange(batch, device=after.device)
        # backward messages are stored in reversed order
        places = ((last - steps).clamp(min=0) * 2 + 1) * batch + rows  # [T, B]
        with full_precision(after):
            forward = after[:, 0]
            counts = before.flatten(0, 2).index_select(0, places.T.flatten()).view(batch, time, count)
            counts *= forward.transpose(0, 1)  # [B, T, K]: probability of each label, up to a factor
            total = counts.sum(dim=2)
            weights = torch.where(real.T & (total > 0), gradient[:, None] / total, 0.0)  # [B, T]
            counts *= weights[..., None]
            left = forward[:-1] * (weights.T[:-1] * real[1:])[..., None]  # [T − 1, B, K]
            right = after.flatten(0, 2).index_select(0, places[1:].flatten())  # [(T − 1) · B, K]
            # 0 · ∞ where a move is forbidden, which masked_fill in LinearChainCRF makes zero
            pairs = transitions * (left.flatten(0, 1).T @ right)
        by_moves = torch.cat([counts[:, 0].sum(dim=0), pairs.flatten(), counts[rows, last].sum(dim=0)])
        return counts, by_moves, None, None


def _in_order(emissions: Tensor, last: Tensor, directions: int) -> Tensor:
    """Steps in forward and in reversed order: [B, T, K] → [T, D, B, K].

    Beyond the end of a sequence its last step is repeated, so that padding is not read.
    """
    time = emissions.shape[1]
    steps = torch.arange(time, device=last.device)[:, None]
    order = torch.stack([steps.minimum(last), (last - steps).clamp(min=0)][:directions], dim=1)  # [T, D, B]
    rows = order + time * torch.arange(len(last), device=last.device)
    return emissions.flatten(0, 1).index_select(0, rows.flatten()).view(*rows.shape, -1)


def _pass(emissions: Tensor, first: Tensor, moves: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Messages before and after the emissions of each step, and their divisors.

    Shapes:
        emissions: [T, D, B, K], overwritten; first: [D, K]; moves: [D, K, K]; before, after: [T, D, B, K];
        divisors: [T, D, B]
    """
    time, directions, batch, count = emissions.shape
    before = torch.empty_like(emissions)
    divisors = emissions.new_empty(time, directions, batch, 1)
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
    """Whether all products are normal numbers, in the messages and in the gradient: [B] bool.

    Each is a product of two or three of these numbers, including a message or a transition. If all products are normal
    numbers, zeros only come from forbidden transitions.
    """
    least = F.threshold(messages, 0.0, torch.inf).amin(dim=3).masked_fill(~real[:, None], torch.inf)  # [T, D, B]
    least = least.amin(dim=(0, 1)).log().clamp(max=0.0)
    floor = math.log(torch.finfo(messages.dtype).tiny * messages.shape[3] * _MARGIN)
    return least + least_move + least.minimum(least_emission) > floor


def _log_space_partition(emissions: Tensor, moves: Tensor, lengths: Tensor) -> Tensor:
    start, transitions, end = split_moves(moves, emissions.shape[2])
    messages = start + emissions[:, 0]  # [B, K]
    for t in range(1, emissions.shape[1]):
        following = _log_sum_exp(messages[:, :, None] + transitions) + emissions[:, t]
        messages = torch.where((t < lengths)[:, None], following, messages)
    return _log_sum_exp(messages + end)


def _log_sum_exp(values: Tensor) -> Tensor:
    """Log-sum-exp over dimension 1, with gradient zero (``torch.logsumexp``: NaN) where all values are −∞."""
    greatest = _finite(values.detach().amax(dim=1, keepdim=True))
    total = (values - greatest).exp().sum(dim=1)
    return torch.where(total > 0, total.clamp(min=torch.finfo(total.dtype).tiny).log() + greatest[:, 0], -torch.inf)


def split_moves(moves: Tensor, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Start [K], transitions [K, K] and end [K] of moves [K + K² + K]."""
    start, transitions, end = torch.split(moves, [count, count * count, count])
    return start, transitions.view(count, count), end


def padding_of(emissions: Tensor, lengths: Tensor) -> Tensor:
    """Mask of the steps beyond the length of each sequence: [B, T] bool."""
    return torch.arange(emissions.shape[1], device=lengths.device) >= lengths[:, None]  # [B, T]


def greatest_of(emissions: Tensor) -> Tensor:
    """Maximum of the emissions of each step, without a gradient: [B, T, K] → [B, T, 1]."""
    return _finite(emissions.detach().amax(dim=2, keepdim=True))


def full_precision(tensor: Tensor) -> AbstractContextManager[Any]:
    """Context that disables autocast."""
    kind = tensor.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def _least_finite(logs: Tensor) -> Tensor:
    """Minimum over the finite values of dimension 0; zero if there are none."""
    return F.threshold(logs, torch.finfo(logs.dtype).min, 0.0).amin(dim=0)


def _finite(values: Tensor) -> Tensor:
    """Replace −∞ with the lowest finite number, which can be subtracted from −∞."""
    return values.clamp(min=torch.finfo(values.dtype).min)
