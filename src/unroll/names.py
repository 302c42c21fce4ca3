"""The one check of every name that becomes part of a path, wherever it comes from."""

from __future__ import annotations

import contextlib
import re
import unicodedata

import yaml

LONGEST = 80  # bytes: a file is named after several names and a digest, and most systems allow 255
RESERVED = {"con", "prn", "aux", "nul", *(f"{port}{number}" for port in ("com", "lpt") for number in range(10))}


def fault(name: str) -> str:
    """Why a text cannot be the name of a file or folder, with what to do; empty if it can.

    A name must be one component of a path on every system, the same text to every program, and text to a YAML file and
    to a command line, where ``2003``, ``true`` and ``1e5`` are not.
    """
    if not name:
        return "a name is needed here"
    if not re.fullmatch(r"[\w.-]+", name):
        return "a name has letters, digits, -, _ and . only; choose another"
    if name[0] in "-." or name[-1] == ".":
        return "a name begins with a letter, a digit or _, and does not end with a dot; choose another"
    if unicodedata.normalize("NFC", name) != name:
        return "the letters of a name must be in Unicode's composed form (NFC); type it again"
    if len(name.encode()) > LONGEST:
        return f"a name has at most {LONGEST} bytes, and this one has {len(name.encode())}; choose a shorter one"
    if name.partition(".")[0].lower() in RESERVED:
        return "Windows reserves this name, so the project could not be copied there; choose another"
    if _is_value(name):
        return f"YAML does not read this as text; add a letter, such as {name}-a or c{name}"
    return ""


def fault_of_file(path: str) -> str:
    """Why a text cannot be a file below a given folder, each part of whose path is a name; empty if it can."""
    return next((reason for part in path.split("/") if (reason := fault(part))), "")


def _is_value(name: str) -> bool:
    """Whether a name is a number, a date, true, false or null where YAML or Hydra reads it."""
    with contextlib.suppress(ValueError):
        float(name)
        return True
    try:
        return bool(yaml.safe_load(name) != name)
    except ValueError:  # a date that does not exist, such as 2003-99-99
        return True
