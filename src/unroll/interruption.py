"""Ctrl-C as a wish that is kept until it can be heeded."""

from __future__ import annotations

import signal
import threading


class Interruption:
    """While it is entered, Ctrl-C is kept until the next look at it; pressed again, it interrupts at once.

    Python would raise KeyboardInterrupt wherever it happens to be: in a callback of the garbage collector, where
    the libraries of databases leave many, it would be printed and lost. What was kept when another one is entered
    within is that one's, too.
    """

    def __enter__(self) -> Interruption:
        self.asked, self.handler = False, None
        if threading.current_thread() is threading.main_thread():
            self.handler = signal.signal(signal.SIGINT, self._ask)
            outer = getattr(self.handler, "__self__", None)
            self.asked = isinstance(outer, Interruption) and outer.asked
        return self

    def __exit__(self, *_: object) -> None:
        if self.handler is not None:
            signal.signal(signal.SIGINT, self.handler)

    def _ask(self, *_: object) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True

    def heed(self) -> None:
        """Look at it.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self.asked:
            raise KeyboardInterrupt
