"""Optuna's database: opening it, exclusive access, and retries while it is unavailable."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from unroll.config.study import StudyConfig
from unroll.credentials import with_secrets, without_secrets
from unroll.errors import BadInput, Suspended
from unroll.locks import held, lock_beside
from unroll.tuning.backend import RDBStorage, StorageInternalError, ignore_experimental_warnings

if TYPE_CHECKING:
    from sqlalchemy import Engine

T = TypeVar("T")
RETRY_SECONDS = 60.0  # how long to retry while the database is unavailable
LOCK_SECONDS = 600.0  # how long to wait for the lock; its holder is alive, or the lock would be free
OPTIONS: dict[str, dict[str, Any]] = {  # of the drivers; a server that no longer answers is detected in 30 seconds
    "sqlite": {"timeout": RETRY_SECONDS},
    "postgresql": {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 4,
                   "tcp_user_timeout": 30_000},
}  # fmt: skip
# one column of each of Optuna's tables
OWN = {"studies": "study_id", "trials": "trial_id", "version_info": "schema_version"}


class DatabaseGone(Suspended):
    """The database became unavailable and did not come back."""


def open_database(config: StudyConfig) -> RDBStorage:
    """Open Optuna's database, or create it, one process at a time.

    Raises:
        BadInput: it cannot be opened, or belongs to another version or another program.
    """
    ignore_experimental_warnings()
    url = with_secrets(config.storage)
    options = {"pool_pre_ping": True, "connect_args": OPTIONS[url.partition(":")[0].partition("+")[0]]}
    try:
        with _connected(url, options) as engine, _exclusive(url, engine):
            _check_owner(engine)
            return RDBStorage(
                url, engine_kwargs=options, heartbeat_interval=config.heartbeat, grace_period=config.grace
            )
    except ModuleNotFoundError as error:
        raise BadInput(
            f"storage={config.storage} needs the package {error.name}: pip install -e '.[postgres]'"
        ) from None
    except Exception as error:  # drivers raise errors of many classes
        raise BadInput(f"Optuna's database {config.storage} cannot be opened ({_reason(error)}); fix storage, or use "
                       "another database, not MLflow's.") from None  # fmt: skip


@contextlib.contextmanager
def _connected(url: str, options: dict[str, Any]) -> Iterator[Engine]:
    """Connect to a database before Optuna does."""
    from sqlalchemy import create_engine

    engine = create_engine(url, **options)
    try:
        yield engine
    finally:
        engine.dispose()


def _check_owner(engine: Engine) -> None:
    """Refuse the database of another program before Optuna adds its tables to it."""
    from sqlalchemy import inspect

    inspector = inspect(engine)
    tables = set(inspector.get_table_names())
    if tables & OWN.keys() != OWN.keys() and tables:
        raise ValueError(f"it has tables of another program, such as {min(tables - OWN.keys() or tables)}")
    for table, column in OWN.items():
        if tables and column not in {found["name"] for found in inspector.get_columns(table)}:
            raise ValueError(f"its table {table} belongs to another program")


@contextlib.contextmanager
def exclusive(storage: RDBStorage) -> Iterator[None]:
    """Hold the lock of the database across processes and machines; it is released when its process ends.

    Raises:
        DatabaseGone: another process has held the lock for too long, probably because it is suspended.
    """
    with _exclusive(storage.url, storage.engine):
        yield


@contextlib.contextmanager
def _exclusive(url: str, engine: Engine) -> Iterator[None]:
    if url.startswith("sqlite"):
        with _file_lock(url):
            yield
        return
    from sqlalchemy import text

    with engine.begin() as connection:
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_SECONDS:.0f}s'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('unroll'))"))
        yield


@contextlib.contextmanager
def _file_lock(url: str) -> Iterator[None]:
    database = Path(url.removeprefix("sqlite:///"))
    if database.exists() and not _is_database(database):
        raise ValueError("it is not an SQLite database")
    database.parent.mkdir(parents=True, exist_ok=True)
    path = lock_beside(database)
    until = time.monotonic() + LOCK_SECONDS
    while True:
        with held(path, wait=False) as free:
            if free:
                yield
                return
        if time.monotonic() > until:
            raise DatabaseGone(
                f"Another process has held {path} for {LOCK_SECONDS:.0f} seconds; end it, or let it continue."
            )
        time.sleep(0.01)


def _is_database(path: Path) -> bool:
    """Whether a file is an SQLite database; an empty file has just been created."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(16) in (b"", b"SQLite format 3\0")


def retry(ask: Callable[[], T], storage: str, on_failure: Callable[[], None]) -> T:
    """Call a function of the database, and retry while the database is unavailable.

    Args:
        ask: the function; it must be idempotent, since a call whose answer was lost is repeated.
        storage: URL of the database, for messages.
        on_failure: called after each failed attempt.

    Raises:
        DatabaseGone: the database did not come back.
    """
    from sqlalchemy.exc import DBAPIError

    until = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return ask()
        except (StorageInternalError, DBAPIError) as error:
            on_failure()
            if time.monotonic() > until:
                raise DatabaseGone(f"Optuna's database {storage} is unavailable ({_reason(error)}); restore it and "
                                   "run the same command again to continue.") from None  # fmt: skip
            time.sleep(1)


def _reason(error: Exception) -> str:
    return without_secrets(" ".join(str(error.__cause__ or error).split())[:200])
