"""The format of ``config.yaml``: its version, and what settings that came later mean for files without them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unroll.config.explanation import is_of, sections
from unroll.config.file import merged
from unroll.config.schema import Config
from unroll.config.section import Settings
from unroll.formats import SETTINGS, refuse_format

# settings added since format 1, by their dotted keys, each with what it is for a file that does not have it: a run that
# was trained before there was the setting keeps its result, and so its meaning. Of sections of several kinds, such as
# tasks, those without the setting are left alone.
ADDED: Mapping[str, Any] = {"task.unknown_rate": 0.0}


def current(content: Settings, path: Path) -> Settings:
    """The settings of a file with those that were added after it was written.

    Args:
        content: of the file.
        path: of the file, for messages.

    Raises:
        BadInput: the file is of an older format, which ``unroll upgrade`` converts, or of a newer one.
    """
    refuse_format(content.get("format", 0), SETTINGS, path)
    return with_added(content)


def with_added(settings: Settings) -> Settings:
    """The settings of a run with those that were added since they were written."""
    found: Settings = dict(settings)
    for key, value in ADDED.items():
        if _has(found, key):
            added = value
            for part in reversed(key.split(".")):
                added = {part: added}
            found = merged(added, found)
    return found


def _has(settings: Settings, key: str) -> bool:
    """Whether there is a setting of this key for the chosen kinds of section."""
    name, _, last = key.rpartition(".")
    own: Any = settings
    for part in name.split("."):
        own = own.get(part) if isinstance(own, Mapping) else None
    return isinstance(own, Mapping) and any(
        place == name and last in model.model_fields and is_of(model, own) for place, model in sections(Config, "")
    )
