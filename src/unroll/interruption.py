"""Deferred handling of Ctrl-C."""

from __future__ import annotations

import signal
import threading


class Interruption:
    """A context that defers Ctrl-C until the next check; a second Ctrl-C interrupts immediately.

    Python raises KeyboardInterrupt at any point. In a callback of the garbage collector, of which database libraries
    have many, it would be printed and lost. A nested context inherits a pending Ctrl-C.
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

    def raise_if_asked(self) -> None:
        """Raise a pending Ctrl-C.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed.
        """
        if self.asked:
            raise KeyboardInterrupt
