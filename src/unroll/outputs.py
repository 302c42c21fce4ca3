"""Outputs are whole or absent: written to a temporary name beside the final one and moved into place."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unroll.errors import BadInput


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what the block writes there takes its place if the block ends well.

    The block makes a file or a folder of the temporary path. Whatever goes wrong, including Ctrl-C and a full
    disk, ``path`` keeps what it had, and no file is left beside it.

    Raises:
        BadInput: the disk is full or the folder cannot be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as scratch:
            written = Path(scratch) / path.name
            yield written
            if not path.is_dir():
                written.replace(path)
                return
            # A folder cannot be replaced in one step: the old one leaves first, and comes back if the new one fails.
            written.stat()
            old = path.replace(Path(scratch) / "old")
            try:
                written.replace(path)
            except OSError:
                old.replace(path)
                raise
    except OSError as error:
        if isinstance(error, FileNotFoundError | IsADirectoryError):
            raise
        reason = error.strerror or str(error)
        raise BadInput(f"{path} could not be written ({reason}); nothing was left of it: free space or "
                       "choose another folder, and run the same command again.") from error  # fmt: skip


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as written:
        written.write_text(text, encoding="utf-8")


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
