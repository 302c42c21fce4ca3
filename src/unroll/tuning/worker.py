"""A process that tries what a study asks for, one trial after the other, until nothing is left.

``python -m unroll.tuning.worker JOB``; ``unroll tune`` starts as many as it was told. A trial that trains in several
processes is one of these: the worker asks, and starts them with what it was told.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from unroll.config import Config
from unroll.errors import BadInput, ProcessLost
from unroll.experiment import Busy, Pruned, train
from unroll.launching import end_with_the_launcher, launch, place
from unroll.tuning.cost import flops, parameters
from unroll.tuning.job import Job, judged
from unroll.tuning.space import Values
from unroll.tuning.study import Claim

POLL = 0.5  # seconds between two looks for a trial, where others are at the last ones


def main(arguments: Sequence[str]) -> int:
    """Work at a study, or train a trial together with other processes."""
    end_with_the_launcher()
    job = Job.loads(arguments[0])
    try:
        if len(arguments) > 1:
            _train_together(job, json.loads(arguments[1]))
        else:
            work(job)
    except BadInput as error:
        print(f"unroll: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def work(job: Job) -> None:
    """Try what waits, and take over what others have left, until nothing is left."""
    study = job.open()
    while study.left():
        study.refill()
        claim = study.claim()
        if claim is None:
            time.sleep(POLL)
            continue
        with claim.beating():
            attempt(job, claim)


def attempt(job: Job, claim: Claim) -> None:
    """Choose the values of a trial, train it, and tell what came of it."""
    values = job.space.suggested(claim.trial)
    try:
        config = job.space.run(values)
        excess = job.space.excess(config)
        claim.constrain(excess)
        if excess is None:
            _train(job, claim, values, config)
    except Pruned:
        claim.tell("PRUNED")
    except (KeyboardInterrupt, ProcessLost, Busy) as error:
        claim.tell("FAIL")  # without an error of its own: its slot gets another trial, which goes on
        if isinstance(error, KeyboardInterrupt):
            raise
        print(f"unroll: trial {claim.slot}: {error}", file=sys.stderr)
        time.sleep(job.settings.study.heartbeat)
    except Exception as error:  # whatever one network does to itself, the others are tried
        claim.note(error=f"{type(error).__name__}: {error}"[:500])
        claim.tell("FAIL")


def _train(job: Job, claim: Claim, values: Values, config: Config) -> None:
    spec = job.spec_of(config)
    width = getattr(config.arch, "hidden_size", None)
    claim.note(parameters=parameters(config, spec), flops=flops(config, spec), hidden_size=width)
    devices = config.training.devices
    if devices > 1:
        together = {"slot": claim.slot, "trial_id": claim.trial_id, "values": values}
        launch(devices, [job.dumps(), json.dumps(together)], "unroll.tuning.worker")
        claim.check_told()
        return
    _train_and_tell(job, claim, config)


def _train_and_tell(job: Job, claim: Claim, config: Config) -> None:
    watch = Watch(f"{job.settings.study.name}/{claim.slot:03}", _tags(job, claim.slot), claim)
    try:
        figures = train(config, job.prepared_for(config), job.folder / f"{claim.slot:03}", trial=watch)
    finally:
        if watch.tokens:
            claim.note(tokens=watch.tokens, tokens_per_second=round(watch.speed))
    if claim.lost:
        return
    metric, _ = judged(config)
    claim.note(figures=figures)
    if not math.isfinite(figures[metric]):
        raise BadInput(f"the best validation {metric} is {figures[metric]}")
    claim.tell("COMPLETE", figures[metric])


def _train_together(job: Job, together: dict[str, Any]) -> None:
    """Be one of the processes that train a trial; the first one reports and tells."""
    config = job.space.run(together["values"])
    if place().rank > 0:
        try:
            train(config, job.prepared_for(config), job.folder / f"{together['slot']:03}", trial=Watch("", {}, None))
        except Pruned:
            return
        return
    claim = Claim.of(job.open(), together["trial_id"], together["slot"])
    try:
        _train_and_tell(job, claim, config)
    except Pruned:
        claim.tell("PRUNED")
    except BadInput as error:
        claim.note(error=str(error)[:500])
        claim.tell("FAIL")


def _tags(job: Job, slot: int) -> dict[str, str]:
    tags = {"study": job.settings.study.name, "trial": str(slot)}
    return tags if job.parent is None else {**tags, "mlflow.parentRunId": job.parent}


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
        return self.claim.report(tokens, value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
