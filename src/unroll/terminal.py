"""What a command shows on standard error while it runs: lasting lines, and one line of progress that is redrawn."""

from __future__ import annotations

import os
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TextIO

from unroll.launching import place

EVERY = 15.0  # seconds between lines of progress without a terminal
PAUSE = 0.1  # minimum seconds between two drawings on a terminal
ERASE = "\r\x1b[K"  # erases the current line
BETWEEN = " · "
ROOM = 3  # columns left free: one, since some terminals wrap at the last one, and two for the ^C of Ctrl-C
PLAIN = str.maketrans({"·": "-", "…": "..."})  # for terminals without these characters


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a line on a stream can be redrawn; of several processes of a training, only the first one draws."""
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb" and place().rank == 0


def say(text: str) -> None:
    """Write lasting lines on standard error; a line of progress is drawn again below them."""
    if sys.stderr is not None:
        lines = "\n".join(map(printable, text.split("\n")))
        _write(f"{ERASE * is_terminal(sys.stderr)}{lines}\n", sys.stderr)


def printable(text: str) -> str:
    """Text whose control characters are escaped, since a terminal would obey those of a file from someone else."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def announce(text: str) -> None:
    """Write a lasting line about what a command is doing, on a terminal only."""
    if is_terminal(sys.stderr):
        say(text)


@contextmanager
def doing(text: str) -> Iterator[None]:
    """Show what a command is doing, on a terminal only; progress replaces the line, which is erased at the end."""
    line = Line()
    if line.terminal:
        line.draw(f"{text} …")
    try:
        yield
    finally:
        line.erase()


class Line:
    """A line of progress, redrawn in place on a terminal; elsewhere, an occasional line.

    Args:
        stream: stream to write to; None for standard error.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = stream or sys.stderr
        self.terminal = is_terminal(self.stream)
        self.drawn = -PAUSE if self.terminal else time.monotonic()  # when the line was last written

    def draw(self, *parts: str) -> None:
        """Show parts, the most important first, unless the last time was just now.

        On a terminal, parts that do not fit are left out, and the first is cut; the width may change at any time.
        """
        now = time.monotonic()
        if self.stream is None or now - self.drawn < (PAUSE if self.terminal else EVERY):
            return
        self.drawn = now
        self._write(f"{ERASE}{self._fitted(parts)}" if self.terminal else f"{self._fitted(parts)}\n")

    def keep(self, *parts: str) -> None:
        """Show parts for the last time, as a lasting line."""
        if self.stream is not None:
            self.note(self._fitted(parts))

    def note(self, text: str) -> None:
        """Write lasting lines; on a terminal in place of the line of progress, which is drawn again below them."""
        self.drawn = -PAUSE if self.terminal else time.monotonic()
        self._write(f"{ERASE * self.terminal}{text}\n")

    def erase(self) -> None:
        """Erase the line on a terminal."""
        if self.terminal:
            self._write(ERASE)

    def _fitted(self, parts: Sequence[str]) -> str:
        """The parts that fit into one line."""
        between, *given = (_writable(part, self.stream) for part in (BETWEEN, *filter(None, parts)))
        return fitted(given, between, _columns(self.stream) - ROOM) if self.terminal else between.join(given)

    def _write(self, text: str) -> None:
        if self.stream is not None:
            _write(text, self.stream)


class Progress:
    """The share of an amount of work that is done, and the time left: ``31 % of 250,000 tokens · 0:05 left``.

    Args:
        total: amount of work; 0 if it is unknown.
        noun: unit of the work, in the plural.
        done: amount that was done before.
    """

    def __init__(self, total: float, noun: str, done: float = 0.0) -> None:
        self.total, self.noun, self.begin = total, noun, done
        self.start = time.monotonic()
        self.line = Line()

    def show(self, done: float, *more: str) -> None:
        """Draw the line.

        Args:
            done: amount of work that is done.
            more: further parts, the most important first.
        """
        self.line.draw(self._share(done), self._left(done), *more)

    def keep(self, done: float, *more: str) -> None:
        """Draw the line for the last time, with the time that the work took."""
        self.line.keep(self._share(done), clock(time.monotonic() - self.start), *more)

    def _share(self, done: float) -> str:
        if not self.total:
            return f"{done:,.0f} {self.noun}"
        return f"{min(100, int(100 * done / self.total))} % of {self.total:,.0f} {self.noun}"

    def _left(self, done: float) -> str:
        """Estimated time left; empty within the first second, which is not typical."""
        seconds = time.monotonic() - self.start
        if not self.total or done <= self.begin or seconds < 1:
            return ""
        return left(seconds * max(0.0, self.total - done) / (done - self.begin))


def left(seconds: float) -> str:
    """Words for the time left, such as ``0:05 left``."""
    return f"{clock(seconds)} left"


def clock(seconds: float) -> str:
    """Duration in minutes and seconds, or hours, minutes and seconds: ``0:05``, ``2:03:00``."""
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}:{rest:02}"
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def fitted(parts: Sequence[str], between: str, columns: int) -> str:
    """Join the first parts that fit a number of columns; a single one that does not fit is cut."""
    line, *rest = parts
    for part in rest:
        longer = f"{line}{between}{part}"
        if _width(longer) > columns:
            break
        line = longer
    while _width(line) > max(0, columns):
        line = line[:-1]
    return line


def _width(text: str) -> int:
    """Number of columns of a text on a terminal, where some characters take two, and combining ones none."""
    return sum(0 if unicodedata.combining(character) else 1 + (unicodedata.east_asian_width(character) in "WF")
               for character in text)  # fmt: skip


def _writable(text: str, stream: TextIO) -> str:
    """The text without line breaks and control characters, in characters that the encoding of the stream has."""
    text = "".join(character if character.isprintable() else "?" for character in text)
    encoding = stream.encoding or "utf-8"
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


def _write(text: str, stream: TextIO) -> None:
    with suppress(OSError):  # the stream is full, or nobody reads it
        stream.write(text)
        stream.flush()


def _columns(stream: TextIO) -> int:
    """Present width of a terminal; 80 if it does not report one."""
    with suppress(OSError, ValueError):  # a stream without a file
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80
