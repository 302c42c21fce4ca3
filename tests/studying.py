"""Studies that the tests share: small ones, and what is done to them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import yaml

from unroll.config import CONF, StudyConfig, StudySettings, compose_study
from unroll.tuning.job import Job, full_name
from unroll.tuning.pruners import Budget
from unroll.tuning.space import Values
from unroll.tuning.study import Study
from unroll.tuning.trial_lease import TrialLease

ROOT = Path(__file__).parent.parent
BUDGET = Budget(tokens=1_000, validations=4)
RATE = {"low": 1e-3, "high": 1e-1, "log": True}
TINY: dict[str, Any] = {
    "question": "Does it work?",
    "experiment": "adding",
    "settings": {"data.generator": None, "data.train": "data/small/train.series",
                 "data.validation": "data/small/validation.series", "data.test": "data/small/test.series",
                 "training.tokens": 800, "training.validations": 4, "training.batch_size": 4, "tracking": "none",
                 "training.checkpoint_seconds": 0.001, "arch.encoder.hidden_size": 4},
    "space": {"arch": ["lstm", "gru"], "training.optimizer.learning_rate": RATE},
    "trials": 4,
    "balanced": None,
    "pruner": {"name": "none"},
    "heartbeat": 1,
    "grace": 3,
}  # fmt: skip


def write_study(name: str = "tiny", **differences: Any) -> StudySettings:
    """Write a study below conf/ of the current folder, and read it."""
    text = yaml.safe_dump({**TINY, **differences}, sort_keys=False)
    (CONF / "study").mkdir(exist_ok=True)
    (CONF / "study" / f"{name}.yaml").write_text(text, encoding="utf-8")
    return compose_study(name)


def job_of(settings: StudySettings, parent: str | None = None) -> Job:
    """A study as a worker gets it, its data prepared."""
    unnamed = Job(settings, "", None, None)
    return replace(unnamed, name=full_name(unnamed), parent=parent)


def config_of(storage: str, **differences: Any) -> StudyConfig:
    """Settings of a study that trains nothing."""
    defaults = yaml.safe_load((ROOT / "conf" / "study.yaml").read_text(encoding="utf-8"))
    space = {"x": {"low": 0.0, "high": 1.0}}
    given = {**TINY, "name": "s", "space": space, "storage": storage, **differences}
    given |= {key: {**defaults[key], **given.get(key, {})} for key in ("sampler", "pruner")}
    return StudyConfig.model_validate({**defaults, **given})


def open_study(storage: str, presets: list[Values] | None = None, **differences: Any) -> Study:
    """A study in a database, of as many trials as it has, or of these."""
    config = config_of(storage, **differences)
    return Study(config, "s-1", False, presets or [{}] * (config.trials or 1), BUDGET)


def suggest(trial: Any) -> Values:
    """A number between 0 and 1."""
    return {"x": trial.suggest_float("x", 0.0, 1.0)}


def complete(lease: TrialLease) -> None:
    """Choose, report and tell, as a worker does."""
    value = lease.choose(suggest)["x"]
    for tokens in (250, 500, 750, 1_000):
        if lease.report(tokens, value):
            lease.finish("PRUNED")
            return
    lease.finish("COMPLETE", value)


def complete_all(study: Study) -> None:
    """Work until nothing is left."""
    while study.left():
        study.refill()
        lease = study.acquire()
        assert lease is not None
        complete(lease)


def forget(storage: str, *trial_ids: int) -> None:
    """Set back the last signs of life by an hour; of all trials if none are named."""
    chosen = f"WHERE trial_id IN ({','.join(map(str, trial_ids))})" if trial_ids else ""
    with sqlite3.connect(storage.removeprefix("sqlite:///")) as database:
        database.execute(f"UPDATE trial_heartbeats SET heartbeat = datetime('now', '-1 hour') {chosen}")


def killed(function: Callable[[], Any]) -> None:
    """Do something in a process that is killed in the middle of it, by itself."""
    process = get_context("fork").Process(target=function)
    process.start()
    process.join()
    assert process.exitcode == -9


def die(*_: Any, **__: Any) -> None:
    """Be killed."""
    os.kill(os.getpid(), 9)
