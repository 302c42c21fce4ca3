"""What has become of a study's trials: slots, each with the trials that Optuna has of it, one after the other."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, TrialState

from unroll.config.study import StudyConfig
from unroll.tuning.space import Values

SLOT, ERROR, SUPERFLUOUS, EXCESS = "slot", "error", "superfluous", "excess"  # noted of a trial
DRAWS = 1_000  # of which one must cost no more than it may


@dataclass(frozen=True)
class Slot:
    """What has become of one of a study's trials.

    Args:
        number: from 0.
        state: of its last trial: also ``RUNNING``, ``WAITING`` where another one is to come, and ``TOO_COSTLY``, not
            trained, where all that was drawn would cost more than it may.
        values: what was tried.
        value: best validation, or the last one of a trial that was ended early; None where there was none.
        reports: validation by tokens.
        notes: what was noted of it: figures, costs, error, excess.
        seconds: from its first trial's start to its last one's end; None while it goes on.
    """

    number: int
    state: str
    values: Values
    value: float | None
    reports: dict[int, float]
    notes: dict[str, Any]
    seconds: float | None

    @property
    def tokens(self) -> int:
        """Tokens read up to the last validation, also where the worker was killed before it noted them."""
        return max(int(self.notes.get("tokens", 0)), *self.reports, 0)


def slot_of(number: int, tried: list[FrozenTrial], config: StudyConfig) -> Slot:
    """A slot as it stands.

    Args:
        number: of the slot.
        tried: its trials, oldest first.
        config: of the study.
    """
    last = tried[-1]
    begun = min((trial.datetime_start for trial in tried if trial.datetime_start), default=None)
    seconds = (last.datetime_complete - begun).total_seconds() if last.datetime_complete and begun else None
    notes = {key: value for key, value in last.user_attrs.items() if key != SLOT}
    state = "WAITING" if is_open(tried, config) else last.state.name
    if EXCESS in notes and state in ("PRUNED", "FAIL"):  # Optuna knows it as one that was pruned
        state = "TOO_COSTLY"
    if state == "FAIL":
        lost = sum(EXCESS not in trial.user_attrs for trial in tried)
        notes.setdefault(ERROR, f"its worker was lost {lost} times")
    return Slot(number, state, dict(last.params), last.value if last.values else None, dict(last.intermediate_values),
                notes, seconds)  # fmt: skip


def by_slot(trials: Iterable[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """The trials of each slot, oldest first; a slot that was made twice has one more that waits, and is left out."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if not trial.user_attrs.get(SUPERFLUOUS):
            found.setdefault(int(trial.user_attrs[SLOT]), []).append(trial)
    return {slot: [trial for number, trial in enumerate(tried) if _counts(tried, number)]
            for slot, tried in found.items()}  # fmt: skip


def _counts(tried: list[FrozenTrial], number: int) -> bool:
    """Whether a trial is its slot's: not a second one, beside one that was there before and is not lost."""
    return all(other.state == TrialState.FAIL or EXCESS in other.user_attrs for other in tried[:number])


def is_open(tried: list[FrozenTrial], config: StudyConfig) -> bool:
    """Whether the last trial of a slot was not finished, so that it gets another one."""
    if EXCESS in tried[-1].user_attrs:  # of a grid the same would be drawn again
        return len(tried) < DRAWS and config.sampler.name != "grid"
    lost = [trial for trial in tried if EXCESS not in trial.user_attrs]
    return is_lost(tried[-1]) and len(lost) <= config.retries


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial has ended without having been told of, so that its slot may get another one."""
    return trial.state == TrialState.FAIL and ERROR not in trial.user_attrs


def turn(tried: list[FrozenTrial]) -> tuple[float, int]:
    """By which slots are begun: first those that never were, and then what was put back longest ago."""
    begun = tried[-1].datetime_start
    return (begun.timestamp() if begun else 0.0), int(tried[-1].user_attrs[SLOT])
