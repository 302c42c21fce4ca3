"""Where long sequences are cut: windows of truncated backpropagation through time, Williams and Peng 1990."""

from __future__ import annotations

from typing import NamedTuple


class Cut(NamedTuple):
    """One window of a sequence, in steps of it.

    Args:
        begin: first step that is read.
        counted: first step whose loss counts; those before it are read again for their gradient alone.
        end: step after the last one.
        carry: steps from ``begin`` after which the state is the one that the next window begins with.
    """

    begin: int
    counted: int
    end: int
    carry: int


def window_count(steps: int, stride: int | None) -> int:
    """Number of windows in a sequence of ``steps``, at least 1, whose new steps are ``stride`` each; None for all."""
    return 1 if stride is None else -(-steps // stride)


def cut(number: int, steps: int, truncation_length: int | None, stride: int | None) -> Cut:
    """One window of a sequence: BPTT(k; s) in the words of Williams and Peng, Neural Computation 2, 1990.

    Every window counts the loss of its newest s steps, and reads as many before them as make k. What two windows share
    is read twice for its gradient, with the state of then; its loss counts once.

    Args:
        number: of the window, from 0.
        steps: of the whole sequence.
        truncation_length: k, steps through which the gradient flows; None for all of them.
        stride: s ≤ k, new steps of each window; None for all.
    """
    if truncation_length is None or stride is None:
        return Cut(0, 0, steps, steps)
    end = min((number + 1) * stride, steps)
    begin, next_begin = (max(0, (number + i) * stride - truncation_length) for i in (1, 2))
    is_last = end == steps
    return Cut(begin, number * stride, end, (end if is_last else next_begin) - begin)
