"""A study in Optuna's database: the only module that imports it.

Its trials are slots, made once and for all: a trial whose worker was killed gives its slot, with the values that it
had, to another trial, which goes on from the same checkpoint. So none is lost, and none is there twice, whoever works
at the study, and whenever he is killed.
"""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
import optuna
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

from unroll.config.study import StudyConfig
from unroll.errors import BadInput, ProcessLost
from unroll.tuning.space import Values

optuna.logging.set_verbosity(optuna.logging.ERROR)

T = TypeVar("T")
SLOT, ERROR, BEATING, SUPERFLUOUS, EXCESS = "slot", "error", "beating", "superfluous", "excess"  # of a trial
DRAWS = 1_000  # of which one must cost no more than it may
PATIENCE = 60.0  # seconds for which a database that is gone is waited for
State = Literal["COMPLETE", "PRUNED", "FAIL"]


class Budget(NamedTuple):
    """What every trial may spend: tokens, and the validations on the way, evenly spaced."""

    tokens: int
    validations: int


@dataclass(frozen=True)
class Slot:
    """What has become of one of a study's trials.

    Args:
        number: from 0.
        state: of its last trial: also ``RUNNING`` and ``WAITING``.
        values: what was tried.
        value: best validation, or the last one of a trial that was ended early; None where there was none.
        reports: validation by tokens.
        notes: what was noted of it: figures, costs, error.
        seconds: from its first trial's start to its last one's end; None while it goes on.
    """

    number: int
    state: str
    values: Values
    value: float | None
    reports: dict[int, float]
    notes: dict[str, Any]
    seconds: float | None


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
        self.storage = open_storage(config)
        pruner = build_pruner(config, budget)
        direction = StudyDirection.MAXIMIZE if maximize else StudyDirection.MINIMIZE
        self._patiently(lambda: optuna.create_study(study_name=name, storage=self.storage, direction=direction,
                                                    load_if_exists=True))  # fmt: skip
        self.study = optuna.load_study(study_name=name, storage=self.storage, pruner=pruner)

    def notes(self) -> dict[str, str]:
        """What was noted of the study."""
        return self._patiently(lambda: self.study.user_attrs)

    def note(self, key: str, make: Callable[[], str]) -> str:
        """What was noted of the study under a key; made and noted if nothing was."""
        if key not in self.notes():
            value = make()
            self._patiently(lambda: self.study.set_user_attr(key, value))
        return self.notes()[key]

    def others(self, prefix: str) -> list[str]:
        """Names of the other studies in the database that begin alike."""
        found = self._patiently(self.storage.get_all_studies)
        names = [study.study_name for study in found]
        return [name for name in names if name.startswith(prefix) and name != self.name]

    def slots(self) -> list[Slot]:
        """Every slot as it stands."""
        by_slot = self._by_slot()
        return [_slot(number, by_slot[number]) for number in sorted(by_slot)]

    def refill(self) -> None:
        """Let go of trials whose worker is gone, and make what is lacking: a first trial, or one in place of those."""
        self._patiently(self._release)
        by_slot = self._by_slot()
        for number, preset in enumerate(self.presets):
            tried = by_slot.get(number, [])
            if not tried:
                self._patiently(lambda: self.study.enqueue_trial(preset, user_attrs={SLOT: number}))  # noqa: B023
            elif self._is_open(tried):
                self._patiently(lambda: self._again(tried[-1], preset))  # noqa: B023

    def left(self) -> bool:
        """Whether there is something to be done, now or if a worker dies."""
        by_slot = self._by_slot()
        return len(by_slot) < len(self.presets) or any(
            tried[-1].state in (TrialState.WAITING, TrialState.RUNNING) or self._is_open(tried)
            for tried in by_slot.values()
        )

    def claim(self) -> Claim | None:
        """A waiting trial, which is from now on this process's own; None where none waits."""
        return self._patiently(self._claim)

    def importances(self) -> dict[str, float]:
        """How much of the variance of the quality each key explains; nothing where too few trials tell.

        By fANOVA: Hutter, Hoos, Leyton-Brown, ICML 2014. Optuna's own choice, PED-ANOVA, gives nearly all to whatever
        is no choice but a number, where trials are as few as here. They are noted when the study is finished: the
        forests take a second to begin.
        """
        if self.left():
            return self._importances()
        shares: dict[str, float] = json.loads(self.note("importances", lambda: json.dumps(self._importances())))
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

    def _claim(self) -> Claim | None:
        study_id = self.storage.get_study_id_from_name(self.name)
        for waiting in self.storage.get_all_trials(study_id, deepcopy=False, states=(TrialState.WAITING,)):
            trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, waiting.number)
            try:
                if not self.storage.set_trial_state_values(trial_id, TrialState.RUNNING):
                    continue  # another worker was faster
            except UpdateFinishedTrialError:
                continue
            self.storage.record_heartbeat(trial_id)
            self.storage.set_trial_user_attr(trial_id, BEATING, True)
            slot = int(waiting.user_attrs[SLOT])
            if waiting.number not in [trial.number for trial in self._by_slot()[slot]]:
                # two processes that refilled at the same time made it twice
                self.storage.set_trial_user_attr(trial_id, SUPERFLUOUS, True)
                self.storage.set_trial_state_values(trial_id, TrialState.FAIL)
                continue
            # a sampler per slot: workers with one seed would all draw the same
            self.study.sampler = build_sampler(self.config, slot)
            return Claim(self, Trial(self.study, trial_id), trial_id, slot)
        return None

    def _release(self) -> None:
        with _no_warnings():
            fail_stale_trials(self.study)
        before = datetime.now(UTC) - timedelta(seconds=self.config.grace)
        study_id = self.storage.get_study_id_from_name(self.name)
        for trial in self.study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if trial.user_attrs.get(BEATING):
                continue
            begun = trial.datetime_start
            assert begun is not None
            if begun.astimezone(UTC) < before:  # killed before it gave a sign of life
                with contextlib.suppress(UpdateFinishedTrialError):
                    trial_id = self.storage.get_trial_id_from_study_id_trial_number(study_id, trial.number)
                    self.storage.set_trial_state_values(trial_id, TrialState.FAIL)

    def _again(self, failed: FrozenTrial, preset: Values) -> None:
        attributes = {SLOT: failed.user_attrs[SLOT]}
        if not failed.params or EXCESS in failed.user_attrs:  # it was killed before it had chosen, or chose too much
            self.study.enqueue_trial(preset, user_attrs=attributes)
            return
        self.study.add_trial(create_trial(state=TrialState.WAITING, params=failed.params, user_attrs=attributes,
                                          distributions=failed.distributions))  # fmt: skip

    def _by_slot(self) -> dict[int, list[FrozenTrial]]:
        found: dict[int, list[FrozenTrial]] = {}
        for trial in self._patiently(lambda: self.study.get_trials(deepcopy=False)):
            if not trial.user_attrs.get(SUPERFLUOUS):
                found.setdefault(int(trial.user_attrs[SLOT]), []).append(trial)
        # a slot that was made twice has one trial more that waits; the first one is it
        return {slot: [trial for number, trial in enumerate(tried) if _counts(tried, number)]
                for slot, tried in found.items()}  # fmt: skip

    def _is_open(self, tried: list[FrozenTrial]) -> bool:
        """Whether the last trial of a slot was not finished, so that it gets another one."""
        if EXCESS in tried[-1].user_attrs:
            return len(tried) < DRAWS
        lost = [trial for trial in tried if EXCESS not in trial.user_attrs]
        is_lost = tried[-1].state == TrialState.FAIL and ERROR not in tried[-1].user_attrs
        return is_lost and len(lost) <= self.config.retries

    def _patiently(self, ask: Callable[[], T]) -> T:
        return patiently(ask, self.config.storage)


class Claim:
    """A trial that this process is at.

    Args:
        study: it is of.
        trial: Optuna's.
        trial_id: its number in the database.
        slot: its number in the study.
    """

    def __init__(self, study: Study, trial: Trial, trial_id: int, slot: int) -> None:
        self.study, self.trial, self.trial_id, self.slot = study, trial, trial_id, slot
        self.lost = False  # another worker has taken it over
        self.last = -1  # tokens of the last report

    @classmethod
    def of(cls, study: Study, trial_id: int, slot: int) -> Claim:
        """A trial that another process of this trial has claimed, and beats for."""
        return cls(study, Trial(study.study, trial_id), trial_id, slot)

    @contextlib.contextmanager
    def beating(self) -> Iterator[None]:
        """Say again and again that this process is at it."""
        ended = threading.Event()
        thread = threading.Thread(target=self._beat, args=(ended,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()

    def _beat(self, ended: threading.Event) -> None:
        while not ended.wait(self.study.config.heartbeat):
            with contextlib.suppress(Exception):  # a database that is gone may come back before the grace is over
                self.study.storage.record_heartbeat(self.trial_id)
                self.lost = self.study.storage.get_trial(self.trial_id).state != TrialState.RUNNING

    def report(self, tokens: int, value: float) -> bool:
        """Report a validation; whether the trial is to end here."""
        if self.lost:
            return True
        if tokens <= self.last:  # the end of the budget, just after the last validation
            return False
        self.last = tokens
        known = self.study._patiently(lambda: self.study.storage.get_trial(self.trial_id)).intermediate_values
        if tokens not in known:  # a run that goes on from a checkpoint comes by again
            self.study._patiently(lambda: self.trial.report(value, tokens))
        return bool(self.study._patiently(self.trial.should_prune))

    def note(self, **notes: Any) -> None:
        """Note what is known of the trial."""
        for key, value in notes.items():
            self.study._patiently(lambda: self.trial.set_user_attr(key, value))  # noqa: B023

    def constrain(self, excess: str | None) -> None:
        """End the trial untrained if it would cost more than it may; its slot then gets another one.

        Args:
            excess: by what it would, in words; None if it would not.
        """
        self.study._patiently(lambda: self.trial.set_constraint("cost", -1.0 if excess is None else 1.0))
        if excess is not None:
            self.note(**{EXCESS: excess})
            self.tell("PRUNED")

    def check_told(self) -> None:
        """Make sure that the processes of the trial have told what came of it.

        Raises:
            ProcessLost: they have not.
        """
        state = self.study._patiently(lambda: self.study.storage.get_trial(self.trial_id)).state
        if state == TrialState.RUNNING:
            raise ProcessLost("its processes have ended without a word.")

    def tell(self, state: State, value: float | None = None) -> None:
        """End the trial; one that another worker has taken over is the other's."""
        with _no_warnings():
            self.study._patiently(
                lambda: self.study.study.tell(self.trial, value, TrialState[state], skip_if_finished=True)
            )


def open_storage(config: StudyConfig) -> RDBStorage:
    """Optuna's database; one of SQLite is made by one process at a time.

    Raises:
        BadInput: it cannot be opened, or is another version's or somebody else's.
    """
    url = config.storage
    arguments = {"timeout": 60} if url.startswith("sqlite") else {}
    options: dict[str, Any] = {"pool_pre_ping": True, "connect_args": arguments}
    try:
        with _alone(url), _no_warnings():
            return RDBStorage(url, engine_kwargs=options, heartbeat_interval=config.heartbeat,
                              grace_period=config.grace)  # fmt: skip
    except ModuleNotFoundError as error:
        raise BadInput(f"storage={url} needs the package {error.name}: pip install 'unroll[postgres]'") from None
    except Exception as error:  # whatever the database's driver raises
        reason = " ".join(str(error).split())[:200]
        raise BadInput(f"Optuna's database {url} cannot be opened ({reason}); mend storage, or name another database, "
                       "not MLflow's.") from None  # fmt: skip


@contextlib.contextmanager
def _alone(url: str) -> Iterator[None]:
    """Keep other processes from making the tables of a file at the same time."""
    if not url.startswith("sqlite:///"):
        yield
        return
    import fcntl

    database = Path(url.removeprefix("sqlite:///"))
    database.parent.mkdir(parents=True, exist_ok=True)
    with database.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def patiently(ask: Callable[[], T], storage: str) -> T:
    """Ask a database that may be gone for a while.

    Raises:
        BadInput: it has not come back.
    """
    from sqlalchemy.exc import OperationalError

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (StorageInternalError, OperationalError) as error:
            if time.monotonic() > until:
                reason = " ".join(str(error).split())[:160]
                raise BadInput(f"Optuna's database {storage} is gone ({reason}); bring it back and start the same "
                               "command again, which goes on.") from None  # fmt: skip
            time.sleep(1)


def build_sampler(config: StudyConfig, slot: int) -> BaseSampler:
    """Sampler by name, its draws those of a slot."""
    seed = int(np.random.SeedSequence([config.seed, slot]).generate_state(1)[0])
    with _no_warnings():
        if config.sampler.name == "tpe":
            return TPESampler(seed=seed, group=any(part.when for part in config.space.values()))
        if config.sampler.name == "gp":
            return GPSampler(seed=seed)
        if config.sampler.name == "qmc":  # the points of all slots are one sequence
            return QMCSampler(seed=config.seed, scramble=True, warn_independent_sampling=False)
        return RandomSampler(seed=seed)  # of a grid all is set beforehand


def build_pruner(config: StudyConfig, budget: Budget) -> BasePruner:
    """Pruner by name, its steps tokens."""
    pruner, tokens = config.pruner, budget.tokens
    if pruner.name == "median":
        median = MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=round(pruner.warmup * tokens))
        return median if config.balanced is None else Within(median, config.balanced)
    if pruner.name == "hyperband":
        return HyperbandPruner(min_resource=tokens // budget.validations, max_resource=tokens,
                               reduction_factor=pruner.reduction)  # fmt: skip
    return NopPruner()


class Within(BasePruner):
    """Prunes a trial by those alone that have made the same choice: one arch may learn later than another, and better.

    Args:
        pruner: that compares them.
        key: of the choice.
    """

    def __init__(self, pruner: BasePruner, key: str) -> None:
        self.pruner, self.key = pruner, key

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Whether the trial is to end."""
        return self.pruner.prune(cast("optuna.Study", _Same(study, self.key, trial.params[self.key])), trial)


class _Same:
    """As much of a study as a pruner looks at: trials that have made one choice."""

    def __init__(self, study: optuna.Study, key: str, value: object) -> None:
        self.study, self.direction, self.key, self.value = study, study.direction, key, value

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        found = self.study.get_trials(deepcopy=deepcopy, states=states)
        return [trial for trial in found if trial.params.get(self.key) == self.value]


def _counts(tried: list[FrozenTrial], number: int) -> bool:
    """Whether a trial is its slot's: not a second one, beside one that was there before and is not lost."""
    return all(other.state == TrialState.FAIL or EXCESS in other.user_attrs for other in tried[:number])


def _slot(number: int, tried: list[FrozenTrial]) -> Slot:
    last = tried[-1]
    begun = min((trial.datetime_start for trial in tried if trial.datetime_start), default=None)
    seconds = (last.datetime_complete - begun).total_seconds() if last.datetime_complete and begun else None
    notes = {key: value for key, value in last.user_attrs.items() if key not in (SLOT, BEATING)}
    return Slot(number, last.state.name, dict(last.params), last.value if last.values else None,
                dict(last.intermediate_values), notes, seconds)  # fmt: skip


@contextlib.contextmanager
def _no_warnings() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
