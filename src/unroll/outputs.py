"""Outputs are whole or absent: written to a temporary name beside the final one and moved into place."""

from __future__ import annotations

import errno
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unroll.errors import BadInput

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def whole(path: Path, replaces: str | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what the block writes there takes its place if the block ends well.

    The block makes a file or a folder of the temporary path. Whatever goes wrong, including Ctrl-C and a full
    disk, ``path`` keeps what it had, and no file is left beside it.

    Args:
        path: the output.
        replaces: pattern that a folder must have for it to be replaced, so that nobody's other files go with it;
            None if the output is a file, or a folder that is not there yet.

    Raises:
        BadInput: the disk is full, the folder cannot be written to, ``path`` is a folder of something else, or a
            file where a folder is due.
    """
    _refuse_others(path, replaces)
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
        if error.errno not in FULL:
            raise
        raise BadInput(
            f"{path} could not be written ({error.strerror}); nothing was left of it: free space or choose another "
            "folder, and run the same command again."
        ) from error


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as written:
        written.write_text(text, encoding="utf-8")


def _refuse_others(path: Path, replaces: str | None) -> None:
    if not path.is_dir():
        if replaces is not None and path.exists():
            raise BadInput(f"{path} is a file; name a folder that is to be written.")
        return
    if replaces is None:
        raise BadInput(f"{path} is a folder; name a file that is to be written.")
    if any(path.iterdir()) and not any(path.glob(replaces)):
        raise BadInput(f"{path} is a folder with other files in it; name another, or an empty one.")
