"""MLflow's store: its client's settings, how it is opened, and what happens when it is gone."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from mlflow.store.db import utils

from unroll.credentials import with_secrets, without_secrets
from unroll.errors import Unavailable
from unroll.locks import held, lock_beside
from unroll.tracking.sqlite import artifacts_of, check, database_of, is_empty, location_of, settle

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)  # it is reported once, when it is given up
logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # it is started again
logging.getLogger("urllib3").setLevel(logging.ERROR)  # a server that is down is reported once
utils.MAX_RETRY_COUNT = 4  # ten, MLflow's own, would wait 100 seconds for a database that cannot be opened

# tags of an experiment: two that MLflow's pages read, and the figure by which its runs are compared
KIND, NOTE, HEADLINE = "mlflow.experimentKind", "mlflow.note.content", "headline"


@contextlib.contextmanager
def forgiving(loss: str, kept: str = "the run's folder has it") -> Iterator[None]:
    """Report what a store that is gone has cost, and go on: there are files that have it all."""
    try:
        yield
    except Exception as error:  # whatever the store's driver raises
        print(f"unroll: {loss} ({plain(error)[:160]}); {kept}.", file=sys.stderr)


def open_store(uri: str) -> None:
    """Point MLflow at ``uri``; a SQLite database is created by one process at a time.

    Raises:
        BadInput: the URI cannot be that of a store.
        Unavailable: the store cannot be opened.
    """
    database = database_of(uri)
    try:
        if database:
            _prepare(uri, database)
        mlflow.set_tracking_uri(with_secrets(uri))
        MlflowClient().search_experiments(max_results=1)
        if database:
            settle(database)
    except Exception as error:  # whatever driver or server there is, its errors have no common class
        reason, remedy = _explained(uri, error)
        raise Unavailable(
            f"MLflow's store {uri} cannot be opened ({reason}); {remedy}, or use tracking=none."
        ) from None


def _explained(uri: str, error: Exception) -> tuple[str, str]:
    """What is wrong with a store, and what to do about it."""
    found = re.search(r"out-of-date database schema \(found version (\w+)", str(error))
    if not found:
        return plain(error), "repair it, set another tracking.uri"
    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(migrations.glob(f"{found[1]}_*.py")):
        return "an older MLflow wrote it", f"copy it, then run: mlflow db upgrade {uri}"
    return f"a newer MLflow than {mlflow.__version__} wrote it", "install that one, set another tracking.uri"


def plain(error: Exception) -> str:
    """An error in one line, without passwords and without where its library explains it."""
    text = re.sub(r"\(Background on this error at: \S+\)|^\([\w.]+\)", "", without_secrets(str(error)))
    return " ".join(text.split())[:300]


def _prepare(uri: str, database: Path) -> None:
    """Check a database, and create its tables under a lock: runs that start side by side would create them twice."""
    database.parent.mkdir(parents=True, exist_ok=True)
    check(database)
    with held(lock_beside(database)):
        if is_empty(database):
            client_of(uri).search_experiments(max_results=1)


def client_of(uri: str) -> MlflowClient:
    """A client of the store whose public URI this is."""
    return MlflowClient(with_secrets(uri))


def experiment_of(client: MlflowClient, name: str, question: str, headline: str = "") -> str:
    """Identifier of an experiment, which is made if need be, and restored if it was deleted.

    Its tags have MLflow show it as one of model training, under its question.

    Args:
        client: of an open store.
        name: of the experiment.
        question: that it answers.
        headline: figure by which its runs are compared, if it is known yet.
    """
    found = client.get_experiment_by_name(name) or _made(client, name)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
        print(f"unroll: MLflow's experiment {name} was deleted; it is restored, with its runs.", file=sys.stderr)
    for key, value in {KIND: "custom_model_development", NOTE: question, HEADLINE: headline}.items():
        if value and key not in found.tags:  # a description that a person has written stays
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _made(client: MlflowClient, name: str) -> Experiment:
    database = database_of(client.tracking_uri)
    location = location_of(artifacts_of(database) / name) if database else None
    try:
        client.create_experiment(name, location)
    except MlflowException as error:  # another run has made it
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.get_experiment_by_name(name)
    assert made is not None
    return made


def allowed(name: str) -> str:
    """A metric's name without what MLflow refuses."""
    return re.sub(r"[^\w\-. /]", "_", name)


def single(split: str, name: str) -> str:
    """Name of a figure that a run has once: without a slash, so that MLflow draws it after the curves."""
    return allowed(f"{split}_{name}".replace("/", "."))
