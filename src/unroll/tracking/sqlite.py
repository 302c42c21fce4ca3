"""MLflow's SQLite database: checks, and the location of its artifacts."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from sqlalchemy import make_url

from unroll.errors import BadInput
from unroll.terminal import say

LOCK_SECONDS = 3.0  # how long to wait for a lock of another process
# columns with paths of artifacts
LOCATIONS = (("experiments", "artifact_location"), ("runs", "artifact_uri"), ("logged_models", "artifact_location"),
             ("model_versions", "source"), ("model_versions", "storage_location"))  # fmt: skip


def database_of(uri: str) -> Path | None:
    """The file of a SQLite URI; None for other stores.

    Raises:
        BadInput: SQLite would open another file than intended.
    """
    scheme, _, rest = uri.partition("://")
    if scheme.partition("+")[0] != "sqlite":
        return None
    name = rest.removeprefix("/")
    if name.startswith("~"):
        full = f"{scheme}:///{Path(name).expanduser()}"
        raise BadInput(f"tracking.uri={uri}: SQLite does not expand ~; write the path in full: {full}")
    if "?" in name:
        raise BadInput(f"tracking.uri={uri}: the text after ? would not be part of the path; write %3F instead.")
    if not rest.startswith("/") or name in ("", ":memory:"):
        raise BadInput(f"tracking.uri={uri} names no file; write a path, as in sqlite:///mlruns/mlflow.db.")
    return Path(str(make_url(uri).database))  # decodes %20


def artifacts_of(database: Path) -> Path:
    """The folder of the artifacts of a database: its own folder if that is ``mlruns``, else ``mlruns`` inside it."""
    folder = database.absolute().parent
    return folder if folder.name == "mlruns" else folder / "mlruns"


def location_of(folder: Path) -> str:
    """The location of a folder for MLflow: a path, or a URI if the path contains escapes such as ``%20``."""
    plain = str(folder)
    return plain if url2pathname(plain) == plain else folder.as_uri()


def check(database: Path) -> None:
    """Check that a database is readable, writable and MLflow's.

    Raises:
        BadInput: it is not; the message gives the reason.
    """
    if database.is_dir():
        raise BadInput("it is a folder")
    if not database.exists():
        return
    if not os.access(database, os.R_OK | os.W_OK) or not os.access(database.absolute().parent, os.W_OK):
        raise BadInput("you have no write permission for it or its folder")
    with _connected(database) as connection:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        connection.execute("BEGIN IMMEDIATE")  # detects a lock that is held for longer
        connection.rollback()
    if tables and "experiments" not in tables:
        raise BadInput("it has tables of another program")


def is_empty(database: Path) -> bool:
    """Whether a database has no tables yet."""
    if not database.exists() or not database.stat().st_size:
        return True
    with _connected(database) as connection:
        return connection.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def settle(database: Path) -> None:
    """Update the paths of artifacts after a project was copied or moved.

    MLflow stores absolute paths. If the artifacts of an experiment were moved along, or there are none yet, its paths
    are rewritten in one transaction. Other paths are kept, since several projects may share a database.

    Raises:
        BadInput: the database was copied without its artifacts, so runs would be written into the original.
    """
    with _connected(database) as connection:
        rows = connection.execute("SELECT experiment_id, name, artifact_location FROM experiments").fetchall()
        moves = dict(filter(None, (_move(database, str(key), name, place) for key, name, place in rows)))
        if not moves:
            return
        connection.execute("BEGIN IMMEDIATE")
        for (table, column), (old, new) in ((where, move) for where in LOCATIONS for move in moves.items()):
            connection.execute(
                f"UPDATE {table} SET {column} = :new || substr({column}, length(:old) + 1) "
                f"WHERE {column} = :old OR substr({column}, 1, length(:old) + 1) = :old || '/'",
                {"old": old, "new": new},
            )
        connection.commit()
    before = {place.parent for place in map(_path, moves) if place and (artifacts_of(database) / place.name).exists()}
    if before:  # otherwise there were no artifacts yet
        say(f"unroll: {database} was moved from {' and '.join(map(str, before))}; its artifacts are now in "
            f"{artifacts_of(database)}.")  # fmt: skip


def _move(database: Path, key: str, name: str, location: str) -> tuple[str, str] | None:
    """Old and new location of an experiment; None if it should not change."""
    there = _path(location)
    if there is None or there.name not in (key, name):  # on a server, or chosen by the user
        return None
    root = artifacts_of(database)
    here = root / there.name
    if there.resolve() == here.resolve():
        return None
    if here.exists() or not there.exists():
        return location, location_of(here)
    if (there.parent / database.name).exists():
        raise BadInput(f"it is a copy of {there.parent / database.name} without the artifacts of the experiment "
                       f"{name}: copy {there} to {root} too")  # fmt: skip
    return None


def _path(location: str) -> Path | None:
    """The local path of a location; None if it is not on this machine."""
    parsed = urlparse(location)
    if parsed.scheme == "file":
        return Path(url2pathname(parsed.path))
    return Path(url2pathname(location)) if location.startswith("/") else None


@contextlib.contextmanager
def _connected(database: Path) -> Iterator[sqlite3.Connection]:
    """A connection in autocommit mode.

    Raises:
        BadInput: the file is not a database, is damaged, or is locked.
    """
    connection = sqlite3.connect(database, timeout=LOCK_SECONDS, isolation_level=None)
    try:
        yield connection
    except sqlite3.OperationalError as error:
        locked = "another process has locked it" if "locked" in str(error) else str(error)
        raise BadInput(locked) from error
    except sqlite3.DatabaseError as error:
        raise BadInput(f"{error}; restore it from a copy, or move it away") from error
    finally:
        connection.close()
