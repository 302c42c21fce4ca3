"""Optuna's database: opened, had by one process at a time where it must be, and waited for where it is gone."""

from __future__ import annotations

import contextlib
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from optuna.exceptions import ExperimentalWarning, StorageInternalError
from optuna.storages import RDBStorage

from unroll.config.study import StudyConfig
from unroll.credentials import with_secrets, without_secrets
from unroll.errors import BadInput, Suspended
from unroll.locks import held, lock_beside

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")
PATIENCE = 60.0  # seconds for which a database that is gone is waited for
TURN = 600.0  # for which another process is that does alone what this one waits to do: it lives, or its lock had gone
OPTIONS: dict[str, dict[str, Any]] = {  # of the drivers; a server that answers no more is found out in half a minute
    "sqlite": {"timeout": PATIENCE},
    "postgresql": {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4,
                   "tcp_user_timeout": 30_000},
}  # fmt: skip
OWN = {"studies": "study_id", "trials": "trial_id", "version_info": "schema_version"}  # a column of tables of Optuna's


class DatabaseGone(Suspended):
    """A database that was there, and has not come back."""


def open_database(config: StudyConfig) -> RDBStorage:
    """Optuna's database, made if it is not there, by one process at a time.

    Raises:
        BadInput: it cannot be opened, or is another version's or somebody else's.
    """
    # what Optuna calls experimental, such as signs of life, is tested here; a filter for a while is not for threads
    warnings.filterwarnings("ignore", category=ExperimentalWarning)
    url = with_secrets(config.storage)
    options = {"pool_pre_ping": True, "connect_args": OPTIONS[url.partition(":")[0].partition("+")[0]]}
    try:
        with _looking(url, options) as engine, _alone(url, engine):
            _check_owner(engine)
            return RDBStorage(url, engine_kwargs=options, heartbeat_interval=config.heartbeat,
                              grace_period=config.grace)  # fmt: skip
    except ModuleNotFoundError as error:
        raise BadInput(
            f"storage={config.storage} needs the package {error.name}: pip install -e '.[postgres]'"
        ) from None
    except Exception as error:  # whatever the database's driver raises
        raise BadInput(f"Optuna's database {config.storage} cannot be opened ({_reason(error)}); fix storage, or name "
                       "another database, not MLflow's.") from None  # fmt: skip


@contextlib.contextmanager
def _looking(url: str, options: dict[str, Any]) -> Iterator[Engine]:
    """A way to look at a database before it is Optuna's."""
    from sqlalchemy import create_engine

    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def _check_owner(engine: Engine) -> None:
    """Refuse a database that is another program's before Optuna adds its tables to it."""
    from sqlalchemy import inspect

    inspector = inspect(engine)
    tables = set(inspector.get_table_names())
    if tables & OWN.keys() != OWN.keys() and tables:
        raise ValueError(f"it has tables of another program, such as {min(tables - OWN.keys() or tables)}")
    for table, column in OWN.items():
        if tables and column not in {found["name"] for found in inspector.get_columns(table)}:
            raise ValueError(f"its table {table} is another program's")


@contextlib.contextmanager
def alone(storage: RDBStorage) -> Iterator[None]:
    """Keep other processes, on whatever machine, from what they do alone too; the lock goes with its process.

    Raises:
        DatabaseGone: another process has held it for long: it was stopped.
    """
    with _alone(storage.url, storage.engine):
        yield


@contextlib.contextmanager
def _alone(url: str, engine: Engine) -> Iterator[None]:
    if url.startswith("sqlite"):
        with _alone_in_file(url):
            yield
        return
    from sqlalchemy import text

    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{TURN:.0f}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('unroll'))"))
        yield


@contextlib.contextmanager
def _alone_in_file(url: str) -> Iterator[None]:
    database = Path(url.removeprefix("sqlite:///"))
    if database.exists() and not _is_database(database):
        raise ValueError("it is no database of SQLite")
    database.parent.mkdir(parents=True, exist_ok=True)
    path, until = lock_beside(database), time.monotonic() + TURN
    while True:
        with held(path, wait=False) as free:
            if free:
                yield
                return
        if time.monotonic() > until:
            raise DatabaseGone(f"Another process holds {path}, and has not released it for {TURN:.0f} seconds; end "
                               "it, or let it go on.")  # fmt: skip
        time.sleep(0.01)


def _is_database(path: Path) -> bool:
    """Whether a file is SQLite's, or is empty, as it is just made."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def patiently(ask: Callable[[], T], storage: str, missed: Callable[[], None]) -> T:
    """Ask a database that may be gone for a while.

    Args:
        ask: what is asked; it is asked again if the answer was lost, so it must not matter whether it was heard.
        storage: where the database is.
        missed: is told each time that there was no answer.

    Raises:
        DatabaseGone: it has not come back.
    """
    from sqlalchemy.exc import DBAPIError

    until = time.monotonic() + PATIENCE
    while True:
        try:
            return ask()
        except (StorageInternalError, DBAPIError) as error:
            missed()
            if time.monotonic() > until:
                raise DatabaseGone(f"Optuna's database {storage} is gone ({_reason(error)}); bring it back and "
                                   "start the same command again, which goes on.") from None  # fmt: skip
            time.sleep(1)


def _reason(error: Exception) -> str:
    return without_secrets(" ".join(str(error.__cause__ or error).split())[:200])
