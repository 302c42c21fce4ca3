"""The seeds of a stage: trained one after the other in this process, or several at a time in processes of their own."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from unroll.config import Config
from unroll.errors import ProcessLost
from unroll.experiment.identity import with_precision, workspace_of_run
from unroll.experiment.kept import keep, present, restore
from unroll.experiment.trained import read_facts
from unroll.experiment.training import train
from unroll.experiment.workspace import Workspace
from unroll.interruption import Interruption

Figures = dict[str, float]  # of the best validation
POLL = 0.05  # seconds between checks of the processes


def train_seeds(
    runs: Mapping[Path, Config], prepared: Path, accept_code_change: bool,
    commands: Mapping[Path, Sequence[str]], processes: int,
) -> Iterator[tuple[Path, Figures]]:  # fmt: skip
    """Train each run that is not kept from before; those that are kept are copied.

    Args:
        runs: settings by output folder.
        prepared: folder with ``fit/``.
        accept_code_change: see :func:`~unroll.experiment.training.train`.
        commands: for each output folder, a command that trains the run alone; empty to train in this process.
        processes: number of commands that run at a time.

    Yields:
        The folder and the best validation's figures of each run, as soon as it is finished.

    Raises:
        ProcessLost: a command was killed.
        Interrupted: Ctrl-C was pressed or SIGTERM was received; the run in training has a checkpoint.
        SystemExit: a command has failed, and has reported why; those that were running have ended.
    """
    missing: dict[Path, Workspace] = {}
    for out, config in runs.items():
        if (figures := present(config, prepared, out)) is not None:
            yield out, figures
            continue
        workspace = workspace_of_run(with_precision(config), prepared, out)
        figures = restore(with_precision(config), workspace)
        if figures is None:
            missing[out] = workspace
        else:
            yield out, figures
    if commands:
        for out in _side_by_side({out: commands[out] for out in missing}, processes):
            keep(missing[out])
            yield out, read_facts(out)["best"]
        return
    gc.freeze()  # imports made a million objects, which the collections below would search
    with Interruption() as interruption:
        for out, workspace in missing.items():
            interruption.raise_if_asked("stopped between two seeds; the same command trains the rest.")
            gc.collect()  # the last trainer and its network refer to each other, and would stay in memory
            figures = train(runs[out], prepared, out, accept_code_change)
            keep(workspace)
            yield out, figures


def _side_by_side(commands: Mapping[Path, Sequence[str]], processes: int) -> Iterator[Path]:
    """Run commands, and yield the key of each that has succeeded.

    They are in the process group of this process, so that Ctrl-C and the end of a stage reach them, too; SIGTERM, which
    a scheduler may send to this process alone, is passed on.
    """
    # several would redraw one line of a terminal
    environment = {**os.environ, "TERM": "dumb"} if processes > 1 else None
    waiting = list(commands)
    running = dict[Path, subprocess.Popen[bytes]]()
    failed = 0
    passed_on = False
    try:
        with Interruption() as interruption:
            while running or (waiting and not failed):
                while waiting and not failed and not interruption.asked and len(running) < processes:
                    out = waiting.pop(0)
                    running[out] = subprocess.Popen(commands[out], env=environment)
                time.sleep(POLL)
                if interruption.number == signal.SIGTERM and not passed_on:
                    _terminate(running.values())
                    passed_on = True
                for out in [out for out, process in running.items() if process.poll() is not None]:
                    status = running.pop(out).returncode
                    failed = failed or status
                    if status == 0:
                        yield out
                if not running:
                    interruption.raise_if_asked()
    finally:
        for process in running.values():
            process.wait()
    if failed < 0:
        raise ProcessLost(f"A process that trained a seed was ended by signal {-failed}; run the same command again to "
                          "resume it from its last checkpoint.")  # fmt: skip
    if failed:
        raise SystemExit(failed)


def _terminate(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
