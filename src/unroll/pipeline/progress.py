"""Progress of a pipeline: a line that is redrawn on a terminal, or an occasional line in a log."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean
from typing import TextIO

EVERY = 15.0  # seconds between lines without a terminal


class Progress:
    """Counts waiting, running and finished stages, and estimates the remaining time.

    Args:
        jobs: number of stages that run in parallel.
        stream: stream to write to; None for standard error.
    """

    def __init__(self, jobs: int, stream: TextIO | None = None) -> None:
        self.jobs = jobs
        self.stream = stream or sys.stderr
        self.terminal = self.stream.isatty()
        self.begin = self.last = time.monotonic()
        self.waiting: set[str] = set()
        self.running: dict[str, float] = {}
        self.ended: set[str] = set()
        self.seconds: dict[str, list[float]] = defaultdict(list)
        self.lock = threading.RLock()

    def expect(self, names: Iterable[str]) -> None:
        """Set the stages that are out of date, replacing earlier ones.

        Files such as ``data.dvc`` are not counted, because they have no command.
        """
        with self.lock:
            self.waiting = {name for name in names if not name.endswith(".dvc")} - set(self.running)

    def started(self, name: str) -> None:
        """Count a stage as running."""
        with self.lock:
            self.waiting.discard(name)
            self.running[name] = time.monotonic()

    def finished(self, name: str) -> None:
        """Count a stage as finished."""
        with self.lock:
            self.waiting.discard(name)
            begin = self.running.pop(name, None)
            if begin is not None:
                self.seconds[kind(name)].append(time.monotonic() - begin)
                self.ended.add(name)

    def stopped(self, name: str) -> None:
        """Count a failed stage as neither running nor finished."""
        with self.lock:
            self.running.pop(name, None)

    def left(self) -> float | None:
        """Estimated remaining seconds, from finished stages of the same kind; None before the first has finished."""
        with self.lock:
            known = [value for values in self.seconds.values() for value in values]
            if not known:
                return None
            usual = {name: mean(self.seconds.get(kind(name)) or known) for name in (*self.waiting, *self.running)}
            now = time.monotonic()
            running = sum(max(0.0, usual[name] - (now - begin)) for name, begin in self.running.items())
            return (running + sum(usual[name] for name in self.waiting)) / self.jobs

    def line(self) -> str:
        """Number of finished stages, elapsed and remaining time, and names of running stages."""
        with self.lock:
            total = len(self.ended) + len(self.running) + len(self.waiting)
            times = f"{span(time.monotonic() - self.begin)} so far"
            left = self.left()
            if left is not None:
                times += f", about {span(left)} left"
            running = f"; running: {', '.join(self.running)}" if self.running else ""
            return f"{len(self.ended)} of {total} stages, {times}{running}"

    def draw(self) -> None:
        """Show the line: on a terminal immediately, elsewhere if the last one is old enough."""
        with self.lock:
            if self.terminal:
                width = shutil.get_terminal_size().columns - 1
                self.stream.write(f"\r\033[K{self.line()[:width]}")
                self.stream.flush()
            elif time.monotonic() - self.last >= EVERY:
                self.note(self.line())

    def note(self, text: str) -> None:
        """Write lines that are not redrawn."""
        with self.lock:
            self.stream.write(f"\r\033[K{text}\n" if self.terminal else f"{text}\n")
            self.stream.flush()
            self.last = time.monotonic()

    def close(self) -> None:
        """Report the number of finished stages and the total time."""
        self.note(f"{len(self.ended)} stages in {span(time.monotonic() - self.begin)}")


def kind(name: str) -> str:
    """Kind of a stage, its name before the @; stages of a kind take about the same time."""
    return name.rsplit(":", 1)[-1].split("@")[0]


def span(seconds: float) -> str:
    """Human-readable duration, such as 12 s, 3 min 5 s or 2 h 4 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
