"""Embedded corpora: each generator writes the same bytes on every machine and Python version.

Only ``random.Random(seed).random()`` is drawn from, whose stream Python promises to keep.
"""

from __future__ import annotations

from unroll.data.generators import adding, grammar, recall
from unroll.data.generators.base import Generator

GENERATORS: dict[str, Generator] = {
    "adding": adding.GENERATOR,
    "recall": recall.GENERATOR,
    "grammar": grammar.GENERATOR,
}

__all__ = ["GENERATORS", "Generator"]
