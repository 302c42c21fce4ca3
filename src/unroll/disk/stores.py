"""Unneeded content of MLflow's and DVC's stores: deleted runs, orphaned artifacts, results of older versions."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlsplit

from unroll.config import is_same_store, project_tracker
from unroll.disk.leftovers import DAY, Leftover, delete, inside, measured
from unroll.errors import BadInput
from unroll.pipeline import dvc

MLRUNS = Path("mlruns")
DATABASE = MLRUNS / "mlflow.db"
URI = f"sqlite:///{DATABASE}"
SERVED = "mlflow-artifacts"  # scheme of artifacts behind a server, such as unroll ui, which stores them in mlruns
DELETED, ORPHAN = "deleted in MLflow", "without a run in MLflow"
REMOVING = "Removing "


def mlflow(_: float) -> list[Leftover]:
    """Artifacts of runs, models and experiments that were deleted in MLflow, and artifacts missing from its database.

    Unknown experiments are left alone, because another database may have its artifacts in the same folder.

    Raises:
        BadInput: the database cannot be read or is not the project's tracker, or artifacts of deleted runs are outside
            ``mlruns/``.
    """
    if not DATABASE.is_file():
        return []
    tracker = project_tracker("")
    if tracker and not is_same_store(tracker, URI):
        raise BadInput(f"The tracker of this project is {tracker}, so {DATABASE} does not list the artifacts in use; "
                       "nothing was deleted from MLflow. Run mlflow gc for that tracker.")  # fmt: skip
    _settle()
    deleted, known = _locations()
    found = [measured(path, DELETED) for path in sorted(_apart(deleted, known)) if path.is_dir()]
    orphans = [path for path in _artifacts() - known - deleted if _experiment_of(path) in known | deleted]
    return found + [measured(path, ORPHAN) for path in sorted(orphans) if _is_old(path)]


def delete_mlflow(leftovers: Iterable[Leftover]) -> None:
    """Have MLflow purge deleted runs, and delete orphaned artifacts.

    Raises:
        BadInput: MLflow failed.
    """
    leftovers = list(leftovers)
    if any(leftover.note == DELETED for leftover in leftovers):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "mlflow", "gc", "--backend-store-uri", URI, "--tracking-uri", URI],
            capture_output=True, text=True, errors="replace", check=False,
            env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"},
        )  # fmt: skip
        if done.returncode != 0:
            last = (done.stderr.strip().splitlines() or ["it printed no reason"])[-1]
            raise BadInput(f"mlflow gc failed: {last}. Fix this, and run the command again.")
    delete(leftovers)  # including what mlflow gc left behind


def _settle() -> None:
    """Update artifact paths in the database if the project was copied or moved."""
    from unroll.tracking.sqlite import settle

    try:
        settle(DATABASE)
    except BadInput as error:
        raise BadInput(f"{DATABASE} cannot be read ({error}); nothing was deleted from MLflow.") from None


def _locations() -> tuple[set[Path], set[Path]]:
    """Artifact locations in MLflow's database: deleted ones, and all others."""
    places: dict[bool, set[Path]] = {True: set(), False: set()}
    queries = ("SELECT lifecycle_stage = 'deleted', artifact_uri FROM runs",
               "SELECT lifecycle_stage = 'deleted', artifact_location FROM logged_models",
               "SELECT lifecycle_stage = 'deleted', artifact_location FROM experiments")  # fmt: skip
    try:
        with closing(sqlite3.connect(f"{DATABASE.resolve().as_uri()}?mode=ro", uri=True)) as database:
            for query in queries:
                for deleted, uri in database.execute(query):
                    path = _path(str(uri))
                    places[bool(deleted)].add(path.parent if path.name == "artifacts" else path)
    except sqlite3.Error as error:
        raise BadInput(f"{DATABASE} cannot be read ({error}); nothing was deleted from MLflow.") from None
    outside = [path for path in places[True] if MLRUNS not in (path, *path.parents) or not inside(path)]
    if outside:  # a foreign database may name data/ or src/
        raise BadInput(f"{DATABASE} has artifacts of deleted runs in {outside[0]}, outside {MLRUNS}/, so nothing was "
                       "deleted from MLflow; to delete them, run mlflow gc yourself.")  # fmt: skip
    return places[True], places[False]


def _apart(deleted: set[Path], known: set[Path]) -> set[Path]:
    """Folders of deleted runs that contain nothing in use, without folders nested in another one of them."""
    needed = {above for path in (*known, DATABASE) for above in (path, *path.parents)}
    own = deleted - needed
    return {path for path in own if not own & set(path.parents)}


def _path(uri: str) -> Path:
    """Path of a location in MLflow's database, relative to the root of the project if inside it."""
    parts = urlsplit(uri)
    if parts.scheme == SERVED:
        return MLRUNS / os.path.normpath(unquote(parts.path)).lstrip("/")
    if parts.scheme not in ("", "file"):
        return Path("/", uri)  # somewhere else
    path = Path(os.path.normpath(Path.cwd() / (unquote(parts.path) if parts.scheme else uri)))
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _artifacts() -> set[Path]:
    """Folders of runs and models: ``mlruns/<experiment>/<run>`` and ``mlruns/<experiment>/models/<model>``."""
    found = [*MLRUNS.glob("*/" + "[0-9a-f]" * 32), *MLRUNS.glob("*/models/m-*")]
    return {path for path in found if path.is_dir() and inside(path)}


def _experiment_of(path: Path) -> Path:
    """Folder of the experiment of a run or a model."""
    return path.parent.parent if path.parent.name == "models" else path.parent


def _is_old(path: Path) -> bool:
    """Whether a folder is older than a day; a newer one may belong to a run not yet in the database."""
    return path.lstat().st_mtime <= time.time() - DAY


def cache(_: float) -> list[Leftover]:
    """Objects in DVC's cache that are neither in ``data/`` nor listed in a ``dvc.lock`` of this project.

    Raises:
        BadInput: DVC failed, or its cache is outside the project.
    """
    dvc.check()
    if not Path("dvc.lock").is_file():
        raise BadInput("There is no dvc.lock, so all results of the pipeline would be deleted from DVC's cache; "
                       "restore it with git checkout dvc.lock, or run make repro.")  # fmt: skip
    where = Path(_dvc("cache", "dir").strip())
    if not inside(where):
        raise BadInput(f"DVC's cache is {where}, outside this project, and may be shared; nothing was deleted.")
    lines = _dvc("gc", "--workspace", "--dry").splitlines()
    paths = [Path(line.removeprefix(REMOVING)) for line in lines if line.startswith(REMOVING)]
    return [measured(path.relative_to(Path.cwd())) for path in paths if path.exists() and inside(path)]


def delete_cache(_: Iterable[Leftover]) -> None:
    """Have DVC delete the unneeded objects."""
    _dvc("gc", "--workspace", "--force")


def _dvc(*words: str) -> str:
    done = dvc.run(*words)
    if done.returncode != 0:
        raise BadInput(dvc.failure(f"run dvc {' '.join(words[:2])}", done.stderr))
    return done.stdout
