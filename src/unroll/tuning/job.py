"""The job that all workers of a study share."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from unroll import preparation
from unroll.config import Config, StudyConfig, StudySettings
from unroll.data.batch import DataSpec
from unroll.metrics import Metric
from unroll.plugins import loaded
from unroll.tracking.provenance import code_digest, digest_of
from unroll.tuning.pruners import Budget
from unroll.tuning.space import Space
from unroll.tuning.study import Study

if TYPE_CHECKING:
    from unroll.experiment.prepared_data import PreparedData

JOB = "UNROLL_JOB"  # environment variable with the job; arguments would expose passwords to other users
STUDIES = Path("studies")  # Optuna's databases and the runs of trials


@dataclass(frozen=True)
class Job:
    """A study as passed to a worker.

    Args:
        settings: settings of the study.
        name: name with the digest of everything that affects the result.
        prepared: folder with ``fit/``; None to use the cache.
        parent: run of the study in MLflow; None without tracking.
    """

    settings: StudySettings
    name: str
    prepared: str | None
    parent: str | None

    def dumps(self) -> str:
        """Serialise the job."""
        return json.dumps({"study": self.settings.study.model_dump(mode="json"), "bases": self.settings.bases,
                           "name": self.name, "prepared": self.prepared, "parent": self.parent})  # fmt: skip

    @classmethod
    def loads(cls, text: str) -> Job:
        """Restore a job from :meth:`dumps`."""
        content = json.loads(text)
        settings = StudySettings(StudyConfig.model_validate(content["study"]), content["bases"])
        return cls(settings, content["name"], content["prepared"], content["parent"])

    @cached_property
    def space(self) -> Space:
        """The search space."""
        return Space(self.settings, self.spec_of, self.longest_of)

    @cached_property
    def first(self) -> Config:
        """The first run of the study, for settings that all runs share."""
        return self.settings.first()

    @cached_property
    def folders(self) -> dict[str, Path]:
        """Folders of prepared data by data settings."""
        return {}

    def prepared_for(self, config: Config) -> Path:
        """Folder with ``fit/`` for a run."""
        if self.prepared is not None:
            return Path(self.prepared)
        key = config.data.model_dump_json()
        if key not in self.folders:
            self.folders[key] = preparation.prepared(config.data)
        return self.folders[key]

    def spec_of(self, config: Config) -> DataSpec:
        """Sizes of the data of a run."""
        return self._data_of(config).spec

    def longest_of(self, config: Config) -> int:
        """Number of steps of the longest training sequence of a run."""
        return int(self._data_of(config).split("train")[config.task.description.lengths[0]].lengths.max())

    def _data_of(self, config: Config) -> PreparedData:
        from unroll.experiment.prepared_data import PreparedData  # imports lightning, which few studies need

        return PreparedData.to_train(config, self.prepared_for(config))

    @property
    def folder(self) -> Path:
        """Folder of the runs of the trials."""
        return STUDIES / self.name

    def open(self) -> Study:
        """Open the study in its database."""
        budget = Budget(self.first.training.tokens, self.first.training.validations)
        is_higher_better = not monitored(self.first).lower
        return Study(self.settings.study, self.name, is_higher_better, self.space.slots(), budget)


def monitored(config: Config) -> Metric:
    """The metric that validations of a run report to the study."""
    return config.task.description.monitor(config.role_fields, config.task.options)


def full_name(job: Job) -> str:
    """Name of a study with the digest of its space, data, code and budget.

    Args:
        job: the study, without its name.

    Raises:
        BadInput: the data are not prepared.
    """
    settings = job.settings
    if job.prepared is not None:
        job.spec_of(job.first)  # refuses a folder of another corpus
    runs = [job.first]
    if any(key.partition(".")[0] in ("data", "task") for key in settings.study.space):  # trials read several corpora
        runs = [settings.run(corner) for corner in job.space.corners()]
    data = sorted({digest_of([job.prepared_for(run) / "fit"]) for run in runs})
    code = "".join([code_digest("tuning"), *loaded().values()])
    return f"{settings.study.name}-{settings.digest(' '.join(data), code)[:12]}"
