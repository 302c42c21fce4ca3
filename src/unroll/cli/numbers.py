"""Numbers on the command line, each with the range that it must be in."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def number(kind: type[Number], least: Number, most: Number | None = None, reason: str = "") -> Callable[[str], Number]:
    """The ``type`` of an argument that is a number from ``least`` to ``most``, or of at least ``least``.

    Args:
        kind: ``int`` or ``float``.
        least: the smallest that is allowed.
        most: the largest that is allowed; None if there is no such limit.
        reason: what is added to the error, such as why there is a limit.
    """
    what = "a whole number" if kind is int else "a number"
    allowed = f"{what} of at least {least}" if most is None else f"{what} from {least} to {most}"

    def convert(word: str) -> Number:
        try:
            value = kind(word)
        except ValueError:
            value = None
        if value is None or not least <= value or (most is not None and value > most):
            raise ArgumentTypeError(f"{word} is not {allowed}{reason}")
        return value

    return convert
