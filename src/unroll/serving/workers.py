"""Threads that predict batches side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

T = TypeVar("T")


def side_by_side(work: Callable[[int], T], count: int) -> Iterator[T]:
    """The results of ``work(0)`` to ``work(count − 1)``, in order, with as many threads as torch has.

    Each thread computes whole batches. Torch's own threads divide every single operation, which for the small steps of
    a recurrent network gains nothing: they wait for each other. The first batch is computed alone, since it may leave
    what the others use, such as the features of all spelled words.

    Args:
        work: computes a batch; torch's gradient modes must be set within it, since they belong to a thread.
        count: number of batches.
    """
    yield from map(work, range(min(count, 1)))
    threads = torch.get_num_threads()
    if threads == 1 or count <= 2:
        yield from map(work, range(1, count))
        return
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, range(1, count))
    finally:
        torch.set_num_threads(threads)  # also that of threads that begin later
