"""Versions of the formats of files: one check for all of them."""

from __future__ import annotations

from pathlib import Path

from unroll.errors import BadInput

SETTINGS = 1  # of config.yaml
RUN = 1  # of run.json


def refuse_format(found: object, known: int, path: Path) -> None:
    """Refuse a file of another format than this version of unroll reads.

    Args:
        found: its format; 0 for a file that does not name one.
        known: the format that is read.
        path: of the file.

    Raises:
        BadInput: the file is older, or newer.
    """
    if type(found) is not int or found < 0:
        raise BadInput(f"{path}: format={found!r} is not a version; write the file again.")
    if found > known:
        raise BadInput(f"{path} has format {found}, and this version of unroll reads {known}; install a newer version.")
    if found < known:
        raise BadInput(
            f"{path} was written by an older version of unroll (format {found}, now {known}); convert a run with "
            f"unroll upgrade {path.parent}, and prepare data again."
        )
