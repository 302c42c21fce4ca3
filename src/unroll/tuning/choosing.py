"""What chooses the values of a trial, and what ends it early: Optuna's samplers and pruners, by name."""

from __future__ import annotations

import copy
from collections.abc import Container
from typing import NamedTuple, cast

import numpy as np
import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner, NopPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.trial import FrozenTrial, TrialState

from unroll.config.study import StudyConfig
from unroll.tuning.claim import ERROR, SLOT


class Budget(NamedTuple):
    """What every trial may spend: tokens, and the validations on the way, evenly spaced."""

    tokens: int
    validations: int


def build_sampler(config: StudyConfig, slot: int, draw: int) -> BaseSampler:
    """Sampler by name, its draws those of a slot.

    Args:
        config: of the study.
        slot: for which values are chosen.
        draw: how many were chosen before that cost too much.
    """
    seed = int(np.random.SeedSequence([config.seed, slot, draw]).generate_state(1)[0])
    if config.sampler.name == "tpe":
        return TPESampler(seed=seed, group=any(part.when for part in config.space.values()))
    if config.sampler.name == "gp":
        return GPSampler(seed=seed)
    if config.sampler.name == "qmc":  # the points of all slots are one sequence, what is no part of it is a slot's own
        return QMCSampler(seed=config.seed, scramble=True, independent_sampler=RandomSampler(seed=seed),
                          warn_independent_sampling=False)  # fmt: skip
    return RandomSampler(seed=seed)  # of a grid all is set beforehand


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
        return self.pruner.prune(cast("optuna.Study", _Same(study, self.key, trial.params[self.key])), trial)


class _Same:
    """As much of a study as a pruner looks at: trials that have made one choice."""

    def __init__(self, study: optuna.Study, key: str, value: object) -> None:
        self.study, self.direction, self.key, self.value = study, study.direction, key, value

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        found = self.study.get_trials(deepcopy=deepcopy, states=states)
        return [trial for trial in found if trial.params.get(self.key) == self.value]


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial has ended without having been told of, so that its slot may get another one."""
    return trial.state == TrialState.FAIL and ERROR not in trial.user_attrs
