"""The format of ``config.yaml``: its version, and what settings that came later mean for files without them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unroll.config.section import Settings
from unroll.formats import refuse_format

FORMAT = 1
# settings added since format 1, by their dotted keys, each with what it is for a file that does not have it: a run that
# was trained before there was the setting keeps its result, and so its meaning
ADDED: Mapping[str, Any] = {}


def current(content: Mapping[str, Any], path: Path) -> Settings:
    """The settings of a file with those that were added after it was written.

    Args:
        content: of the file.
        path: of the file, for messages.

    Raises:
        BadInput: the file is of an older format, which ``unroll upgrade`` converts, or of a newer one.
    """
    refuse_format(content.get("format", 0), FORMAT, path)
    found: Settings = dict(content)
    for key, value in ADDED.items():
        *sections, name = key.split(".")
        section = found
        for part in sections:
            section[part] = dict(section[part]) if isinstance(section.get(part), Mapping) else {}
            section = section[part]
        section.setdefault(name, value)
    return found
