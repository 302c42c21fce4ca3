"""What a tracker does, and the one that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class RunRecord:
    """What a tracker is given of a run before it starts.

    Args:
        experiment: group of the run.
        name: ``<experiment>/<arch>-<seed>``.
        params: flat settings.
        tags: what runs are grouped and found by.
        config: resolved settings, as YAML.
        environment: versions, as YAML.
        data_name, data_digest, data_source: the dataset.
        question: that the experiment answers.
        headline: figure by which runs of the experiment are compared.
    """

    experiment: str
    name: str
    params: dict[str, str]
    tags: dict[str, str]
    config: str
    environment: str
    data_name: str
    data_digest: str
    data_source: str
    question: str = ""  # absent in what an older version has noted, as is the next one
    headline: str = ""


PARENT = "mlflow.parentRunId"  # tag by which the UI nests a run
FIGURES = "figures.json"  # of a run's working folder: single figures of the finished run, for the tracker
MEMORY = "tracking.json"  # of a run's working folder: to which run its points go, and how many were sent


class Tracker(Protocol):
    """Follows one run by the history that it writes, so that no step ever waits for a store."""

    def start(self, record: RunRecord, folder: Path) -> None:
        """Open the run whose working folder this is, or go on with it if it was opened before."""

    def log_result(self, folder: Path) -> None:
        """Log the finished run's folder, and its model if that is asked for."""

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Close the run with how it ended; whatever is still unsent goes out first. Whether all of it has gone."""


class NullTracker:
    """Tracks nothing: for machines without MLflow."""

    def start(self, record: RunRecord, folder: Path) -> None:
        """Do nothing."""

    def log_result(self, folder: Path) -> None:
        """Do nothing."""

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Do nothing."""
        return True
