"""The interface of a tracker, and a tracker that does nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class RunRecord:
    """Metadata of a run that a tracker receives before training.

    Args:
        experiment: name of the experiment.
        name: ``<experiment>/<arch>-<seed>``.
        params: flat settings.
        tags: tags for grouping and searching.
        config: resolved settings, as YAML.
        environment: versions, as YAML.
        data_name, data_digest, data_source: the dataset.
        question: question that the experiment answers.
        headline: metric by which runs of the experiment are compared.
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
    question: str = ""  # this and the next one are absent in records of older versions
    headline: str = ""


PARENT = "mlflow.parentRunId"  # tag with which the UI nests a run
FIGURES = "figures.json"  # in the working folder of a run: single figures of the finished run, for the tracker
MEMORY = "tracking.json"  # in the working folder of a run: the MLflow run, and how much was sent to it


class Tracker(Protocol):
    """Follows a run through its history on disk, so that training never waits for a store."""

    def start(self, record: RunRecord, folder: Path) -> None:
        """Create the run with this working folder, or reopen it."""

    def log_result(self, folder: Path) -> None:
        """Log the folder of the finished run, and its model if requested."""

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Send what is left and close the run with a status; return whether everything was sent."""


class NullTracker:
    """A tracker that does nothing, for machines without MLflow."""

    def start(self, record: RunRecord, folder: Path) -> None:
        """Do nothing."""

    def log_result(self, folder: Path) -> None:
        """Do nothing."""

    def end(self, status: Status, tags: dict[str, str]) -> bool:
        """Do nothing."""
        return True
