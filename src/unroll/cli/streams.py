"""The standard streams of the command: any of them may be closed, full, or unable to show a character."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, BinaryIO, TextIO, cast

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

BROKEN_PIPE = 141  # the status of a program that the system ends because nobody reads its output


class _Output(io.FileIO):
    """Standard output, whose errors name it: Python gives them no name, as if a file had failed."""

    def write(self, content: ReadableBuffer) -> int:
        """Write bytes, as many as the system takes at a time."""
        try:
            return super().write(content)
        except OSError as error:
            error.filename = "standard output"
            raise


def prepare() -> None:
    """Give closed streams the null device, and have characters escaped that an output cannot show.

    Without the null device, the next file that is opened would get the number of the closed stream, and whatever a
    library prints would be written into it. Standard input that was closed stays None, since nothing can be read.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free, which is this one
    sys.stdout = _text(sys.stdout, _Output(1, "w", closefd=False))
    sys.stderr = _text(sys.stderr, io.FileIO(2, "w", closefd=False))


def _text(old: TextIO | None, raw: io.FileIO) -> TextIO:
    """A stream in place of an old one, which is None if it was closed."""
    is_unbuffered = isinstance(old, io.TextIOWrapper) and old.write_through  # python -u
    return io.TextIOWrapper(
        cast(BinaryIO, raw) if is_unbuffered else io.BufferedWriter(raw),
        "utf-8" if old is None else old.encoding,
        errors="backslashreplace",
        line_buffering=raw.isatty() or raw.fileno() == 2,
        write_through=is_unbuffered,
    )


def read_bytes_as_utf8() -> None:
    """Start the process again in UTF-8 mode if Python would take arguments and file names for ASCII.

    That is so with ``LC_ALL=C`` and without UTF-8 mode. The encoding of the streams, which the terminal has to show,
    stays the same.
    """
    if sys.getfilesystemencoding() not in ("ascii", "us-ascii"):
        return
    environment = {"PYTHONIOENCODING": "ascii:backslashreplace"} | os.environ | {"PYTHONUTF8": "1"}
    os.execve(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]], environment)


def shows_unicode() -> bool:
    """Whether standard output can show every character."""
    return (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf")


def drop_the_rest() -> None:
    """Discard what is left in buffers that cannot be written, so that Python does not report it at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            with contextlib.suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
