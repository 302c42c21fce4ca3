"""A worker process, which runs trials of a study until none is left.

``python -m unroll.tuning LAUNCHER``, where LAUNCHER is the id of the parent process; the job is in the environment.
``unroll tune`` starts the workers. For a trial that trains in several processes, the worker chooses the values and
starts the processes with them.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unroll.config import Config
from unroll.credentials import without_secrets
from unroll.errors import BadInput, Interrupted, ProcessLost, Suspended, Unavailable, is_lack_of_memory, lack_of_memory
from unroll.experiment import Busy, Pruned, finished, train
from unroll.interruption import Interruption
from unroll.launching import end_with_the_launcher, launch, place
from unroll.terminal import say
from unroll.tracking.tracker import PARENT
from unroll.tuning.cost import flops, parameters
from unroll.tuning.job import JOB, Job, monitored
from unroll.tuning.space import Values
from unroll.tuning.trial_lease import TakenOver, TrialLease

# exit statuses by which the processes of a trial inform the worker
STATUS: dict[type[BadInput], int] = {Unavailable: os.EX_UNAVAILABLE, Busy: os.EX_TEMPFAIL}
POLL = 0.5  # seconds between checks for a trial while other workers run the last ones


def main(arguments: Sequence[str]) -> int:
    """Run trials of a study, or train a trial together with other processes."""
    launcher, *together = arguments
    end_with_the_launcher(int(launcher))
    job = Job.loads(os.environ[JOB])
    try:
        if together:
            _train_together(job, json.loads(together[0]))
        else:
            work(job)
    except BadInput as error:
        say(f"unroll: {without_secrets(str(error))}")
        return STATUS.get(type(error), 2) if together else 2
    except ProcessLost as error:
        say(f"unroll: {without_secrets(str(error))}")
        return 1
    except (KeyboardInterrupt, Interrupted):
        return 130
    return 0


def work(job: Job) -> None:
    """Run waiting trials and take over abandoned ones, until none is left."""
    study = job.open()
    with Interruption() as interruption:
        while study.left():
            interruption.raise_if_asked()
            study.refill()
            lease = study.acquire()
            if lease is None:
                time.sleep(POLL)
                continue
            with lease.heartbeat():
                attempt(job, lease)


def attempt(job: Job, lease: TrialLease) -> None:
    """Choose the values of a trial, train it, and record the result.

    Raises:
        Interrupted: the worker was interrupted; the trial waits for another worker.
        Unavailable: something that all trials need is missing; the trial waits for a new worker.
        DatabaseGone: the result cannot be recorded; the trial will be taken over.
    """
    try:
        with _recording_failure(lease):
            values = lease.choose(job.space.suggested)
            config = job.space.run(values)
            excess = job.space.excess(config)
            lease.constrain(excess)
            if excess is None:
                _train(job, lease, values, config)
    except (KeyboardInterrupt, Interrupted, Unavailable):
        lease.release()
        raise
    except (Busy, ProcessLost, TakenOver) as error:
        say(f"unroll: trial {lease.slot}: {error}")
        if isinstance(error, Busy):  # the previous process is still training it
            lease.release()
        else:  # no error is noted, so the slot gets another trial, which continues
            lease.finish("FAIL")
        time.sleep(job.settings.study.heartbeat)


@contextlib.contextmanager
def _recording_failure(lease: TrialLease) -> Iterator[None]:
    """Record a trial as failed if the error is its own; the other trials continue.

    Raises:
        Unavailable: the error is one of the machine, and would affect every trial.
    """
    try:
        yield
    except Pruned:
        pass  # recorded by its report
    except (Busy, ProcessLost, Suspended):
        raise
    except OSError as error:  # of its files or connections
        where = error.filename or "a file or a connection"
        raise Unavailable(f"{where}: {error.strerror or error}; fix this and run the same command again.") from error
    except Exception as error:  # a network may fail in any way
        error = lack_of_memory(error) if is_lack_of_memory(error) else error
        message = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        lease.note(error=without_secrets(message)[:500])
        lease.finish("FAIL")


def _train(job: Job, lease: TrialLease, values: Values, config: Config) -> None:
    spec = job.spec_of(config)
    width = getattr(config.arch.encoder, "hidden_size", None)
    lease.note(parameters=parameters(config, spec), flops=flops(config, spec), hidden_size=width)
    figures = finished(config, job.prepared_for(config), _folder(job, lease.slot))
    if figures is not None:  # its worker was killed before it could record the result
        _record(job, lease, figures)
    elif config.training.devices == 1:
        _train_and_record(job, lease, config)
    else:
        _launch(job, lease, values, config.training.devices)


def _train_and_record(job: Job, lease: TrialLease, config: Config) -> None:
    watch = Watch(f"{job.settings.study.name}/{lease.slot:03}", _tags(job, lease.slot), lease)
    figures = train(config, job.prepared_for(config), _folder(job, lease.slot), trial=watch)
    if watch.tokens:
        watch.note()
    _record(job, lease, figures)


def _record(job: Job, lease: TrialLease, figures: dict[str, float]) -> None:
    metric = monitored(job.first).name
    lease.note(figures=figures)
    if not math.isfinite(figures[metric]):
        raise BadInput(f"the best validation {metric} is {figures[metric]}")
    lease.finish("COMPLETE", figures[metric])


def _launch(job: Job, lease: TrialLease, values: Values, devices: int) -> None:
    """Train in several processes, the first of which records the result."""
    together = {"slot": lease.slot, "trial_id": lease.trial_id, "values": values}
    os.environ[JOB] = job.dumps()
    try:
        launch(devices, [str(os.getpid()), json.dumps(together)], "unroll.tuning")
    except SystemExit as ended:  # the parent releases the trial, so that nobody takes it in between
        if ended.code == STATUS[Unavailable]:
            raise Unavailable(f"Trial {lease.slot} could not continue; see the messages above.") from None
        if ended.code == STATUS[Busy]:
            raise Busy("waiting for the process named above.") from None
        if ended.code != 2:  # a signal, such as that of Ctrl-C
            raise Interrupted(signal.SIGINT) from None
    lease.check_finished()  # also after bad input, which the processes have recorded


def _train_together(job: Job, together: dict[str, Any]) -> None:
    """Train a trial as one of several processes; the first one reports and records the result."""
    config = job.space.run(together["values"])
    slot = together["slot"]
    if place().rank > 0:
        with contextlib.suppress(Pruned):
            train(config, job.prepared_for(config), _folder(job, slot), trial=Watch("", {}, None))
        return
    lease = TrialLease(job.open(), together["trial_id"], slot)
    with _recording_failure(lease):
        _train_and_record(job, lease, config)


def _folder(job: Job, slot: int) -> Path:
    """Folder of the run of a trial."""
    return job.folder / f"{slot:03}"


def _tags(job: Job, slot: int) -> dict[str, str]:
    tags = {"study": job.settings.study.name, "trial": str(slot)}
    return tags if job.parent is None else {**tags, PARENT: job.parent}


@dataclass
class Watch:
    """Connects the training of a trial to its study.

    Args:
        name: name of the run.
        tags: tags of the run.
        lease: the trial; None in all processes but the first.
    """

    name: str
    tags: dict[str, str]
    lease: TrialLease | None
    tokens: int = 0
    speed: float = 0.0

    def report(self, tokens: int, value: float, speed: float) -> bool:
        """Report a validation, and return whether to prune the trial."""
        assert self.lease is not None
        self.tokens, self.speed = tokens, speed
        if not math.isfinite(value):  # a pruner would treat it as merely worse than others
            self.note()
            raise BadInput(f"the validation is {value} after {tokens:,} tokens")
        ended = self.lease.report(tokens, value)
        if ended:  # recorded before its checkpoint is deleted, or it would be trained again after a kill
            self.note()
            self.lease.finish("PRUNED")
        return ended

    def note(self) -> None:
        """Note the cost of the trial so far."""
        assert self.lease is not None
        self.lease.note(tokens=self.tokens, tokens_per_second=round(self.speed))
