"""Windows of truncated backpropagation through time (Williams and Peng 1990)."""

from __future__ import annotations

from typing import NamedTuple


class Cut(NamedTuple):
    """One window of a sequence, in steps.

    Args:
        begin: first step.
        counted: first step whose loss counts; earlier ones are read again only for their gradient.
        end: step after the last one.
        carry: number of steps from ``begin`` after which the state is passed to the next window.
    """

    begin: int
    counted: int
    end: int
    carry: int


def window_count(steps: int, stride: int | None) -> int:
    """Number of windows, at least 1, in a sequence of ``steps`` with ``stride`` new steps each; None for all."""
    return 1 if stride is None else -(-steps // stride)


def cut(number: int, steps: int, truncation_length: int | None, stride: int | None) -> Cut:
    """One window of a sequence: BPTT(k; s) in the notation of Williams and Peng, Neural Computation 2, 1990.

    Each window counts the loss of its newest s steps, and reads earlier steps up to k in all. Steps shared by two
    windows are read twice for the gradient, from the same state; their loss counts once.

    Args:
        number: index of the window, from 0.
        steps: length of the sequence.
        truncation_length: k, the number of steps through which the gradient flows; None for all.
        stride: s ≤ k, the number of new steps of each window; None for all.
    """
    if truncation_length is None or stride is None:
        return Cut(0, 0, steps, steps)
    end = min((number + 1) * stride, steps)
    begin, next_begin = (max(0, (number + i) * stride - truncation_length) for i in (1, 2))
    is_last = end == steps
    return Cut(begin, number * stride, end, (end if is_last else next_begin) - begin)
