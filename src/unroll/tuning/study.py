"""A study in Optuna's database.

Its trials are slots, made once and for all: a trial whose worker was killed gives its slot, with the values that it
had, to another trial, which goes on from the same checkpoint. So none is lost, and none is there twice, whoever works
at the study, and whenever he is killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import time
from collections.abc import Callable
from typing import TypeVar

import optuna
from optuna.storages import fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from unroll.config.study import StudyConfig
from unroll.tuning.choosing import Budget, build_pruner, build_sampler
from unroll.tuning.claim import Claim
from unroll.tuning.database import alone, open_database, patiently
from unroll.tuning.slots import EXCESS, SLOT, SUPERFLUOUS, Slot, by_slot, is_open, slot_of, turn
from unroll.tuning.space import Values

optuna.logging.set_verbosity(optuna.logging.ERROR)

T = TypeVar("T")


class Study:
    """A study, made if it is not there yet.

    Args:
        config: its settings.
        name: with the digest of all that decides its result, so that unlike trials never mix.
        maximize: whether a greater value is better.
        slots: values that are set of each trial beforehand.
        budget: of a trial.

    Raises:
        BadInput: the database cannot be opened, or is another version's or somebody else's.
    """

    def __init__(self, config: StudyConfig, name: str, maximize: bool, slots: list[Values], budget: Budget) -> None:
        self.config, self.name, self.maximize, self.presets = config, name, maximize, slots
        self.budget, self.silence = budget, -math.inf
        self.storage = open_database(config)
        pruner = build_pruner(config, budget)
        direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
        self.study = self.patiently(lambda: optuna.create_study(
            study_name=name, storage=self.storage, direction=direction, pruner=pruner, load_if_exists=True
        ))  # fmt: skip

    def notes(self) -> dict[str, str]:
        """What was noted of the study."""
        return self.patiently(lambda: self.study.user_attrs)

    def note(self, key: str, make: Callable[[], str]) -> str:
        """What was noted of the study under a key; made and noted if nothing was, by one process alone."""

        def made() -> str:
            with alone(self.storage):
                if key not in self.study.user_attrs:
                    self.study.set_user_attr(key, make())
                return str(self.study.user_attrs[key])

        return self.notes().get(key) or self.patiently(made)

    def others(self) -> list[str]:
        """Names of other studies in the database that have trials, and that only their digests tell from this one."""
        alike = re.compile(re.escape(self.config.name) + "-[0-9a-f]{12}")
        found = [study for study in self.patiently(self.storage.get_all_studies)
                 if alike.fullmatch(study.study_name) and study.study_name != self.name]  # fmt: skip
        return [study.study_name for study in found if self.storage.get_n_trials(study._study_id)]

    def slots(self) -> list[Slot]:
        """Every slot as it stands."""
        return [slot_of(number, tried, self.config) for number, tried in sorted(self._by_slot().items())]

    def refill(self) -> None:
        """Let go of trials whose worker is gone, and make what is lacking: a first trial, or one in place of those."""
        self.patiently(self._refill)

    def _refill(self) -> None:
        with alone(self.storage):
            self._release()
            self._drop_superfluous()
            made = self._by_slot()
            for number, preset in enumerate(self.presets):
                tried = made.get(number, [])
                if not tried:
                    self.study.enqueue_trial(preset, user_attrs={SLOT: number})
                elif is_open(tried, self.config):
                    self._again(tried[-1], preset)

    def left(self) -> bool:
        """Whether there is something to be done, now or if a worker dies."""
        made = self._by_slot()
        return len(made) < len(self.presets) or any(
            tried[-1].state in (TrialState.WAITING, TrialState.RUNNING) or is_open(tried, self.config)
            for tried in made.values()
        )

    def claim(self) -> Claim | None:
        """A waiting trial, which is from now on this process's own; None where none waits."""
        found = self.patiently(self._claim)
        if found is None:
            return None
        trial, tried = found
        slot = int(trial.user_attrs[SLOT])
        # a sampler per slot: workers with one seed would all draw the same; and per draw that cost too much
        drawn = sum(EXCESS in other.user_attrs for other in tried)
        self.study.sampler = build_sampler(self.config, slot, self.presets[slot], drawn)
        return Claim(self, self._id_of(trial), slot)

    def importances(self) -> dict[str, float]:
        """How much of the variance of the quality of a finished study each key explains; nothing where too few tell.

        By fANOVA: Hutter, Hoos, Leyton-Brown, ICML 2014. Optuna's own choice, PED-ANOVA, gives nearly all to whatever
        is no choice but a number, where trials are as few as here. They are noted, since the forests take a second
        to begin, and found before the others are kept waiting for the note.
        """
        told = self.notes().get("importances") or json.dumps(self.patiently(self._importances))
        shares: dict[str, float] = json.loads(self.note("importances", lambda: told))
        return shares

    def _importances(self) -> dict[str, float]:
        complete = [slot for slot in self.slots() if slot.state == "COMPLETE"]
        if len(complete) < 4 or len({slot.value for slot in complete}) < 2:
            return {}
        with contextlib.suppress(ValueError, RuntimeError):  # no key is common to all trials, or none varies
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=self.config.seed)
            shares = optuna.importance.get_param_importances(self.study, evaluator=evaluator)
            return {key: float(share) for key, share in shares.items()}
        return {}

    def _claim(self) -> tuple[FrozenTrial, list[FrozenTrial]] | None:
        with alone(self.storage):  # two that claim at once in a file of SQLite would both be told that they have it
            waiting = [tried for tried in self._by_slot().values() if tried[-1].state == TrialState.WAITING]
            for tried in sorted(waiting, key=turn):
                trial_id = self._id_of(tried[-1])
                # a sign of life comes first: who is killed in between is missed, like everybody else
                self.storage.record_heartbeat(trial_id)
                if self.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    return tried[-1], tried
        return None

    def _release(self) -> None:
        """Give up trials without a sign of life, unless there was no database to give it to."""
        if time.monotonic() < self.silence + self.config.grace:
            return
        fail_stale_trials(self.study)

    def _drop_superfluous(self) -> None:
        """End what a slot has twice: the answer to its first making was lost."""
        counted = {trial.number for tried in self._by_slot().values() for trial in tried}
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.WAITING,)):
            if trial.number not in counted:
                self.storage.set_trial_user_attr(self._id_of(trial), SUPERFLUOUS, True)
                self.storage.set_trial_state_values(self._id_of(trial), TrialState.FAIL)

    def _again(self, failed: FrozenTrial, preset: Values) -> None:
        attributes = {SLOT: failed.user_attrs[SLOT]}
        if not failed.params or EXCESS in failed.user_attrs:  # it was killed before it had chosen, or chose too much
            self.study.enqueue_trial(preset, user_attrs=attributes)
            return
        # with all that is known of it: what was preset, its validations, the rungs of Hyperband that it has climbed
        self.study.add_trial(create_trial(
            state=TrialState.WAITING, params=failed.params, distributions=failed.distributions, user_attrs=attributes,
            system_attrs=failed.system_attrs, intermediate_values=failed.intermediate_values,
        ))  # fmt: skip

    def _by_slot(self) -> dict[int, list[FrozenTrial]]:
        return by_slot(self.patiently(lambda: self.study.get_trials(deepcopy=False)))

    def missed(self) -> None:
        """Note that the database was gone: others could not give it a sign of life either."""
        self.silence = time.monotonic()

    def patiently(self, ask: Callable[[], T]) -> T:
        """Ask the database, which may be gone for a while.

        Raises:
            DatabaseGone: it has not come back.
        """
        return patiently(ask, self.config.storage, self.missed)

    def _id_of(self, trial: FrozenTrial) -> int:
        return self.storage.get_trial_id_from_study_id_trial_number(self.study._study_id, trial.number)
