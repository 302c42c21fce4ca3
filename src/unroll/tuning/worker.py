"""A process that tries what a study asks for, one trial after the other, until nothing is left.

``python -m unroll.tuning LAUNCHER``, LAUNCHER being the number of the process that starts it, with the job in
the environment; ``unroll tune`` starts as many as it was told. A trial that trains in several processes is one of
these: the worker asks, and starts them with what it was told.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unroll.config import Config
from unroll.credentials import without_secrets
from unroll.errors import BadInput, ProcessLost, Suspended, Unavailable, is_lack_of_memory, lack_of_memory
from unroll.experiment import Busy, Pruned, finished, train
from unroll.interruption import Interruption
from unroll.launching import end_with_the_launcher, launch, place
from unroll.tracking.tracker import PARENT
from unroll.tuning.claim import Claim, TakenOver
from unroll.tuning.cost import flops, parameters
from unroll.tuning.job import JOB, Job, monitored
from unroll.tuning.space import Values

# by which status the processes of a trial tell the worker what it is to do
STATUS: dict[type[BadInput], int] = {Unavailable: os.EX_UNAVAILABLE, Busy: os.EX_TEMPFAIL}
POLL = 0.5  # seconds between two looks for a trial, where others are at the last ones


def main(arguments: Sequence[str]) -> int:
    """Work at a study, or train a trial together with other processes."""
    launcher, *together = arguments
    end_with_the_launcher(int(launcher))
    job = Job.loads(os.environ[JOB])
    try:
        if together:
            _train_together(job, json.loads(together[0]))
        else:
            work(job)
    except BadInput as error:
        print(f"unroll: {without_secrets(str(error))}", file=sys.stderr)
        return STATUS.get(type(error), 2) if together else 2
    except ProcessLost as error:
        print(f"unroll: {without_secrets(str(error))}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def work(job: Job) -> None:
    """Try what waits, and take over what others have left, until nothing is left."""
    study = job.open()
    with Interruption() as interruption:
        while study.left():
            interruption.heed()
            study.refill()
            claim = study.claim()
            if claim is None:
                time.sleep(POLL)
                continue
            with claim.beating():
                attempt(job, claim)


def attempt(job: Job, claim: Claim) -> None:
    """Choose the values of a trial, train it, and tell what came of it.

    Raises:
        KeyboardInterrupt: it was asked to end; the trial waits for another worker.
        Unavailable: what all trials need is not there; this one waits until a worker is started again.
        DatabaseGone: it cannot be told; the trial will be missed.
    """
    try:
        with _telling(claim):
            values = claim.chosen(job.space.suggested)
            config = job.space.run(values)
            excess = job.space.excess(config)
            claim.constrain(excess)
            if excess is None:
                _train(job, claim, values, config)
    except (KeyboardInterrupt, Unavailable):
        claim.put_back()
        raise
    except (Busy, ProcessLost, TakenOver) as error:
        print(f"unroll: trial {claim.slot}: {error}", file=sys.stderr)
        if isinstance(error, Busy):  # whoever had it before is still at it
            claim.put_back()
        else:  # without an error of its own: its slot gets another trial, which goes on
            claim.tell("FAIL")
        time.sleep(job.settings.study.heartbeat)


@contextlib.contextmanager
def _telling(claim: Claim) -> Iterator[None]:
    """Tell of a trial that it went wrong, where that is its own fault: the others are tried all the same.

    Raises:
        Unavailable: the fault is the machine's, and would be found in every other trial.
    """
    try:
        yield
    except Pruned:
        pass  # told by its report
    except (Busy, ProcessLost, Suspended):
        raise
    except OSError as error:  # of its files or connections
        where = error.filename or "a file or a connection"
        raise Unavailable(f"{where}: {error.strerror or error}; fix that, and start the same command again.") from error
    except Exception as error:  # whatever one network does to itself
        error = lack_of_memory(error) if is_lack_of_memory(error) else error
        told = str(error) if isinstance(error, BadInput) else f"{type(error).__name__}: {error}"
        claim.note(error=without_secrets(told)[:500])
        claim.tell("FAIL")


def _train(job: Job, claim: Claim, values: Values, config: Config) -> None:
    spec = job.spec_of(config)
    width = getattr(config.arch, "hidden_size", None)
    claim.note(parameters=parameters(config, spec), flops=flops(config, spec), hidden_size=width)
    figures = finished(config, job.prepared_for(config), _folder(job, claim.slot))
    if figures is not None:  # its worker was killed before it could tell
        _tell(job, claim, figures)
    elif config.training.devices == 1:
        _train_and_tell(job, claim, config)
    else:
        _launch(job, claim, values, config.training.devices)


def _train_and_tell(job: Job, claim: Claim, config: Config) -> None:
    watch = Watch(f"{job.settings.study.name}/{claim.slot:03}", _tags(job, claim.slot), claim)
    figures = train(config, job.prepared_for(config), _folder(job, claim.slot), trial=watch)
    if watch.tokens:
        watch.note()
    _tell(job, claim, figures)


def _tell(job: Job, claim: Claim, figures: dict[str, float]) -> None:
    metric = monitored(job.first).name
    claim.note(figures=figures)
    if not math.isfinite(figures[metric]):
        raise BadInput(f"the best validation {metric} is {figures[metric]}")
    claim.tell("COMPLETE", figures[metric])


def _launch(job: Job, claim: Claim, values: Values, devices: int) -> None:
    """Train in several processes, the first of which tells."""
    together = {"slot": claim.slot, "trial_id": claim.trial_id, "values": values}
    os.environ[JOB] = job.dumps()
    try:
        launch(devices, [str(os.getpid()), json.dumps(together)], "unroll.tuning")
    except SystemExit as ended:  # the parent puts back what must be, so that nobody claims it in between
        if ended.code == STATUS[Unavailable]:
            raise Unavailable(f"Trial {claim.slot} could not go on, as its processes say above.") from None
        if ended.code == STATUS[Busy]:
            raise Busy("it waits for the process that is named above.") from None
        if ended.code != 2:  # a signal, such as that of Ctrl-C
            raise KeyboardInterrupt from None
    claim.check_told()  # after bad input, which they have told, too


def _train_together(job: Job, together: dict[str, Any]) -> None:
    """Be one of the processes that train a trial; the first one reports and tells."""
    config, slot = job.space.run(together["values"]), together["slot"]
    if place().rank > 0:
        with contextlib.suppress(Pruned):
            train(config, job.prepared_for(config), _folder(job, slot), trial=Watch("", {}, None))
        return
    claim = Claim(job.open(), together["trial_id"], slot)
    with _telling(claim):
        _train_and_tell(job, claim, config)


def _folder(job: Job, slot: int) -> Path:
    """Where the run of a trial goes."""
    return job.folder / f"{slot:03}"


def _tags(job: Job, slot: int) -> dict[str, str]:
    tags = {"study": job.settings.study.name, "trial": str(slot)}
    return tags if job.parent is None else {**tags, PARENT: job.parent}


@dataclass
class Watch:
    """What a trial's training tells its study.

    Args:
        name: of the run.
        tags: of the run.
        claim: the trial; None in all processes but the first.
    """

    name: str
    tags: dict[str, str]
    claim: Claim | None
    tokens: int = 0
    speed: float = 0.0

    def report(self, tokens: int, value: float, speed: float) -> bool:
        """Report a validation; whether the trial is to end."""
        assert self.claim is not None
        self.tokens, self.speed = tokens, speed
        if not math.isfinite(value):  # a pruner would take it for a trial that others beat
            self.note()
            raise BadInput(f"the validation is {value} after {tokens:,} tokens")
        ended = self.claim.report(tokens, value)
        if ended:  # told before its checkpoint is gone, or a kill in between would have it trained again
            self.note()
            self.claim.tell("PRUNED")
        return ended

    def note(self) -> None:
        """Note what the trial has spent."""
        assert self.claim is not None
        self.claim.note(tokens=self.tokens, tokens_per_second=round(self.speed))
