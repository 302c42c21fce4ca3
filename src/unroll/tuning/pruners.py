"""Optuna's pruners by name; their steps are tokens."""

from __future__ import annotations

import copy
from typing import NamedTuple

from unroll.config.study import StudyConfig
from unroll.tuning.backend import BasePruner, FrozenTrial, HyperbandPruner, MedianPruner, NopPruner, Study
from unroll.tuning.balancing import with_same_choice
from unroll.tuning.slots import SLOT, is_lost


class Budget(NamedTuple):
    """Budget of each trial: tokens, and the number of validations, evenly spaced."""

    tokens: int
    validations: int


def build_pruner(config: StudyConfig, budget: Budget) -> BasePruner:
    """Build the pruner of a study."""
    pruner, tokens = config.pruner, budget.tokens
    if pruner.name == "median":
        median = MedianPruner(n_startup_trials=pruner.startup_trials, n_warmup_steps=round(pruner.warmup * tokens))
        return median if config.balanced is None else BalancedPruner(median, config.balanced)
    if pruner.name == "hyperband":
        return SlotHyperbandPruner(min_resource=tokens // budget.validations, max_resource=tokens,
                                   reduction_factor=pruner.reduction)  # fmt: skip
    return NopPruner()


class SlotHyperbandPruner(HyperbandPruner):
    """Hyperband that assigns brackets to slots instead of trials.

    A lost trial is not counted beside the trial that replaces it and continues with its rungs.
    """

    def _get_bracket_id(self, study: Study, trial: FrozenTrial) -> int:
        if is_lost(trial):
            return -1
        by_slot = copy.copy(trial)
        by_slot.number = int(trial.user_attrs[SLOT])
        return super()._get_bracket_id(study, by_slot)


class BalancedPruner(BasePruner):
    """Compares a trial only with trials of the same choice: one arch may learn more slowly than another, but better.

    Args:
        pruner: the pruner that compares them.
        key: key of the choice.
    """

    def __init__(self, pruner: BasePruner, key: str) -> None:
        self.pruner, self.key = pruner, key

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune the trial."""
        return self.pruner.prune(with_same_choice(study, self.key, trial), trial)
