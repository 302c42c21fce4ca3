"""What a tracker does, and the one that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class RunRecord:
    """What a tracker is told of a run before it starts.

    Args:
        experiment: group of the run.
        name: ``<experiment>/<arch>-<seed>``.
        params: flat settings.
        tags: what runs are grouped and found by.
        config: resolved settings, as YAML.
        environment: versions, as YAML.
        data_name, data_digest, data_source: the dataset.
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


class Tracker(Protocol):
    """Follows one run."""

    def start(self, record: RunRecord) -> None:
        """Open the run."""

    def log_metrics(self, values: dict[str, float], tokens: int) -> None:
        """Add a point to each curve; must not hold up training."""

    def log_result(self, folder: Path) -> None:
        """Log the finished run's folder, and its model if that is asked for."""

    def end(self, status: Status) -> None:
        """Close the run; whatever is still unsent goes out first."""


class NullTracker:
    """Tracks nothing: for machines without MLflow."""

    def start(self, record: RunRecord) -> None:
        """Do nothing."""

    def log_metrics(self, values: dict[str, float], tokens: int) -> None:
        """Do nothing."""

    def log_result(self, folder: Path) -> None:
        """Do nothing."""

    def end(self, status: Status) -> None:
        """Do nothing."""
