"""MLflow's store: settings of the client, opening the store, and handling outages."""

from __future__ import annotations

import contextlib
import logging
import re
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
from unroll.terminal import say
from unroll.tracking.sqlite import artifacts_of, check, database_of, is_empty, location_of, settle

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("mlflow.store.db.utils").setLevel(logging.ERROR)  # unroll reports the final failure
logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # unroll restarts it
logging.getLogger("urllib3").setLevel(logging.ERROR)  # unroll reports a server that is down once
utils.MAX_RETRY_COUNT = 4  # MLflow's default of ten would take 100 seconds for a database that cannot be opened

# tags of an experiment: two that MLflow's pages read, and the metric by which its runs are compared
KIND, NOTE, HEADLINE = "mlflow.experimentKind", "mlflow.note.content", "headline"


@contextlib.contextmanager
def forgiving(loss: str, kept: str = "it is in the folder of the run") -> Iterator[None]:
    """Report errors of an unavailable store and continue, since files contain everything."""
    try:
        yield
    except Exception as error:  # drivers raise errors of many classes
        say(f"unroll: {loss} ({plain(error)[:160]}); {kept}.")


def open_store(uri: str) -> None:
    """Connect MLflow to ``uri``; an SQLite database is created by one process at a time.

    Raises:
        BadInput: the URI is not valid for a store.
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
    except Exception as error:  # drivers and servers have no common class of errors
        reason, remedy = _explained(uri, error)
        raise Unavailable(
            f"MLflow's store {uri} cannot be opened ({reason}); {remedy}, or use tracking=none."
        ) from None


def _explained(uri: str, error: Exception) -> tuple[str, str]:
    """The reason why a store cannot be opened, and the remedy."""
    found = re.search(r"out-of-date database schema \(found version (\w+)", str(error))
    if not found:
        return plain(error), "repair it, set another tracking.uri"
    migrations = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
    if any(migrations.glob(f"{found[1]}_*.py")):
        return "an older MLflow wrote it", f"copy it, then run: mlflow db upgrade {uri}"
    return f"a newer MLflow than {mlflow.__version__} wrote it", "install that version, set another tracking.uri"


def plain(error: Exception) -> str:
    """An error on one line, without passwords and links to the documentation of its library."""
    text = re.sub(r"\(Background on this error at: \S+\)|^\([\w.]+\)", "", without_secrets(str(error)))
    return " ".join(text.split())[:300]


def _prepare(uri: str, database: Path) -> None:
    """Check a database and create its tables under a lock, since concurrent runs would create them twice."""
    database.parent.mkdir(parents=True, exist_ok=True)
    check(database)
    with held(lock_beside(database)):
        if is_empty(database):
            client_of(uri).search_experiments(max_results=1)


def client_of(uri: str) -> MlflowClient:
    """A client of the store with a public URI, without its password."""
    return MlflowClient(with_secrets(uri))


def experiment_of(client: MlflowClient, name: str, question: str, headline: str = "") -> str:
    """Identifier of an experiment, created if it does not exist, and restored if it was deleted.

    Tags make MLflow show it as model training, with its question.

    Args:
        client: client of an open store.
        name: name of the experiment.
        question: question that it answers.
        headline: metric by which its runs are compared, if known.
    """
    found = client.get_experiment_by_name(name) or _made(client, name)
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
        say(f"unroll: MLflow's experiment {name} was deleted; it has been restored with its runs.")
    for key, value in {KIND: "custom_model_development", NOTE: question, HEADLINE: headline}.items():
        if value and key not in found.tags:  # keeps a description that the user has written
            client.set_experiment_tag(found.experiment_id, key, value)
    return str(found.experiment_id)


def _made(client: MlflowClient, name: str) -> Experiment:
    database = database_of(client.tracking_uri)
    location = location_of(artifacts_of(database) / name) if database else None
    try:
        client.create_experiment(name, location)
    except MlflowException as error:  # another run has created it
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    made = client.get_experiment_by_name(name)
    assert made is not None
    return made


def allowed(name: str) -> str:
    """The name of a metric without characters that MLflow refuses."""
    return re.sub(r"[^\w\-. /]", "_", name)


def single(split: str, name: str) -> str:
    """Name of a single figure, without a slash, so that MLflow draws it after the curves."""
    return allowed(f"{split}_{name}".replace("/", "."))
