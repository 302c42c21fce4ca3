"""Pruners by name; their steps are tokens."""

from __future__ import annotations

import binascii
import math
from itertools import accumulate
from typing import NamedTuple

from unroll.config.study import StudyConfig
from unroll.tuning.backend import BasePruner, FrozenTrial, MedianPruner, NopPruner, Study, SuccessiveHalvingPruner
from unroll.tuning.slots import SLOT, is_lost
from unroll.tuning.view import restricted, with_same_choice


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
        return SlotHyperbandPruner(tokens // budget.validations, tokens, pruner.reduction)
    return NopPruner()


class SlotHyperbandPruner(BasePruner):
    """Hyperband: Li et al., JMLR 2018, with asynchronous successive halving (Li et al., MLSys 2020) in each bracket.

    Brackets are assigned to slots, not to trials: a lost trial is not counted beside the trial that replaces it, which
    continues with its rungs.

    Args:
        shortest: tokens at the first rung of the first bracket.
        longest: tokens of a complete trial.
        reduction: 1 in this many trials is promoted at each rung.
    """

    def __init__(self, shortest: int, longest: int, reduction: int) -> None:
        count = math.floor(math.log(longest / shortest, reduction)) + 1
        self.halvings = [SuccessiveHalvingPruner(shortest, reduction, rate) for rate in range(count)]
        # a bracket gets trials in proportion to the number with which it starts in the paper
        left = range(count - 1, -1, -1)
        self.shares = [math.ceil(count * reduction**rungs / (rungs + 1)) for rungs in left]

    def bracket(self, study: Study, trial: FrozenTrial) -> int:
        """Bracket of the slot of a trial, the same in every process."""
        place = binascii.crc32(f"{study.study_name}_{trial.user_attrs[SLOT]}".encode()) % sum(self.shares)
        ends = accumulate(self.shares)
        return next(number for number, end in enumerate(ends) if place < end)

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether to prune the trial."""
        bracket = self.bracket(study, trial)

        def competes(other: FrozenTrial) -> bool:
            return not is_lost(other) and self.bracket(study, other) == bracket

        return self.halvings[bracket].prune(restricted(study, competes), trial)


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
