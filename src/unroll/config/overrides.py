"""Settings of the command line as Hydra reads them."""

from __future__ import annotations

import re
from collections.abc import Sequence

FREE = re.compile(r"\+*(arch\.cell_arguments|data\.reader|data\.roles)\.[^.]+=")  # keys that a file need not have


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """Overrides such as ``arch=lstm``, so that Hydra takes each as a person means it."""
    # Hydra would refuse an argument or option that the file leaves to its default
    free = [f"++{text.lstrip('+')}" if FREE.match(text) else text for text in overrides]
    return [part for text in free for part in _replaced(text)]


def _replaced(override: str) -> list[str]:
    """An override of a whole reader, which replaces that of the file: Hydra would add the options of both."""
    return ["~data.reader", f"+{override}"] if override.startswith("data.reader={") else [override]
