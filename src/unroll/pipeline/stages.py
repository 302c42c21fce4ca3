"""Execution of stages: several DVC processes in parallel, each in a process group that ends with this process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import FrameType
from typing import NamedTuple, TextIO

from unroll.errors import StageFailed
from unroll.launching import AT_A_TIME
from unroll.pipeline import dvc
from unroll.pipeline.progress import StageProgress

LOG = Path("outputs/repro.log")
STARTED = re.compile(r"Running stage '(.+)':$")
SKIPPED = re.compile(r"Stage '(.+)' (didn't change, skipping|is cached - skipping run)")
FAILED = re.compile(r"ERROR: failed to reproduce '(.+?)'")
# lines of DVC that do not explain a failure
OWN = re.compile(r"Running stage |> |Updating lock file|Generating lock file|Use `dvc push`|Stage .* skipping")
SHOWN = 15  # lines shown of a failed stage
PATIENCE = 20.0  # seconds for stages to end after an interruption
AT_ONCE = 3  # most stages per DVC process, which takes a second to start


class Command(NamedTuple):
    """A ``dvc repro`` to run.

    Args:
        arguments: arguments of ``dvc repro``.
        processes: number of seeds that a stage may train at a time.
    """

    arguments: Sequence[str]
    processes: int = 1


def planned(names: Sequence[str], jobs: int) -> list[Command]:
    """Commands that run these stages with a number of jobs.

    With more stages than jobs, the first commands have several stages, and the last ones a single one, so that all jobs
    end at about the same time. With fewer, each stage gets a share of the jobs for its seeds.
    """
    if len(names) < jobs:
        shares = [jobs // len(names) + (place < jobs % len(names)) for place in range(len(names))]
        return [Command(["-s", name], share) for name, share in zip(names, shares, strict=True)]
    commands = []
    left = list(names)
    while left:
        size = min(AT_ONCE, max(1, len(left) // (2 * jobs)))
        commands.append(Command(["-s", *left[:size]]))
        left = left[size:]
    return commands


class Stages:
    """Context manager that runs stages and shows their progress.

    Args:
        progress: counts the stages.
    """

    def __init__(self, progress: StageProgress) -> None:
        self.progress = progress
        self.processes: set[subprocess.Popen[str]] = set()
        self.failures: list[str] = []
        self.stop = threading.Event()
        self.interrupted = False
        self.lock = threading.Lock()  # prevents the start of a process while all are being ended
        self.log: TextIO

    def __enter__(self) -> Stages:
        LOG.parent.mkdir(exist_ok=True)
        self.log = LOG.open("w", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        self.log.close()

    def each(self, names: Sequence[str], jobs: int) -> None:
        """Run only these stages, without their dependencies, several at a time.

        With fewer stages than jobs, the stages get the free jobs for their seeds.

        Args:
            names: names of the stages.
            jobs: number of stages that run in parallel.

        Raises:
            StageFailed: a stage has failed; stages that were running in parallel have ended.
        """
        self.run(planned(names, jobs), jobs)

    def run(self, commands: Sequence[Command], jobs: int = 1) -> None:
        """Run commands, several at a time; after a failure, no other stage starts.

        Raises:
            StageFailed: a stage has failed, or DVC.
            BadInput: a lock is held by a process that is not DVC.
        """
        with _signals_raise(), ThreadPoolExecutor(jobs) as pool:
            pending: set[Future[None]] = {pool.submit(self._one, command) for command in commands}
            try:
                while pending:
                    done, pending = wait(pending, timeout=1.0, return_when=FIRST_COMPLETED)
                    for future in done:
                        future.result()
                    self.progress.draw()
            except BaseException:
                self._end()
                raise
        if self.failures:
            raise StageFailed("; ".join(self.failures) + f". Fix the error shown above (full log: {LOG}), and run the "
                              "same command again to continue.")  # fmt: skip

    def _one(self, command: Command) -> None:
        """Run one command, and retry it while another process holds a lock."""
        noted = False
        while (process := self._start(command)) is not None:
            with process:
                code, said, name = self._watch(process)
            self.processes.discard(process)
            if code == 0 or self.interrupted:
                return
            text = "\n".join(said)
            if not dvc.BUSY.search(text):
                self._failed(name, code, said)
                return
            sentence = dvc.blocked(text)
            if not noted:
                self.progress.note(f"unroll: {sentence}")
            noted = True
            self.stop.wait(dvc.RETRY)

    def _start(self, command: Command) -> subprocess.Popen[str] | None:
        """Start a process for a command; None after a failure or an interruption."""
        with self.lock:
            if self.stop.is_set():
                return None
            process = subprocess.Popen(
                dvc.command("--wait-for-lock", "repro", *command.arguments), stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", process_group=0,
                env=dvc.environment(**{AT_A_TIME: str(command.processes)}),
            )  # fmt: skip
            self.processes.add(process)
            return process

    def _watch(self, process: subprocess.Popen[str]) -> tuple[int, list[str], str | None]:
        """Follow the output of a process. Returns its status, its last lines and the failed stage, if any."""
        said: deque[str] = deque(maxlen=2 * SHOWN)
        name: str | None = None
        failed: str | None = None
        assert process.stdout is not None
        for line in process.stdout:
            text = line.rstrip()
            if started := STARTED.match(text):
                self._finished(name)
                name = started[1]
                said.clear()
                self.progress.started(name)
            elif skipped := SKIPPED.match(text):
                self.progress.finished(skipped[1])
            elif found := FAILED.match(text):
                failed = found[1]
            said.append(text)
            self._write(f"{name or 'dvc'}: {text}\n")
        code = process.wait()
        if name is not None and (name == failed or (code != 0 and failed is None)):
            self.progress.stopped(name)
        else:
            self._finished(name)
        return code, list(said), failed

    def _finished(self, name: str | None) -> None:
        if name is not None:
            self.progress.finished(name)

    def _write(self, text: str) -> None:
        with self.progress.lock:
            self.log.write(text)
            self.log.flush()

    def _failed(self, name: str | None, code: int, said: Sequence[str]) -> None:
        """Show the last lines of a failure, and prevent further starts."""
        what = f"stage {name} failed" if name else f"DVC failed with status {code}"
        own = [line for line in said if line and not OWN.match(line)]
        self.progress.note("\n".join([f"unroll: {what}; its last lines:", *(f"  {line}" for line in own[-SHOWN:])]))
        if self.processes and not self.stop.is_set():
            self.progress.note("unroll: stages already running will be finished; no other stage starts.")
        self.failures.append(what)
        self.stop.set()

    def _end(self) -> None:
        """Interrupt all processes, as Ctrl-C does, and kill those that do not end in time, and their children."""
        with self.lock:
            self.interrupted = True
            self.stop.set()
        with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C ends the wait
            self._signal(signal.SIGINT)
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline and any(process.poll() is None for process in list(self.processes)):
                time.sleep(0.05)
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        for process in list(self.processes):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)


@contextlib.contextmanager
def _signals_raise() -> Iterator[None]:
    """Raise an exception on SIGTERM and SIGHUP, so that the stages are ended too."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
