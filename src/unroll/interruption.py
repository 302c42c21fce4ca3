"""Deferred handling of Ctrl-C and SIGTERM."""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from unroll.errors import Interrupted
from unroll.terminal import ERASE

HANDLED = (signal.SIGINT, signal.SIGTERM)
AT_ONCE = "unroll: stopped at once."


class Interruption:
    """A context that defers Ctrl-C and SIGTERM until the next check; a second Ctrl-C ends the process at once.

    Python raises KeyboardInterrupt at any point. In a callback of the garbage collector, of which database libraries
    have many, it would be printed and lost. A nested context inherits a pending signal, and passes it on when it ends.

    Args:
        said: sentence that answers the first Ctrl-C on standard error; empty for none.
    """

    def __init__(self, said: str = "") -> None:
        self.said = said

    def __enter__(self) -> Interruption:
        self.number = 0  # of the pending signal
        self.before = {}
        if threading.current_thread() is threading.main_thread():
            self.before = {number: signal.getsignal(number) for number in HANDLED}
            self.outer = getattr(self.before[signal.SIGINT], "__self__", None)
            if isinstance(self.outer, Interruption):
                self.number = self.outer.number
            for number in HANDLED:
                signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self.before.items():
            signal.signal(number, handler)
        if self.before and isinstance(self.outer, Interruption):
            self.outer.number = self.number

    def _ask(self, number: int, _: object) -> None:
        if self.number and number == signal.SIGINT:
            # KeyboardInterrupt could be printed as a traceback by a library, or wait for a server
            _write(AT_ONCE if self.said else "")
            os._exit(128 + number)
        first, self.number = not self.number, self.number or number  # before the sentence, which invites the second
        if first and number == signal.SIGINT:
            _write(self.said)

    @property
    def asked(self) -> bool:
        """Whether a signal is pending."""
        return self.number != 0

    def raise_if_asked(self, sentence: str = "") -> None:
        """Raise a pending signal.

        Args:
            sentence: state in which the command stops.

        Raises:
            Interrupted: Ctrl-C was pressed, or SIGTERM was received.
        """
        if self.asked:
            raise Interrupted(self.number, sentence)


def _write(sentence: str) -> None:
    """Write a line from a signal handler, which may have interrupted a write to the stream of standard error."""
    if sentence:
        with contextlib.suppress(OSError):
            os.write(2, f"{ERASE if os.isatty(2) else ''}{sentence}\n".encode())
