"""A study in Optuna's database.

Its trials fill slots, which are created once. When a worker is killed, its trial passes its slot and values to a new
trial, which resumes from the same checkpoint. So no trial is lost or duplicated, whichever workers run or are killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Callable
from typing import TypeVar

from unroll.config.study import StudyConfig
from unroll.tuning.backend import (
    FrozenTrial,
    StudyDirection,
    TrialState,
    create_study,
    create_trial,
    fail_stale_trials,
    fanova,
)
from unroll.tuning.database import exclusive, open_database, retry
from unroll.tuning.pruners import Budget, build_pruner
from unroll.tuning.samplers import build_sampler
from unroll.tuning.slots import EXCESS, SLOT, SUPERFLUOUS, Slot, by_slot, is_open, slot_of, turn
from unroll.tuning.space import Values
from unroll.tuning.trial_lease import TrialLease

T = TypeVar("T")


class Study:
    """A study, created if it does not exist.

    Args:
        config: settings of the study.
        name: name with the digest of everything that affects the result, so that different trials never mix.
        maximize: whether higher values are better.
        slots: values of each trial that are fixed beforehand.
        budget: budget of a trial.

    Raises:
        BadInput: the database cannot be opened, or belongs to another version or another program.
    """

    def __init__(self, config: StudyConfig, name: str, maximize: bool, slots: list[Values], budget: Budget) -> None:
        self.config, self.name, self.maximize, self.presets = config, name, maximize, slots
        self.budget, self.last_outage = budget, -math.inf
        self.storage = open_database(config)
        pruner = build_pruner(config, budget)
        direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
        self.study = self.retry(lambda: create_study(
            study_name=name, storage=self.storage, direction=direction, pruner=pruner, load_if_exists=True
        ))  # fmt: skip
        self.study_id = self.retry(lambda: self.storage.get_study_id_from_name(name))

    def notes(self) -> dict[str, str]:
        """All notes of the study."""
        return self.retry(lambda: self.study.user_attrs)

    def note(self, key: str, make: Callable[[], str]) -> str:
        """The note with a key; the first process that asks for it creates it."""

        def made() -> str:
            with exclusive(self.storage):
                if key not in self.study.user_attrs:
                    self.study.set_user_attr(key, make())
                return str(self.study.user_attrs[key])

        return self.notes().get(key) or self.retry(made)

    def others(self) -> list[str]:
        """Names of other studies in the database that have trials and differ from this one only in their digest."""
        alike = re.compile(re.escape(self.config.name) + "-[0-9a-f]{12}")
        found = [study for study in self.retry(self.storage.get_all_studies)
                 if alike.fullmatch(study.study_name) and study.study_name != self.name]  # fmt: skip
        return [
            study.study_name
            for study in found
            if self.storage.get_n_trials(self.storage.get_study_id_from_name(study.study_name))
        ]

    def slots(self) -> list[Slot]:
        """The current state of each slot."""
        return [slot_of(number, tried, self.config) for number, tried in sorted(self._by_slot().items())]

    def refill(self) -> None:
        """Fail trials whose worker is gone, and create missing ones: the first of a slot, or one to replace them."""
        self.retry(self._refill)

    def _refill(self) -> None:
        with exclusive(self.storage):
            self._fail_stale()
            self._drop_superfluous()
            made = self._by_slot()
            for number, preset in enumerate(self.presets):
                tried = made.get(number, [])
                if not tried:
                    self.study.enqueue_trial(preset, user_attrs={SLOT: number})
                elif is_open(tried, self.config):
                    self._replace(tried[-1], preset)

    def left(self) -> bool:
        """Whether there is work left, now or if a worker dies."""
        made = self._by_slot()
        return len(made) < len(self.presets) or any(
            tried[-1].state in (TrialState.WAITING, TrialState.RUNNING) or is_open(tried, self.config)
            for tried in made.values()
        )

    def acquire(self) -> TrialLease | None:
        """Take the next waiting trial; None if no trial is waiting."""
        found = self.retry(self._acquire)
        if found is None:
            return None
        trial, tried = found
        slot = int(trial.user_attrs[SLOT])
        # one sampler per slot, since workers with the same seed would draw the same, and per draw over the limits
        drawn = sum(EXCESS in other.user_attrs for other in tried)
        self.study.sampler = build_sampler(self.config, slot, self.presets[slot], drawn)
        return TrialLease(self, self._id_of(trial), slot)

    def importances(self) -> dict[str, float]:
        """Share of the variance of the quality of a finished study explained by each key; empty for too few trials.

        By fANOVA: Hutter, Hoos, Leyton-Brown, ICML 2014. Optuna's default, PED-ANOVA, attributes nearly everything to
        numeric keys when there are as few trials as here. The shares are stored as a note, since the forests take a
        second to start; they are computed outside the lock.
        """
        computed = self.notes().get("importances") or json.dumps(self.retry(self._importances))
        shares: dict[str, float] = json.loads(self.note("importances", lambda: computed))
        return shares

    def _importances(self) -> dict[str, float]:
        complete = [slot for slot in self.slots() if slot.state == "COMPLETE"]
        if len(complete) < 4 or len({slot.value for slot in complete}) < 2:
            return {}
        with contextlib.suppress(ValueError, RuntimeError):  # no key is common to all trials, or none varies
            return {key: float(share) for key, share in fanova(self.study, self.config.seed).items()}
        return {}

    def _acquire(self) -> tuple[FrozenTrial, list[FrozenTrial]] | None:
        with exclusive(self.storage):  # with SQLite, two concurrent workers would both succeed
            waiting = [tried for tried in self._by_slot().values() if tried[-1].state == TrialState.WAITING]
            for tried in sorted(waiting, key=turn):
                trial_id = self._id_of(tried[-1])
                # the heartbeat comes first, so that a worker killed in between is noticed
                self.storage.record_heartbeat(trial_id)
                if self.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    return tried[-1], tried
        return None

    def _fail_stale(self) -> None:
        """Fail trials without a heartbeat, unless the database was unavailable for heartbeats."""
        if time.monotonic() < self.last_outage + self.config.grace:
            return
        fail_stale_trials(self.study)

    def _drop_superfluous(self) -> None:
        """End duplicate trials of a slot, created because the answer to the first request was lost."""
        counted = {trial.number for tried in self._by_slot().values() for trial in tried}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if trial.number not in counted:
                self.storage.set_trial_user_attr(self._id_of(trial), SUPERFLUOUS, True)
                self.storage.set_trial_state_values(self._id_of(trial), TrialState.FAIL)

    def _replace(self, failed: FrozenTrial, preset: Values) -> None:
        attributes = {SLOT: failed.user_attrs[SLOT]}
        if not failed.params or EXCESS in failed.user_attrs:  # killed before its choice, or over the limits
            self.study.enqueue_trial(preset, user_attrs=attributes)
            return
        # keeps the fixed values, the validations and the rungs of Hyperband that the trial has reached
        self.study.add_trial(create_trial(
            state=TrialState.WAITING, params=failed.params, distributions=failed.distributions, user_attrs=attributes,
            system_attrs=failed.system_attrs, intermediate_values=failed.intermediate_values,
        ))  # fmt: skip

    def _by_slot(self) -> dict[int, list[FrozenTrial]]:
        return by_slot(self.retry(lambda: self.study.get_trials(deepcopy=False)))

    def record_outage(self) -> None:
        """Record that the database was unavailable: heartbeats of other workers failed, too."""
        self.last_outage = time.monotonic()

    def retry(self, ask: Callable[[], T]) -> T:
        """Call a function of the database, and retry while the database is unavailable.

        Raises:
            DatabaseGone: the database did not come back.
        """
        return retry(ask, self.config.storage, self.record_outage)

    def _id_of(self, trial: FrozenTrial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study_id, trial.number)
