"""A view of a study restricted to the trials of one choice, for samplers and pruners of balanced studies."""

from __future__ import annotations

from typing import Any, cast

from unroll.tuning.backend import FrozenTrial, Study


class _SameChoice:
    """A study that shows only the trials that have made one choice."""

    def __init__(self, study: Study, key: str, value: object) -> None:
        self.study, self.key, self.value = study, key, value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)

    def get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        return self._matching(self.study.get_trials(*arguments, **named))

    def _get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:  # called by Optuna's samplers
        return self._matching(self.study._get_trials(*arguments, **named))

    def _matching(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if _preset(trial, self.key) == self.value]


def with_same_choice(study: Study, key: str, trial: FrozenTrial) -> Study:
    """The study restricted to the trials with the same choice as a trial.

    Args:
        study: the study with all trials.
        key: key of the choice.
        trial: the trial that has made it.
    """
    return cast("Study", _SameChoice(study, key, _preset(trial, key)))


def _preset(trial: FrozenTrial, key: str) -> object:
    """The value of a key that was fixed before any value of the trial was chosen."""
    return trial.system_attrs["fixed_params"][key]
