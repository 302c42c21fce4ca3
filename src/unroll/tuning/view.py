"""Views of a study restricted to some of its trials, for samplers and pruners."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Any, cast

from unroll.tuning.backend import FrozenTrial, Study, TrialState

States = Container[TrialState] | None


class _View:
    """A study that shows only some of its trials; everything else is that of the study."""

    def __init__(self, study: Study, shows: Callable[[FrozenTrial], bool]) -> None:
        self.study, self.shows = study, shows

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)

    def get_trials(self, deepcopy: bool = True, states: States = None) -> list[FrozenTrial]:
        return [trial for trial in self.study.get_trials(deepcopy, states) if self.shows(trial)]

    def _get_trials(self, deepcopy: bool = True, states: States = None, **_: bool) -> list[FrozenTrial]:
        """As called by Optuna's samplers, which also ask for a cache."""
        return self.get_trials(deepcopy, states)


def restricted(study: Study, shows: Callable[[FrozenTrial], bool]) -> Study:
    """The study restricted to some of its trials.

    Args:
        study: the study with all trials.
        shows: whether the restricted study has a trial.
    """
    return cast("Study", _View(study, shows))


def with_same_choice(study: Study, key: str, trial: FrozenTrial) -> Study:
    """The study restricted to the trials with the same choice as a trial.

    Args:
        study: the study with all trials.
        key: key of the choice.
        trial: the trial that has made it.
    """
    value = _preset(trial, key)
    return restricted(study, lambda other: _preset(other, key) == value)


def _preset(trial: FrozenTrial, key: str) -> object:
    """The value of a key that was fixed before any value of the trial was chosen."""
    return trial.system_attrs["fixed_params"][key]
