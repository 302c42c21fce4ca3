"""Scores of a hidden layer between queries and keys, without a tensor of all pairs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from unroll.networks.partition import full_precision

ROOM = {"cpu": 2**18}  # numbers of the hidden layer at a time, so that they stay in the cache of a CPU
LARGE_ROOM = 2**26  # on other devices, where many small kernels would take longer


def hidden_layer_scores(queries: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
    """Scores of all queries and all keys of a sequence through a hidden layer: Bahdanau et al. 2015, appendix A.1.2.

    .. math:: e_{tj} = v^\\top \\tanh(q_t + k_j) = 2 v^\\top \\sigma(2 q_t + 2 k_j) - \\sum_a v_a

    Args:
        queries: q.
        keys: k.
        vector: v.

    Shapes:
        queries: [B, T, A], keys: [B, S, A], vector: [A], result: [B, T, S] in fp32 or higher

    Raises:
        NotImplementedError: a second derivative is requested.

    The hidden layer is computed for a few queries at a time, in the forward pass and again in the backward pass, so
    that memory does not grow with T. torch's sigmoid takes a tenth of the time of its tanh on a CPU.
    """
    wide = torch.promote_types(queries.dtype, torch.float32)
    with full_precision(queries):
        scores: Tensor = _HiddenLayer.apply(  # type: ignore[no-untyped-call]
            queries.to(wide), keys.to(wide), vector.to(wide)
        )
    return scores


class _HiddenLayer(torch.autograd.Function):
    """The scores, whose gradients are formed from the hidden layer computed again."""

    @staticmethod
    def forward(ctx: Any, queries: Tensor, keys: Tensor, vector: Tensor) -> Tensor:
        scores = queries.new_empty(len(queries), queries.shape[1], keys.shape[1])  # [B, T, S]
        for part, layer in _layers(queries, keys):
            scores[:, part] = torch.matmul(layer, 2 * vector) - vector.sum()
        ctx.save_for_backward(queries, keys, vector)
        return scores

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        if torch.is_grad_enabled():  # create_graph=True
            raise NotImplementedError("Scores of a hidden layer have no second derivative.")
        queries, keys, vector = ctx.saved_tensors
        d_queries, d_vector = torch.empty_like(queries), -given.sum().expand_as(vector)
        d_keys: Tensor | None = None
        with full_precision(given):
            for part, layer in _layers(queries, keys):
                d_scores = given[:, part]  # [B, t, S]
                d_vector = d_vector + 2 * torch.mv(layer.flatten(0, 2).T, d_scores.flatten())
                # tanh′ = 4 σ (1 − σ)
                d_layer = torch.ops.aten.sigmoid_backward(d_scores[..., None] * (4 * vector), layer)  # [B, t, S, A]
                torch.sum(d_layer, 2, out=d_queries[:, part])
                of_keys = d_layer[:, 0] if d_layer.shape[1] == 1 else d_layer.sum(1)
                d_keys = of_keys if d_keys is None else d_keys.add_(of_keys)
        return d_queries, d_keys, d_vector


def _layers(queries: Tensor, keys: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Some of the queries, and their σ(2 q + 2 k), [B, t, S, A]; the memory is that of the queries before."""
    batch, time, size = queries.shape
    count = max(1, min(time, ROOM.get(queries.device.type, LARGE_ROOM) // max(1, keys.numel())))
    doubled = 2 * keys[:, None]  # [B, 1, S, A]
    memory = queries.new_empty(batch, count, keys.shape[1], size)
    for begin in range(0, time, count):
        part = slice(begin, min(begin + count, time))
        layer = memory if part.stop - begin == count else memory.new_empty(batch, part.stop - begin, *memory.shape[2:])
        torch.add(doubled, queries[:, part, None], alpha=2, out=layer)
        yield part, layer.sigmoid_()
