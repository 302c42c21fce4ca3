"""Outputs are whole or absent, after a power cut too: written to a temporary name, synced, and moved into place."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from unroll.errors import BadInput, Unavailable

# what reading something else than was written may raise
MISREAD = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
Names = tuple[str, ...]
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def whole(path: Path, replaces: Names | None = None) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; what the block writes there takes its place if the block ends well.

    The block makes a file or a folder of the temporary path. Whatever goes wrong, including Ctrl-C and a full
    disk, ``path`` keeps what it had, and no file is left beside it; what a killed process has left there goes when
    ``path`` is written next.

    Args:
        path: the output.
        replaces: see :func:`refuse_others`; None if the output is a file, or a folder that is not there yet.

    Raises:
        Unavailable: the disk is full, or the folder cannot be written to.
        BadInput: ``path`` is a folder of something else, or a file where a folder is due.
    """
    refuse_others(path, replaces)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _scratch(path) as scratch:
            written = scratch / path.name
            yield written
            if not path.is_dir():
                sync(written)
                move(written, path)
                return
            # A folder cannot be replaced in one step: the old one leaves first, and comes back if the new one fails.
            sync(written)
            old = path.replace(scratch / "old")
            try:
                move(written, path)
            except OSError:
                old.replace(path)
                raise
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise Unavailable(
            f"{path} could not be written ({error.strerror}); nothing was left of it: free space or choose another "
            "folder, and run the same command again."
        ) from error


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A folder beside ``path`` that goes with the block; those that killed processes have left go before it."""
    prefix = f".{path.name}.unroll-"
    with ExitStack() as stack:
        with _locked(path.parent):  # so that a folder that is just being made is not taken for one that was left
            for left in path.parent.iterdir():
                if left.name.startswith(prefix):
                    with suppress(OSError), _locked(left, fcntl.LOCK_NB):  # its process lives, or it just went
                        shutil.rmtree(left)
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent)))
            stack.enter_context(_locked(scratch))
        yield scratch


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """Hold a folder, until the block or the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Make the disk keep a file, or a folder with all that is in it, before anything relies on it."""
    if path.is_dir():
        for part in path.iterdir():
            sync(part)
    _flush(path)


def move(path: Path, target: Path) -> None:
    """Rename a file or folder that is synced, and make the disk keep its new name."""
    path.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole(path) as written:
        written.write_text(text, encoding="utf-8")


def to_json(content: Any) -> str:
    """JSON that any reader takes, as text: a number that is not finite, which JSON does not have, becomes null.

    Numbers of a list stand in one line.
    """
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return re.sub(r'\[\n\s+(-?\d[^]\[{}"]*)\]', lambda found: f"[{' '.join(found[1].split())}]", text)


def to_json_line(content: Any) -> str:
    """The same in one line, without its end."""
    return json.dumps(_finite(content), ensure_ascii=False, allow_nan=False)


def _finite(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def restored(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Figures as they are read from JSON: what is not a finite number, written as null or by older versions, is NaN.

    Raises:
        TypeError, ValueError: a figure is something else.
    """
    values = {name: math.nan if value is None else float(value) for name, value in figures.items()}
    return {name: value if math.isfinite(value) else math.nan for name, value in values.items()}


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read an object that was written by this program.

    Args:
        path: the file.
        remedy: what gives a file that can be read, as the end of a sentence.

    Raises:
        BadInput: there is no such file, or it was cut, emptied or changed.
    """
    try:
        content = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise BadInput(f"{path} is missing; {remedy}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is damaged ({str(error)[:100]}); {remedy}.") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} is damaged (it is a {type(content).__name__}, not an object); {remedy}.")
    return content


def refuse_others(path: Path, replaces: Names | None) -> None:
    """Refuse a place where something else is.

    Args:
        path: file or folder that is to be written.
        replaces: patterns of what a folder holds that may be replaced. It has the first; or, where that was lost, the
            second and nothing else than these. None for a file.

    Raises:
        BadInput: ``path`` is a folder of something else, or a file where a folder is due.
    """
    if not path.is_dir():
        if replaces is not None and path.exists():
            raise BadInput(f"{path} is a file; name a folder that is to be written.")
        return
    if replaces is None:
        raise BadInput(f"{path} is a folder; name a file that is to be written.")
    if any(path.iterdir()) and not any(path.glob(replaces[0])) and not _has_only(path, replaces):
        raise BadInput(f"{path} is a folder with other files in it; name another, or an empty one.")


def _has_only(path: Path, patterns: Names) -> bool:
    """Whether a folder has a file of the second pattern, and none of another name than these."""
    return any(path.glob(patterns[1]) if patterns[1:] else ()) and all(
        any(entry.match(pattern) for pattern in patterns) for entry in path.iterdir()
    )
