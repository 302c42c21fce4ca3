"""Lock files, held by one process at a time and never written to."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from unroll.errors import BadInput


@contextmanager
def held(path: Path, wait: bool = True) -> Iterator[bool]:
    """Hold a lock file until the block or the process ends; yield whether this process holds it.

    The file is created if it does not exist; an existing file keeps its content.

    Args:
        path: path of the lock file.
        wait: whether to wait for another process that holds it.

    Raises:
        BadInput: ``path`` is a symbolic link, which could point anywhere.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise BadInput(f"{path} is a symbolic link, but must be a lock file; delete it.") from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def lock_beside(database: Path) -> Path:
    """Lock file of a database, hidden so that it cannot collide with the file of another program."""
    return database.with_name(f".{database.name}.lock")
