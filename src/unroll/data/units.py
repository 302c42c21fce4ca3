"""Units of text: how a line becomes symbols, and symbols a line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

from unroll.data.fields import Symbols

Unit = Literal["words", "tokens", "characters", "subwords"]

# marks that stand apart: those of mteval-v13a, by which BLEU is counted, and quotation marks and dashes beyond ASCII
APART = re.compile(r"([\{-\~\[-\` -\&\(-\+\:-\@\/¿¡«»„“”‘…–—])")
AFTER = re.compile(r"([^0-9])([.,])")
BEFORE = re.compile(r"([.,])([^0-9])")
HYPHEN = re.compile(r"([0-9])(-)")
# a word or marks with the blank before them, or further blanks: what subwords are parts of
WHOLE = re.compile(r" ?\w+| ?[^\w\s]+|\s+(?!\S)|\s+")


def split(line: str, unit: str) -> Sequence[str]:
    """The symbols of a line.

    Args:
        line: without its line break; blanks at its ends do not count.
        unit: ``words`` between blanks; ``tokens``, which are words and marks of punctuation; ``characters``; or
            ``subwords``, for which these are what is divided further, and together the whole line.
    """
    if unit == "subwords":
        return WHOLE.findall(line.strip())
    if unit == "characters":
        return line.strip()
    words = line.split()
    return [token for word in words for token in _apart(word)] if unit == "tokens" else words


def joined(symbols: Sequence[str], unit: str) -> str:
    """The text of symbols; tokens are separated by blanks, as by the rules of BLEU."""
    return (" " if unit in ("words", "tokens") else "").join(symbols)


@lru_cache(maxsize=1 << 16)  # most words are frequent, and four substitutions take longer than all else
def _apart(word: str) -> tuple[str, ...]:
    """A word and its marks: mteval-v13a, whose rules BLEU applies to any text."""
    text = APART.sub(r" \1 ", f" {word} ")
    text = AFTER.sub(r"\1 \2 ", text)
    text = BEFORE.sub(r" \1 \2", text)
    return tuple(HYPHEN.sub(r"\1 \2 ", text).split())


def symbols_of(unit: str, size: int) -> Symbols:
    """The field of symbols of a unit; tokens are words to every task.

    Args:
        unit: the unit.
        size: greatest number of subwords, if these are the unit.
    """
    return Symbols(unit, size) if unit == "subwords" else Symbols("words" if unit == "tokens" else unit)
