"""A terminal of a given width: a command's streams, and what its screen shows."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import threading
from collections.abc import Callable, Sequence

ERASE = "\x1b[K"
Watch = Callable[[str, subprocess.Popen[bytes], int], None]


class Clock:
    """A clock that a test sets, in place of the module ``time``."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


def resize(terminal: int, columns: int) -> None:
    """Give a terminal a width."""
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))


def screen(text: str, columns: int) -> list[str]:
    """The lines of a screen that got a text, with lines that were too long wrapped as a terminal does."""
    lines, column = [""], 0
    for piece in re.findall(rf"{re.escape(ERASE)}|.", text, flags=re.S):
        if piece == "\r":
            column = 0
        elif piece == "\n":
            lines.append("")
        elif piece == ERASE:
            lines[-1] = lines[-1][:column]
        else:
            assert piece.isprintable(), f"{piece!r} is not a character that this terminal knows"
            if column == columns:
                lines.append("")
                column = 0
            lines[-1] = lines[-1][:column].ljust(column) + piece + lines[-1][column + 1 :]
            column += 1
    return lines


def drawn(text: str) -> list[str]:
    """Each line that was drawn over another one, in order."""
    return [part.split("\r")[0].split("\n")[0] for part in text.split(f"\r{ERASE}")[1:]]


class Terminal:
    """A terminal that this process writes to.

    Args:
        columns: its width.
    """

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.main, side = pty.openpty()
        resize(self.main, columns)
        self.stream = os.fdopen(side, "w", encoding="utf-8")
        self.got = bytearray()
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                self.got += os.read(self.main, 65_536)
            except OSError:  # the other side has closed
                return

    def close(self) -> str:
        """All text that it got."""
        self.stream.close()
        self.reader.join()
        os.close(self.main)
        return self.got.decode()


def run(command: Sequence[str], columns: int, watch: Watch = lambda *_: None) -> tuple[int, str]:
    """Run a command in a terminal of its own. Returns its status and all text that it wrote.

    Args:
        command: words of the command.
        columns: width of the terminal.
        watch: is called with all text so far, the process and the terminal, whenever there is more.
    """
    main, side = pty.openpty()
    resize(main, columns)

    def take_terminal() -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # which a job in the background of a shell ignores
        fcntl.ioctl(side, termios.TIOCSCTTY, 0)

    with subprocess.Popen(
        command, stdin=side, stdout=side, stderr=side, start_new_session=True, preexec_fn=take_terminal
    ) as process:
        os.close(side)
        got = b""
        while select.select([main], [], [], 120)[0]:
            try:
                got += os.read(main, 65_536)
            except OSError:  # the command has ended
                break
            watch(got.decode(errors="replace"), process, main)
        else:
            process.kill()
    os.close(main)
    return process.returncode, got.decode()
