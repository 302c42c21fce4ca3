"""Atomic outputs, even after a power cut: written to a temporary path, synced, and moved into place."""

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

# errors that reading an invalid file may raise
MISREAD = (ValueError, KeyError, TypeError, AttributeError, IndexError, OverflowError, RecursionError)
Names = tuple[str, ...]
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}


@contextmanager
def whole(path: Path, replaces: Names | None = None) -> Iterator[Path]:
    """Yield a temporary path; the file or folder that the block writes there replaces ``path`` on success.

    On any failure, including Ctrl-C and a full disk, ``path`` is unchanged and the temporary path is removed. What a
    killed process leaves is removed when ``path`` is next written.

    Args:
        path: the output.
        replaces: see :func:`refuse_others`; None if the output is a file, or a new folder.

    Raises:
        Unavailable: the disk is full, or the folder cannot be written to.
        BadInput: ``path`` is a folder with other content, or a file in place of a folder.
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
            # a folder cannot be replaced atomically: the old one is moved away, and restored if the new one fails
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
            f"{path} could not be written ({error.strerror}); no partial output was kept: free space or choose another "
            "folder, and run the same command again."
        ) from error


@contextmanager
def _scratch(path: Path) -> Iterator[Path]:
    """A temporary folder beside ``path``; removes those left by killed processes."""
    prefix = f".{path.name}.unroll-"
    with ExitStack() as stack:
        with _locked(path.parent):  # so that a folder under construction is not mistaken for a leftover
            for left in path.parent.iterdir():
                if left.name.startswith(prefix):
                    with (
                        suppress(OSError),
                        _locked(left, fcntl.LOCK_NB),
                    ):  # in use, or just removed
                        shutil.rmtree(left)
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix, dir=path.parent)))
            stack.enter_context(_locked(scratch))
        yield scratch


@contextmanager
def _locked(folder: Path, how: int = 0) -> Iterator[None]:
    """Lock a folder until the block or the process ends."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | how)
        yield
    finally:
        os.close(descriptor)


def sync(path: Path) -> None:
    """Flush a file or a folder with its content to disk."""
    if path.is_dir():
        for part in path.iterdir():
            sync(part)
    _flush(path)


def move(path: Path, target: Path) -> None:
    """Rename a synced file or folder, and flush the new name to disk."""
    path.replace(target)
    _flush(target.parent)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically."""
    with whole(path) as written:
        written.write_text(text, encoding="utf-8")


def to_json(content: object) -> str:
    """Serialise to standard JSON; non-finite numbers, which JSON lacks, become null.

    Lists of numbers are written on one line.
    """
    text = json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return re.sub(r'\[\n\s+(-?\d[^]\[{}"]*)\]', lambda found: f"[{' '.join(found[1].split())}]", text)


def to_json_line(content: object, shows_unicode: bool = True) -> str:
    """Serialise to JSON on one line, without a line break; JSON's own escapes replace what cannot be shown."""
    return json.dumps(_finite(content), ensure_ascii=not shows_unicode, allow_nan=False)


def _finite(content: object) -> object:
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def restored(figures: Mapping[str, float | None]) -> dict[str, float]:
    """Restore figures from JSON; null and other non-finite values become NaN.

    Raises:
        TypeError, ValueError: a figure is not a number.
    """
    values = {name: math.nan if value is None else float(value) for name, value in figures.items()}
    return {name: value if math.isfinite(value) else math.nan for name, value in values.items()}


def from_json(text: bytes) -> Any:
    """The content of a file of JSON, whose texts can all be written again.

    Raises:
        ValueError: it is not JSON, or a text in it has half a character, such as ``"\\ud800"``.
        RecursionError: it is too deep.
    """
    content = json.loads(text)
    if b"\\ud" in text.lower():
        json.dumps(content, ensure_ascii=False).encode()  # UnicodeEncodeError is a ValueError
    return content


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """Read a JSON object written by this program.

    Args:
        path: the file.
        remedy: how to get a valid file, as the end of a sentence.

    Raises:
        BadInput: the file is missing or damaged.
    """
    try:
        content = from_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise BadInput(f"{path} is missing; {remedy}.") from None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path} is damaged ({str(error)[:100]}); {remedy}.") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} is damaged (it is a {type(content).__name__}, not an object); {remedy}.")
    return content


def refuse_others(path: Path, replaces: Names | None) -> None:
    """Refuse to overwrite other content.

    Args:
        path: output file or folder.
        replaces: patterns of the files of a folder that may be replaced. It must have the first; or, if that was lost,
            the second and only files that match a pattern. None for a file.

    Raises:
        BadInput: ``path`` is a folder with other content, or a file in place of a folder.
    """
    if not path.is_dir():
        if replaces is not None and path.exists():
            raise BadInput(f"{path} is a file; choose an output folder.")
        return
    if replaces is None:
        raise BadInput(f"{path} is a folder; choose an output file.")
    if any(path.iterdir()) and not any(path.glob(replaces[0])) and not _has_only(path, replaces):
        raise BadInput(f"{path} is a folder with other files; choose another or an empty one.")


def _has_only(path: Path, patterns: Names) -> bool:
    """Whether a folder has a file of the second pattern, and only files that match a pattern."""
    return any(path.glob(patterns[1]) if patterns[1:] else ()) and all(
        any(entry.match(pattern) for pattern in patterns) for entry in path.iterdir()
    )
