"""Synthetic corpora, one per file: each generator writes the same bytes on every machine and Python version.

Generators draw only from ``random.Random(seed).random()``, whose sequence Python guarantees to be stable.
"""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from unroll.data.generators.base import Generator

GENERATORS: dict[str, Generator] = {
    module.name: import_module(f"{__name__}.{module.name}").GENERATOR
    for module in iter_modules(__path__)
    if module.name != "base"
}

__all__ = ["GENERATORS", "Generator"]
