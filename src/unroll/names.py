"""The check of all names that become part of a path."""

from __future__ import annotations

import contextlib
import re
import unicodedata

import yaml

LONGEST = 80  # bytes; a file name combines several names and a digest, and most systems allow 255
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def fault(name: str) -> str:
    """The reason why a text cannot be the name of a file or folder, with a remedy; empty if it can.

    A name must be a single path component on every system, have one encoding, and be read as text in YAML and on the
    command line, unlike ``2003``, ``true`` and ``1e5``.
    """
    if not name:
        return "a name is required"
    if not re.fullmatch(r"[\w.-]+", name):
        return "a name may contain only letters, digits, -, _ and .; choose another"
    if name[0] in "-." or name[-1] == ".":
        return "a name must start with a letter, a digit or _, and must not end with a dot; choose another"
    if unicodedata.normalize("NFC", name) != name:
        return "the letters of a name must be in Unicode's composed form (NFC); type it again"
    if len(name.encode()) > LONGEST:
        return f"a name may have at most {LONGEST} bytes, but this one has {len(name.encode())}; choose a shorter one"
    if name.partition(".")[0].lower() in RESERVED:
        return "Windows reserves this name, so the project could not be copied there; choose another"
    if name.lower().endswith((".yaml", ".yml")) or name == "_self_":
        return "in lists of settings this stands for a file or for a place; choose another, without .yaml"
    if _is_value(name):
        examples = [each for each in (f"{name}-a", f"c{name}") if each.lower() not in RESERVED]
        return f"YAML does not read this as text; add a letter, such as {' or '.join(examples)}"
    return ""


def fault_of_file(path: str) -> str:
    """The reason why a text cannot be a relative path made of valid names; empty if it can."""
    return next((reason for part in path.split("/") if (reason := fault(part))), "")


def _is_value(name: str) -> bool:
    """Whether YAML or Hydra reads a name as a number, a date, true, false or null."""
    with contextlib.suppress(ValueError):
        float(name)
        return True
    try:
        return bool(yaml.safe_load(name) != name)
    except ValueError:  # a date that does not exist, such as 2003-99-99
        return True
