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

from unroll.errors import Unavailable
from unroll.locks import held, lock_beside

logging.getLogger("alembic").setLevel(logging.WARNING)
logging.getLogger("mlflow").setLevel(logging.WARNING)
logging.getLogger("mlflow.system_metrics").setLevel(logging.ERROR)  # it is started again
logging.getLogger("urllib3").setLevel(logging.ERROR)  # a server that is down is told of once


@contextlib.contextmanager
def forgiving(loss: str, kept: str = "the run's folder has it") -> Iterator[None]:
    """Tell what a store that is gone has cost, and go on: there are files that have it all."""
    try:
        yield
    except Exception as error:  # whatever the store's driver raises
        reason = " ".join(str(error).split())[:160]
        print(f"unroll: {loss} ({reason}); {kept}.", file=sys.stderr)


def open_store(uri: str) -> None:
    """Point MLflow at ``uri``; a SQLite database is created by one process at a time.

    Raises:
        Unavailable: the store cannot be opened.
    """
    try:
        if uri.startswith("sqlite:///"):
            database = Path(uri.removeprefix("sqlite:///"))
            database.parent.mkdir(parents=True, exist_ok=True)
            _create_once(uri, database)
        mlflow.set_tracking_uri(uri)
        MlflowClient().search_experiments(max_results=1)
    except Exception as error:  # whatever driver or server there is, its errors have no common class
        reason = " ".join(str(error).split())[:200]
        raise Unavailable(
            f"MLflow's store {uri} cannot be opened ({reason}); mend tracking.uri, or use tracking=none."
        ) from None


def _create_once(uri: str, database: Path) -> None:
    """Create the tables under a lock: runs that start side by side would otherwise create them twice."""
    with held(lock_beside(database)):
        if not database.exists():
            MlflowClient(uri).search_experiments(max_results=1)


def allowed(name: str) -> str:
    """A metric's name without what MLflow refuses."""
    return re.sub(r"[^\w\-. /]", "_", name)
