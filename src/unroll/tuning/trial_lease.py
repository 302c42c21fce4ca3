"""The lease of a trial by one process, from choosing its values to its result."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, TypeVar

from unroll.errors import ProcessLost, Suspended
from unroll.tuning.backend import FrozenTrial, Trial, TrialState, UpdateFinishedTrialError
from unroll.tuning.database import exclusive
from unroll.tuning.slots import EXCESS
from unroll.tuning.space import Values

if TYPE_CHECKING:
    from unroll.tuning.study import Study

T = TypeVar("T")
State = Literal["COMPLETE", "PRUNED", "FAIL"]


class TakenOver(Suspended):
    """Another worker has taken over the trial, since this process sent no heartbeat for too long."""


class TrialLease:
    """A running trial that belongs to this process.

    Args:
        study: the study of the trial.
        trial_id: identifier of the trial in the database.
        slot: number of its slot in the study.
    """

    def __init__(self, study: Study, trial_id: int, slot: int) -> None:
        self.study, self.trial_id, self.slot = study, trial_id, slot
        self.trial = study.retry(lambda: Trial(study.study, trial_id))
        self.last = -1  # tokens at the last report

    @contextlib.contextmanager
    def heartbeat(self) -> Iterator[None]:
        """Record heartbeats of the trial in a background thread."""
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
            except Exception:  # the database may come back
                self.study.record_outage()

    def choose(self, suggest: Callable[[Trial], Values]) -> Values:
        """Choose the values of the trial, one process at a time, so that each knows the values of the others.

        Raises:
            TakenOver: another worker has it.
        """

        def chosen() -> Values:
            with exclusive(self.study.storage):
                self.trial = Trial(self.study.study, self.trial_id)  # has values chosen by an attempt that failed
                return suggest(self.trial)

        return self._retry(chosen)

    def report(self, tokens: int, value: float) -> bool:
        """Report a validation, and return whether to prune the trial.

        Raises:
            TakenOver: another worker has it.
        """
        if tokens <= self.last:  # the end of the budget, right after the last validation
            return False
        self.last = tokens
        known = self._retry(self._running).intermediate_values
        if tokens not in known:  # a run resumed from a checkpoint reports some validations again
            self._retry(lambda: self.trial.report(value, tokens))
        # earlier reports have been judged already, and a trial that has used its budget is complete
        if tokens < max(known, default=0) or tokens >= self.study.budget.tokens:
            return False
        return bool(self._retry(self.trial.should_prune))

    def note(self, **notes: object) -> None:
        """Store notes about the trial.

        Raises:
            TakenOver: another worker has it.
        """
        for key, value in notes.items():
            self._retry(lambda: self.trial.set_user_attr(key, value))  # noqa: B023

    def constrain(self, excess: str | None) -> None:
        """End the trial untrained if it exceeds the constraints; its slot then gets another draw.

        Args:
            excess: description of what is exceeded; None if nothing is.

        Raises:
            TakenOver: another worker has it.
        """
        if not self._retry(lambda: self.trial.constraints):
            self._retry(lambda: self.trial.set_constraint("cost", -1.0 if excess is None else 1.0))
        if excess is not None:
            self.note(**{EXCESS: excess})
            self.finish("PRUNED")

    def check_finished(self) -> None:
        """Check that the processes of the trial have recorded how it ended.

        Raises:
            ProcessLost: they have not.
        """
        if self._state() == TrialState.RUNNING:
            raise ProcessLost("its processes ended without reporting a result.")

    def finish(self, state: State, value: float | None = None) -> None:
        """Record how the trial ended, unless another worker has taken it over."""
        self.study.retry(lambda: self.study.study.tell(self.trial, value, TrialState[state], skip_if_finished=True))

    def release(self) -> None:
        """Return the trial with its values and checkpoint, for another worker to continue.

        Not retried: if the answer was lost, another worker may already have the trial; if the request was lost, the
        trial is found to have no heartbeat.
        """
        with contextlib.suppress(Exception):
            self.study.storage.set_trial_state_values(self.trial_id, TrialState.WAITING)

    def _running(self) -> FrozenTrial:
        trial = self.study.storage.get_trial(self.trial_id)
        if trial.state != TrialState.RUNNING:
            raise UpdateFinishedTrialError
        return trial

    def _state(self) -> TrialState:
        return self.study.retry(lambda: self.study.storage.get_trial(self.trial_id)).state

    def _retry(self, ask: Callable[[], T]) -> T:
        try:
            return self.study.retry(ask)
        except UpdateFinishedTrialError:
            raise TakenOver(f"Trial {self.slot} sent no heartbeat for {self.study.config.grace} seconds, so another "
                            "worker has taken it over.") from None  # fmt: skip
