"""Runs a study: starts and monitors workers, and writes the results."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

from unroll.config import StudySettings
from unroll.errors import BadInput, Interrupted, ProcessLost
from unroll.interruption import Interruption
from unroll.launching import place
from unroll.outputs import refuse_others
from unroll.terminal import say
from unroll.tuning.job import JOB, Job, full_name, monitored
from unroll.tuning.progress import StudyProgress
from unroll.tuning.results import (
    FILES,
    Result,
    is_written,
    refuse_another,
    results_of,
    write_results,
    written_name,
)
from unroll.tuning.study import Study

POLL = 0.5  # seconds between checks of the workers
CLOSED = "closed"  # note of a study whose run in MLflow is complete
STOPPING = "unroll: stopping; press Ctrl-C again to stop at once."


def tune(
    settings: StudySettings, workers: int, prepared: Path | None, out: Path | None, draw: Callable[[Path], None]
) -> tuple[str, Path]:
    """Run a study to its end and write the results.

    A stopped study resumes when it is started again; a finished one does not change. Several machines can work on the
    same study with a shared database.

    Args:
        settings: settings of the study.
        workers: number of processes on this machine; each trains one trial at a time.
        prepared: folder with ``fit/`` for all trials; None to use the cache.
        out: folder for trials, best settings and figures; None for a folder in ``outputs/adhoc``.
        draw: adds figures to the folder of the results.

    Returns:
        A summary in words, and the folder of the results.

    Raises:
        BadInput: the space is invalid, the database cannot be opened, or no trial is complete.
        ProcessLost: all workers have ended before the study.
    """
    if place().world > 1:
        raise BadInput("unroll tune starts its own processes; run it without a launcher and set training.devices.")
    job = _job(settings, prepared)
    out = out or Path("outputs/adhoc") / job.name
    refuse_others(out, FILES)
    refuse_another(job, out)
    if not is_written(job, out):
        job.space.check()  # before the study is created
    study = job.open()
    begun = study.left()
    if begun:
        if not study.slots():
            _check_beginning(job, out)
            _report_others(job, study)
        study.refill()
        job = replace(job, parent=_parent(job, study))
        _work(job, study, workers)
    else:
        say(f"{job.name} is finished, and nothing was trained.")
    result = results_of(job, study)
    if not result.best:
        _close(job, study, result, None)
        raise BadInput(result.lack())
    if begun or not is_written(job, out):
        write_results(job, result, out, draw)
    _close(job, study, result, out)
    return result.summary(), out


def _job(settings: StudySettings, prepared: Path | None) -> Job:
    unnamed = Job(settings, "", None if prepared is None else str(prepared), None)
    searched = [key for key in settings.study.space if key.partition(".")[0] in ("data", "task")]
    if prepared is not None and searched:
        raise BadInput(f"study={settings.study.name} searches {searched[0]}, which needs more than one prepared "
                       "folder; omit --prepared.")  # fmt: skip
    return replace(unnamed, name=full_name(unnamed))


def _check_beginning(job: Job, out: Path) -> None:
    """Check for results of a study that the database does not have, since it was lost or replaced.

    Raises:
        BadInput: there are finished trials, which new ones would overwrite.
    """
    lost = f"Optuna's database {job.settings.study.storage} has no trials of {job.name}"
    if count := len(list(job.folder.glob("*/run.json"))):
        raise BadInput(f"{lost}, but {job.folder} has {count} finished ones, which new trials would overwrite; "
                       f"restore the database, or delete {job.folder} to start from the first trial.")  # fmt: skip
    if written_name(out) == job.name:
        say(f"unroll: {lost}, whose results are in {out}; the study starts again from its first trial, and its "
            "results will replace those.")  # fmt: skip


def _report_others(job: Job, study: Study) -> None:
    """Report earlier versions of the study, whose trials are not used."""
    if others := study.others():
        what = "has another space" if len(others) == 1 else "have another space"
        say(f"unroll: {', '.join(others)} in {job.settings.study.storage} {what}, budget, data or code; "
            f"those trials are kept, and {job.name} starts from its first trial.")  # fmt: skip


def _parent(job: Job, study: Study) -> str | None:
    """The run of the study in MLflow, which all participating machines must reach."""
    tracking = job.first.tracking
    if tracking.name == "none":
        return None
    from unroll.tracking.parent import check_parent, open_parent
    from unroll.tracking.provenance import git_state

    assert tracking.uri is not None  # checked with the settings
    uri, config = tracking.uri, job.settings.study
    params = {f"space.{key}": str(part.model_dump(exclude_defaults=True)) for key, part in config.space.items()}
    params |= {"trials": str(len(study.presets)), "sampler": config.sampler.name, "pruner": config.pruner.name,
               "tokens": str(job.first.training.tokens)}  # fmt: skip
    tags = {
        "study": config.name,
        "origin": "study",
        "mlflow.note.content": config.question,
        "optuna.storage": config.storage,
        **git_state(),
    }
    run_id = study.note(f"mlflow {uri}", lambda: open_parent(uri, config.name, config.question, job.name, params, tags))
    check_parent(uri, run_id)
    return run_id


def _close(job: Job, study: Study, result: Result, out: Path | None) -> None:
    """End the run of the study in MLflow if it is open; it has failed if there are no results to log."""
    tracking = job.first.tracking
    key = f"mlflow {tracking.uri}"
    if tracking.name == "none" or key not in study.notes() or CLOSED in study.notes():
        return
    from unroll.tracking.parent import close_parent

    assert tracking.uri is not None
    tags = {"best": result.summary()} if out else {"error": result.lack()}
    close_parent(tracking.uri, study.notes()[key], result.figures(), tags, out)
    study.note(CLOSED, lambda: "yes")


def _work(job: Job, study: Study, workers: int) -> None:
    """Start the workers, show their progress, and wait for the study to end.

    Raises:
        ProcessLost: all workers have ended before the study.
        BadInput: a worker has reported an error.
        Interrupted: Ctrl-C was pressed or SIGTERM was received; trials in training have a checkpoint.
    """
    progress = StudyProgress(study, monitored(job.first).name)
    with Interruption(STOPPING) as interruption, _started(job, workers) as running:
        while any(process.poll() is None for process in running) and not interruption.asked:
            progress.report_killed(running)
            progress.show()
            time.sleep(POLL)
        codes = [process.poll() for process in running]
    progress.keep()
    interruption.raise_if_asked(f"{progress.done()} finished; the same command continues the study.")
    if study.left():
        if 2 in codes:
            raise BadInput(f"a worker of {job.name} could not continue; see above, then run the same command again.")
        if 130 in codes:
            raise Interrupted(signal.SIGINT)
        raise ProcessLost(f"All {workers} workers of {job.name} have ended ({', '.join(map(str, codes))}); run the "
                          "same command again to resume the study.")  # fmt: skip


@contextlib.contextmanager
def _started(job: Job, workers: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start workers with their shares of cores and GPUs; they end with this context.

    They are not in the foreground process group, or Ctrl-C would reach them twice: from the terminal and from here.
    """
    running = []
    try:
        for number in range(workers):
            command = [sys.executable, "-m", "unroll.tuning", str(os.getpid())]
            environment = os.environ | _gpus(number, job.first.training.devices) | {JOB: job.dumps()}
            running.append(subprocess.Popen(command, env=environment, process_group=0))
            _bind(running[-1].pid, number, workers)
        yield running
    finally:
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGINT)
        for process in running:
            process.wait()


def _bind(process: int, number: int, workers: int) -> None:
    """Bind a worker to its share of the cores, if the system supports it."""
    if sys.platform == "linux":
        cores = sorted(os.sched_getaffinity(0))
        share = cores[number * len(cores) // workers : (number + 1) * len(cores) // workers]
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(process, share or cores)


def _gpus(worker: int, devices: int) -> dict[str, str]:
    """Environment that assigns GPUs to a worker; empty without GPUs."""
    import torch

    count = torch.cuda.device_count()
    named = os.environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(count)))).split(",")
    mine = [named[(worker * devices + number) % count] for number in range(devices)] if count else []
    return {"CUDA_VISIBLE_DEVICES": ",".join(mine)} if mine else {}
