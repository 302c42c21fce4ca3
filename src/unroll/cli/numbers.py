"""Numeric arguments with a range."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from typing import TypeVar

Number = TypeVar("Number", int, float)


def number(kind: type[Number], least: Number, most: Number | None = None, reason: str = "") -> Callable[[str], Number]:
    """An argparse ``type`` for numbers from ``least`` to ``most``.

    Args:
        kind: ``int`` or ``float``.
        least: smallest allowed value.
        most: largest allowed value; None for no limit.
        reason: text appended to the error message, such as the reason for the limit.
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
