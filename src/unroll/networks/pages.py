"""Memory of large tensors."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

LARGE = 32 * 2**20  # bytes from which the C library fetches fresh memory from the system for every tensor


def large_like(like: Tensor, kind: torch.dtype) -> Tensor | None:
    """A tensor of zeros of the shape of another one, in huge pages; None if it is small, or the system has none.

    Fresh memory comes in pages of 4 kB, each of which costs an interrupt when it is first written to: for a tensor of
    86 MB that is 34 ms, of which huge pages of 2 MB take 4. The gradient of a large embedding is such a tensor, made at
    every step.
    """
    size = like.numel() * kind.itemsize
    if like.device.type != "cpu" or size < LARGE or not hasattr(mmap, "MADV_HUGEPAGE"):
        return None
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_HUGEPAGE)
    # not a view: autograd adds another gradient in place only if nothing else refers to the memory
    found = torch.frombuffer(memory, dtype=kind).view(like.shape)
    return torch.empty(0, dtype=kind).set_(found)  # type: ignore[call-overload,no-any-return]


def zeros_like(like: Tensor, kind: torch.dtype) -> Tensor:
    """A tensor of zeros of the shape of another one, in huge pages if it is large."""
    found = large_like(like, kind)
    return torch.zeros_like(like, dtype=kind) if found is None else found


def empty_like(like: Tensor, kind: torch.dtype) -> Tensor:
    """An uninitialised tensor of the shape of another one, in huge pages if it is large."""
    found = large_like(like, kind)
    return torch.empty_like(like, dtype=kind) if found is None else found
