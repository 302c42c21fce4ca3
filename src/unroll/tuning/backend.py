"""The only module that imports Optuna: the parts of it that tuning uses, with its logging and warnings configured."""

import warnings

import optuna
from optuna import Study
from optuna.distributions import BaseDistribution
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.pruners import BasePruner, MedianPruner, NopPruner, SuccessiveHalvingPruner
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import StudyDirection, create_study
from optuna.trial import FrozenTrial, Trial, TrialState, create_trial

optuna.logging.set_verbosity(optuna.logging.ERROR)


def ignore_experimental_warnings() -> None:
    """Silence warnings about experimental features, such as heartbeats, which the tests of this package cover.

    The filter is set for good, since a temporary one is not safe with threads.
    """
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def fanova(study: Study, seed: int) -> dict[str, float]:
    """Shares of the variance explained by each key, by fANOVA. Imports scikit-learn, which workers do not need.

    Raises:
        ValueError, RuntimeError: no key is common to all trials, or none varies.
    """
    from optuna.importance import FanovaImportanceEvaluator, get_param_importances

    shares: dict[str, float] = get_param_importances(study, evaluator=FanovaImportanceEvaluator(seed=seed))
    return shares


__all__ = [
    "BaseDistribution", "BasePruner", "BaseSampler", "FrozenTrial", "GPSampler",
    "MedianPruner", "NopPruner", "QMCSampler", "RDBStorage", "RandomSampler", "StorageInternalError", "Study",
    "StudyDirection", "SuccessiveHalvingPruner", "TPESampler", "Trial", "TrialState", "UpdateFinishedTrialError",
    "create_study", "create_trial", "fail_stale_trials", "fanova", "ignore_experimental_warnings",
]  # fmt: skip
