"""Progress of a study: finished trials, the best one and the time left."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence

from unroll.metrics import shown
from unroll.terminal import Line, left, say
from unroll.tuning.results import ENDS, states
from unroll.tuning.slots import Slot
from unroll.tuning.study import Study


class StudyProgress:
    """The progress of a study, on a line that is redrawn on a terminal; elsewhere, a line for each finished trial.

    Args:
        study: the study.
        metric: the monitored metric.
    """

    def __init__(self, study: Study, metric: str) -> None:
        self.study, self.metric = study, metric
        self.start = time.monotonic()
        self.before = len(_done(study.slots()))
        self.shown = self.before
        self.line = Line()
        self.killed: set[int] = set()

    def report_killed(self, workers: Sequence[subprocess.Popen[bytes]]) -> None:
        """Report each killed worker once; workers that end otherwise report it themselves."""
        for process in workers:
            others = any(other.poll() is None for other in workers)
            if (process.poll() or 0) < 0 and process.pid not in self.killed and others:
                self.killed.add(process.pid)
                say(f"unroll: a worker was killed by signal {-process.returncode}; the study continues without it.")

    def show(self) -> None:
        """Show the progress; without a terminal, only if another trial has finished."""
        slots = self.study.slots()
        if self.line.terminal:
            self.line.draw(*self.parts(slots, time.monotonic() - self.start))
        elif len(_done(slots)) > self.shown:
            self.line.keep(self.study.name, *self.parts(slots, time.monotonic() - self.start))
        self.shown = len(_done(slots))

    def keep(self) -> None:
        """Show the progress for the last time."""
        if self.line.terminal:
            self.line.keep(*self.parts(self.study.slots(), time.monotonic() - self.start))
        else:
            self.show()

    def done(self) -> str:
        """Number of finished trials."""
        return f"{len(_done(self.study.slots()))} of {len(self.study.presets)} trials"

    def parts(self, slots: list[Slot], seconds: float) -> list[str]:
        """Parts of the line, the most important first.

        Args:
            slots: current state of the slots.
            seconds: time since the workers were started.
        """
        done = _done(slots)
        total = len(self.study.presets)
        here = len(done) - self.before
        ends = [f"{count} {ENDS[state]}" for state, count in states(done).items() if count and state != "COMPLETE"]
        remaining = left(seconds / here * (total - len(done))) if here and len(done) < total else ""
        parts = [f"{len(done)} of {total} trials", remaining, *self._best(done), *ends]
        return [part for part in parts if part]

    def _best(self, done: list[Slot]) -> list[str]:
        complete = [slot for slot in done if slot.state == "COMPLETE" and slot.value is not None]
        if not complete:
            return []
        best = (max if self.study.maximize else min)(complete, key=lambda slot: slot.value or 0.0)
        values = " ".join(_short(*item) for item in best.values.items())
        return [f"best {self.metric} {shown(best.value or 0.0)}", values]


def _short(key: str, value: object) -> str:
    text = f"{value:.3g}" if isinstance(value, float) else value
    return f"{key.removesuffix('.name').rpartition('.')[2]}={text}"


def _done(slots: list[Slot]) -> list[Slot]:
    return [slot for slot in slots if slot.state not in ("RUNNING", "WAITING")]
