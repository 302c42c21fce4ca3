"""Progress of a pipeline: stages that are finished, running and waiting, and the time left."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterable
from statistics import mean
from typing import TextIO

from unroll.terminal import Line, clock, left


class StageProgress:
    """Counts waiting, running and finished stages, and estimates the remaining time.

    Args:
        jobs: number of stages that run in parallel.
        stream: stream to write to; None for standard error.
    """

    def __init__(self, jobs: int, stream: TextIO | None = None) -> None:
        self.jobs = jobs
        self.line = Line(stream)
        self.begin = time.monotonic()
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

    def parts(self) -> list[str]:
        """Number of finished stages, remaining and elapsed time, and names of running stages."""
        with self.lock:
            total = len(self.ended) + len(self.running) + len(self.waiting)
            remaining = self.left()
            known = [] if remaining is None else [left(remaining)]
            elapsed = f"{clock(time.monotonic() - self.begin)} so far"
            return [f"{len(self.ended)} of {total} stages", *known, elapsed, *self.running]

    def draw(self) -> None:
        """Show the progress: on a terminal immediately, elsewhere if the last line is old enough."""
        with self.lock:
            self.line.draw(*self.parts())

    def note(self, text: str) -> None:
        """Write lines that are not redrawn."""
        with self.lock:
            self.line.note(text)

    def close(self) -> None:
        """Report the number of finished stages and the total time."""
        self.note(f"{len(self.ended)} stages in {clock(time.monotonic() - self.begin)}")


def kind(name: str) -> str:
    """Kind of a stage, its name before the @; stages of a kind take about the same time."""
    return name.rsplit(":", 1)[-1].split("@")[0]
