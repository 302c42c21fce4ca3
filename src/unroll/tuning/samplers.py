"""Optuna's samplers by name."""

from __future__ import annotations

from typing import Any

import numpy as np

from unroll.config.study import ChoiceConfig, StudyConfig
from unroll.tuning.backend import (
    BaseDistribution,
    BaseSampler,
    FrozenTrial,
    GPSampler,
    QMCSampler,
    RandomSampler,
    Study,
    TPESampler,
)
from unroll.tuning.space import Values
from unroll.tuning.view import with_same_choice


def build_sampler(config: StudyConfig, slot: int, preset: Values, draw: int) -> BaseSampler:
    """Build the sampler of a slot, seeded by the slot.

    Args:
        config: settings of the study.
        slot: the slot to choose values for.
        preset: values of the slot that are fixed beforehand.
        draw: number of earlier draws for the slot that exceeded the constraints.
    """
    sampler = _sampler(config, preset, _seed(config.seed, slot, draw), draw)
    return sampler if config.balanced is None else BalancedSampler(sampler, config.balanced)


def _sampler(config: StudyConfig, preset: Values, seed: int, draw: int) -> BaseSampler:
    # a Gaussian process learns only from complete trials, so it would repeat draws that exceed the constraints
    if config.sampler.name == "gp" and draw == 0:
        return GPSampler(seed=seed, n_startup_trials=startup(config))
    if config.sampler.name == "tpe":
        grouped = any(part.when for part in config.space.values())
        return TPESampler(seed=seed, n_startup_trials=startup(config), group=grouped)
    if config.sampler.name == "qmc":
        # one sequence over the slots of each balanced choice: if the choices shared a sequence in turn, each would
        # get a different half of some key; values outside the sequence are drawn per slot
        balanced = config.space[config.balanced] if config.balanced is not None else None
        turn = balanced.choices.index(preset[str(config.balanced)]) if isinstance(balanced, ChoiceConfig) else 0
        return QMCSampler(seed=_seed(config.seed, turn), scramble=True, warn_independent_sampling=False,
                          independent_sampler=RandomSampler(seed=seed))  # fmt: skip
    return RandomSampler(seed=seed)  # the values of a grid are fixed beforehand


def _seed(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def startup(config: StudyConfig) -> int:
    """Number of random trials before the sampler learns: a quarter of the trials of each balanced choice.

    At most ten, which is Optuna's default but may be the whole of a short study, and at least two, a good one and a
    bad one.
    """
    assert config.trials is not None  # a grid draws nothing
    balanced = config.space[config.balanced] if config.balanced is not None else None
    choices = len(balanced.choices) if isinstance(balanced, ChoiceConfig) else 1
    return min(10, max(2, config.trials // choices // 4))


class BalancedSampler(BaseSampler):
    """Learns only from trials with the same choice, since good values differ between archs; never draws the choice.

    Args:
        sampler: the sampler that learns from them.
        key: key of the choice.
    """

    def __init__(self, sampler: BaseSampler, key: str) -> None:
        self.sampler, self.key = sampler, key

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Search space of the keys that are sampled jointly."""
        space = self.sampler.infer_relative_search_space(with_same_choice(study, self.key, trial), trial)
        return {key: part for key, part in space.items() if key != self.key}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Sample the values of these keys."""
        return self.sampler.sample_relative(with_same_choice(study, self.key, trial), trial, search_space)

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """Sample the value of any other key."""
        return self.sampler.sample_independent(
            with_same_choice(study, self.key, trial), trial, param_name, param_distribution
        )
