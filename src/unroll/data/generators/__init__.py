"""Embedded corpora: each generator writes the same bytes on every machine and Python version.

Only ``random.Random(seed).random()`` is drawn from, whose stream Python promises to keep.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from unroll.data.generators import adding, grammar, recall

GENERATORS: dict[str, Callable[[Path], None]] = {
    "adding": adding.write,
    "recall": recall.write,
    "grammar": grammar.write,
}
