"""Slots: the trials of a study, each with the sequence of Optuna's trials that fill it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from unroll.config.study import StudyConfig
from unroll.tuning.backend import FrozenTrial, TrialState
from unroll.tuning.space import Values

SLOT, ERROR, SUPERFLUOUS, EXCESS = "slot", "error", "superfluous", "excess"  # keys of notes
DRAWS = 1_000  # attempts to draw values within the constraints


@dataclass(frozen=True)
class Slot:
    """The state of one slot.

    Args:
        number: number of the slot, from 0.
        state: state of its last trial; ``WAITING`` also if another trial is to follow, and ``TOO_COSTLY`` if it was not
            trained because every draw exceeded the constraints.
        values: values of the last trial.
        value: best validation, or the last one of a pruned trial; None without a validation.
        reports: validations by tokens.
        notes: notes about the trial: figures, costs, error, excess.
        seconds: time from the start of its first trial to the end of its last one; None while it is running.
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
        """Tokens read up to the last validation, even if the worker was killed before noting them."""
        return max(int(self.notes.get("tokens", 0)), *self.reports, 0)


def slot_of(number: int, tried: list[FrozenTrial], config: StudyConfig) -> Slot:
    """The current state of a slot.

    Args:
        number: number of the slot.
        tried: its trials, oldest first.
        config: settings of the study.
    """
    last = tried[-1]
    begun = min((trial.datetime_start for trial in tried if trial.datetime_start), default=None)
    seconds = (last.datetime_complete - begun).total_seconds() if last.datetime_complete and begun else None
    notes = {key: value for key, value in last.user_attrs.items() if key != SLOT}
    state = "WAITING" if is_open(tried, config) else last.state.name
    if EXCESS in notes and state in ("PRUNED", "FAIL"):  # recorded as pruned in Optuna
        state = "TOO_COSTLY"
    if state == "FAIL":
        lost = sum(EXCESS not in trial.user_attrs for trial in tried)
        notes.setdefault(ERROR, f"its worker was lost {lost} times")
    return Slot(number, state, dict(last.params), last.value if last.values else None, dict(last.intermediate_values),
                notes, seconds)  # fmt: skip


def by_slot(trials: Iterable[FrozenTrial]) -> dict[int, list[FrozenTrial]]:
    """The trials of each slot, oldest first, without duplicates of a slot that was created twice."""
    found: dict[int, list[FrozenTrial]] = {}
    for trial in trials:
        if not trial.user_attrs.get(SUPERFLUOUS):
            found.setdefault(int(trial.user_attrs[SLOT]), []).append(trial)
    return {
        slot: [trial for number, trial in enumerate(tried) if _counts(tried, number)] for slot, tried in found.items()
    }


def _counts(tried: list[FrozenTrial], number: int) -> bool:
    """Whether a trial belongs to its slot and does not duplicate an earlier trial that is still valid."""
    return all(other.state == TrialState.FAIL or EXCESS in other.user_attrs for other in tried[:number])


def is_open(tried: list[FrozenTrial], config: StudyConfig) -> bool:
    """Whether a slot needs another trial, since its last one did not finish."""
    if EXCESS in tried[-1].user_attrs:  # a grid would draw the same values again
        return len(tried) < DRAWS and config.sampler.name != "grid"
    lost = [trial for trial in tried if EXCESS not in trial.user_attrs]
    return is_lost(tried[-1]) and len(lost) <= config.retries


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial ended without reporting a result, so that its slot may get another one."""
    return trial.state == TrialState.FAIL and ERROR not in trial.user_attrs


def turn(tried: list[FrozenTrial]) -> tuple[float, int]:
    """Sort key of waiting slots: new ones first, then those that were released the longest ago."""
    begun = tried[-1].datetime_start
    return (begun.timestamp() if begun else 0.0), int(tried[-1].user_attrs[SLOT])
