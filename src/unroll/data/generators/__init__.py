"""Synthetic corpora: each generator writes the same bytes on every machine and Python version.

Generators draw only from ``random.Random(seed).random()``, whose sequence Python guarantees to be stable.
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
