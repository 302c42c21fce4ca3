"""What chooses the values of a trial, and what ends it early: Optuna's samplers and pruners, by name."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, cast

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial

from unroll.config.study import ChoiceConfig, StudyConfig
from unroll.tuning.slots import SLOT, is_lost
from unroll.tuning.space import Values


class Budget(NamedTuple):
    """What every trial may spend: tokens, and the validations on the way, evenly spaced."""

    tokens: int
    validations: int


def build_sampler(config: StudyConfig, slot: int, preset: Values, draw: int) -> BaseSampler:
    """Sampler by name, its draws those of a slot.

    Args:
        config: of the study.
        slot: for which values are chosen.
        preset: what is set of it beforehand.
        draw: how many were chosen before that cost too much.
    """
    sampler = _sampler(config, preset, _seed(config.seed, slot, draw), draw)
    return sampler if config.balanced is None else Apart(sampler, config.balanced)


def _sampler(config: StudyConfig, preset: Values, seed: int, draw: int) -> BaseSampler:
    # a Gaussian process learns from complete trials alone: what cost too much it would draw again and again
    if config.sampler.name == "gp" and draw == 0:
        return GPSampler(seed=seed, n_startup_trials=startup(config))
    if config.sampler.name == "tpe":
        grouped = any(part.when for part in config.space.values())
        return TPESampler(seed=seed, n_startup_trials=startup(config), group=grouped)
    if config.sampler.name == "qmc":
        # the points of the slots are one sequence, of each balanced choice its own: of one sequence that is dealt out
        # in turn, each would get another half of some key; what is no part of it is a slot's own
        balanced = config.space[config.balanced] if config.balanced is not None else None
        turn = balanced.choices.index(preset[str(config.balanced)]) if isinstance(balanced, ChoiceConfig) else 0
        return QMCSampler(seed=_seed(config.seed, turn), scramble=True, warn_independent_sampling=False,
                          independent_sampler=RandomSampler(seed=seed))  # fmt: skip
    return RandomSampler(seed=seed)  # of a grid all is set beforehand


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def startup(config: StudyConfig) -> int:
    """Trials that are drawn at random before the others learn from them: a quarter of those of each balanced choice.

    No more than ten, which is Optuna's number, and would be all that a short study has; and no fewer than two, a good
    one and a bad one.
    """
    assert config.trials is not None  # of a grid nothing is drawn
    balanced = config.space[config.balanced] if config.balanced is not None else None
    choices = len(balanced.choices) if isinstance(balanced, ChoiceConfig) else 1
    return min(10, max(2, config.trials // choices // 4))


class Apart(BaseSampler):
    """Chooses the values of a trial by those alone that have made the same choice: what is good for one arch is not
    what is good for another, and the choice itself is not to be made.

    Args:
        sampler: that learns from them.
        key: of the choice.
    """

    def __init__(self, sampler: BaseSampler, key: str) -> None:
        self.sampler, self.key = sampler, key

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The keys that are drawn together."""
        space = self.sampler.infer_relative_search_space(same(study, self.key, trial), trial)
        return {key: part for key, part in space.items() if key != self.key}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Values of those."""
        return self.sampler.sample_relative(same(study, self.key, trial), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Value of another key."""
        return self.sampler.sample_independent(same(study, self.key, trial), trial, param_name, param_distribution)


def build_pruner(config: StudyConfig, budget: Budget) -> BasePruner:
    """Pruner by name, its steps tokens."""
    pruner, tokens = config.pruner, budget.tokens
    if pruner.name == "median":
        median = MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=round(pruner.warmup * tokens))
        return median if config.balanced is None else Within(median, config.balanced)
    if pruner.name == "hyperband":
        return Brackets(min_resource=tokens // budget.validations, max_resource=tokens,
                        reduction_factor=pruner.reduction)  # fmt: skip
    return NopPruner()


class Brackets(HyperbandPruner):
    """Hyperband with a bracket for each slot, in which a trial that was lost is not counted beside the one that goes on
    in its place, and that has its rungs."""

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        if is_lost(trial):
            return -1
        by_slot = copy.copy(trial)
        by_slot.number = int(trial.user_attrs[SLOT])
        return super()._get_bracket_id(study, by_slot)


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
        return self.pruner.prune(same(study, self.key, trial), trial)


class _Same:
    """A study of which only those trials are seen that have made one choice."""

    def __init__(self, study: optuna.Study, key: str, value: object) -> None:
        self.study, self.key, self.value = study, key, value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.study, name)

    def get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        return self._of_them(self.study.get_trials(*arguments, **named))

    def _get_trials(self, *arguments: Any, **named: Any) -> list[FrozenTrial]:
        return self._of_them(self.study._get_trials(*arguments, **named))

    def _of_them(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if _preset(trial, self.key) == self.value]


def same(study: optuna.Study, key: str, trial: FrozenTrial) -> optuna.Study:
    """A study as a trial sees it that is compared with those of its own choice alone.

    Args:
        study: with all trials.
        key: of the choice.
        trial: that has made it.
    """
    return cast("optuna.Study", _Same(study, key, _preset(trial, key)))


def _preset(trial: FrozenTrial, key: str) -> object:
    """The value of a key that was set of a trial before any was chosen."""
    return trial.system_attrs["fixed_params"][key]
