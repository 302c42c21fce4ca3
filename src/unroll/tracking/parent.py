"""The MLflow run of a study, the parent of the runs of its trials."""

from __future__ import annotations

import time
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags

from unroll.errors import BadInput
from unroll.tracking.store import client_of, experiment_of, open_store
from unroll.tracking.tracker import PARENT


def open_parent(
    uri: str, experiment: str, question: str, name: str, params: dict[str, str], tags: dict[str, str]
) -> str:
    """Find the run of a study by its name, or create it, and return its identifier.

    Args:
        uri: tracking URI.
        experiment: MLflow experiment of the run.
        question: question that the study answers.
        name: name of the study, with its digest.
        params: the search space, one parameter per key.
        tags: tags of the run.

    Raises:
        BadInput: the store cannot be opened.
    """
    open_store(uri)
    client = client_of(uri)
    group = experiment_of(client, experiment, question)
    for run in client.search_runs([group], f"tags.`unroll.study` = '{name}'", max_results=1):
        client.update_run(run.info.run_id, status="RUNNING")
        return str(run.info.run_id)
    run = client.create_run(group, tags=resolve_tags({**tags, "unroll.study": name}), run_name=name)
    client.log_batch(run.info.run_id, params=[Param(key, value) for key, value in params.items()])
    return str(run.info.run_id)


def check_parent(uri: str, run_id: str) -> None:
    """Check that a store has the run of a study.

    Args:
        uri: tracking URI.
        run_id: identifier of the run.

    Raises:
        BadInput: the store cannot be opened, or another one has the run.
    """
    open_store(uri)
    try:
        client_of(uri).get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise BadInput(f"MLflow's store {uri} has no run {run_id}, the run of the study; set tracking.uri to a "
                       "server or database that all machines can reach, or restore the store.") from None  # fmt: skip


def close_parent(uri: str, run_id: str, figures: dict[str, float], tags: dict[str, str], folder: Path | None) -> None:
    """Log the results of a study with the files of a folder, and close its run and all runs below it.

    Args:
        uri: tracking URI.
        run_id: identifier of the run.
        figures: best value, numbers of trials, importances.
        tags: tags to add.
        folder: folder with trials, best settings and figures; None for a failed study.

    Raises:
        BadInput: the store cannot be opened, or another one has the run.
    """
    check_parent(uri, run_id)
    client = client_of(uri)
    now = int(time.time() * 1000)
    for child in children(client, run_id):
        if child.info.status == "RUNNING":  # its worker was killed, and another machine took the trial over
            client.set_tag(child.info.run_id, "lost", "yes")
            client.set_terminated(child.info.run_id, "KILLED")
    client.log_batch(run_id, [Metric(name, value, now, 0) for name, value in figures.items()],
                     tags=[RunTag(key, value) for key, value in tags.items()])  # fmt: skip
    if folder:
        client.log_artifacts(run_id, str(folder))
    client.set_terminated(run_id, "FINISHED" if folder else "FAILED")


def children(client: MlflowClient, run_id: str) -> list[Run]:
    """Child runs of a run."""
    group = client.get_run(run_id).info.experiment_id
    return list(client.search_runs([group], f"tags.`{PARENT}` = '{run_id}'", max_results=10_000))
