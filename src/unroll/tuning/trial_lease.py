"""A trial that a process is at, from its values to what came of it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial, Trial, TrialState

from unroll.errors import ProcessLost, Suspended
from unroll.tuning.database import alone
from unroll.tuning.slots import EXCESS
from unroll.tuning.space import Values

if TYPE_CHECKING:
    from unroll.tuning.study import Study

T = TypeVar("T")
State = Literal["COMPLETE", "PRUNED", "FAIL"]


class TakenOver(Suspended):
    """A trial whose process gave no sign of life, so that another one has taken it over."""


class Claim:
    """A trial that this process is at.

    Args:
        study: it is of.
        trial_id: its number in the database.
        slot: its number in the study.
    """

    def __init__(self, study: Study, trial_id: int, slot: int) -> None:
        self.study, self.trial_id, self.slot = study, trial_id, slot
        self.trial = study.patiently(lambda: Trial(study.study, trial_id))
        self.last = -1  # tokens of the last report

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
            try:
                self.study.storage.record_heartbeat(self.trial_id)
            except Exception:  # a database that is gone may come back
                self.study.missed()

    def chosen(self, suggest: Callable[[Trial], Values]) -> Values:
        """Its values, chosen by one process at a time, each of which so knows what the others try.

        Raises:
            TakenOver: another worker has it.
        """

        def choose() -> Values:
            with alone(self.study.storage):
                self.trial = Trial(self.study.study, self.trial_id)  # knows what was chosen before the answer was lost
                return suggest(self.trial)

        return self._ask(choose)

    def report(self, tokens: int, value: float) -> bool:
        """Report a validation; whether the trial is to end here.

        Raises:
            TakenOver: another worker has it.
        """
        if tokens <= self.last:  # the end of the budget, just after the last validation
            return False
        self.last = tokens
        known = self._ask(self._running).intermediate_values
        if tokens not in known:  # a run that goes on from a checkpoint comes by again
            self._ask(lambda: self.trial.report(value, tokens))
        # what was reported before was judged then; and who has spent the budget may keep what it bought
        if tokens < max(known, default=0) or tokens >= self.study.budget.tokens:
            return False
        return bool(self._ask(self.trial.should_prune))

    def note(self, **notes: Any) -> None:
        """Note what is known of the trial.

        Raises:
            TakenOver: another worker has it.
        """
        for key, value in notes.items():
            self._ask(lambda: self.trial.set_user_attr(key, value))  # noqa: B023

    def constrain(self, excess: str | None) -> None:
        """End the trial untrained if it would cost more than it may; its slot then gets another one.

        Args:
            excess: by what it would, in words; None if it would not.

        Raises:
            TakenOver: another worker has it.
        """
        if not self._ask(lambda: self.trial.constraints):
            self._ask(lambda: self.trial.set_constraint("cost", -1.0 if excess is None else 1.0))
        if excess is not None:
            self.note(**{EXCESS: excess})
            self.tell("PRUNED")

    def check_told(self) -> None:
        """Make sure that the processes of the trial have told what came of it.

        Raises:
            ProcessLost: they have not.
        """
        if self._state() == TrialState.RUNNING:
            raise ProcessLost("its processes have ended without a word.")

    def tell(self, state: State, value: float | None = None) -> None:
        """End the trial; one that another worker has taken over is the other's."""
        self.study.patiently(lambda: self.study.study.tell(self.trial, value, TrialState[state], skip_if_finished=True))

    def put_back(self) -> None:
        """Leave the trial, its values and its checkpoint to whoever claims it next.

        It is asked once: where the answer is lost, somebody may have claimed it already, and where it was not heard,
        the trial is found without a sign of life.
        """
        with contextlib.suppress(Exception):
            self.study.storage.set_trial_state_values(self.trial_id, TrialState.WAITING)

    def _running(self) -> FrozenTrial:
        trial = self.study.storage.get_trial(self.trial_id)
        if trial.state != TrialState.RUNNING:
            raise UpdateFinishedTrialError
        return trial

    def _state(self) -> TrialState:
        return self.study.patiently(lambda: self.study.storage.get_trial(self.trial_id)).state

    def _ask(self, ask: Callable[[], T]) -> T:
        try:
            return self.study.patiently(ask)
        except UpdateFinishedTrialError:
            raise TakenOver(f"Trial {self.slot} gave no sign of life for {self.study.config.grace} seconds, so another "
                            "worker goes on with it.") from None  # fmt: skip
