"""What MLflow and DVC keep and nobody needs: deleted runs, artifacts of no run, results of former versions."""

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
SERVED = "mlflow-artifacts"  # scheme of what a server keeps, such as that of unroll ui, which keeps it in mlruns
DELETED, ORPHAN = "deleted in MLflow", "of no run in MLflow"
REMOVING = "Removing "


def mlflow(_: float) -> list[Leftover]:
    """Artifacts of runs, models and experiments that were deleted in MLflow, and those that its database does not know.

    Of experiments that it does not know, nothing is found: another database may have its artifacts in the same folder.

    Raises:
        BadInput: the database cannot be read or is not this project's, or what was deleted has its artifacts outside
            ``mlruns/``.
    """
    if not DATABASE.is_file():
        return []
    tracker = project_tracker("")
    if tracker and not is_same_store(tracker, URI):
        raise BadInput(f"This project's tracker is {tracker}, so that {DATABASE} does not know which artifacts are "
                       "needed; nothing of MLflow was deleted. Run mlflow gc for that tracker.")  # fmt: skip
    _settle()
    deleted, known = _locations()
    found = [measured(path, DELETED) for path in sorted(_apart(deleted, known)) if path.is_dir()]
    orphans = [path for path in _artifacts() - known - deleted if _experiment_of(path) in known | deleted]
    return found + [measured(path, ORPHAN) for path in sorted(orphans) if _is_old(path)]


def delete_mlflow(leftovers: Iterable[Leftover]) -> None:
    """Have MLflow delete what was deleted in it for good, and delete the artifacts that it does not know.

    Raises:
        BadInput: MLflow could not.
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
            raise BadInput(f"mlflow gc failed: {last}. Correct that, and run the command again.")
    delete(leftovers)  # of deleted ones, what MLflow has left


def _settle() -> None:
    """Have the database of a project that was copied or moved name the artifacts that came along."""
    from unroll.tracking.sqlite import settle

    try:
        settle(DATABASE)
    except BadInput as error:
        raise BadInput(f"{DATABASE} cannot be read ({error}); nothing of MLflow was deleted.") from None


def _locations() -> tuple[set[Path], set[Path]]:
    """Where MLflow's database says that artifacts are: of what was deleted in it, and of all else."""
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
        raise BadInput(f"{DATABASE} cannot be read ({error}); nothing of MLflow was deleted.") from None
    outside = [path for path in places[True] if MLRUNS not in (path, *path.parents) or not inside(path)]
    if outside:  # a database may have been written by somebody else, and name data/ or src/
        raise BadInput(f"{DATABASE} names artifacts in {outside[0]} of what was deleted, outside {MLRUNS}/, so "
                       "nothing of MLflow was deleted; run mlflow gc yourself if they are to go.")  # fmt: skip
    return places[True], places[False]


def _apart(deleted: set[Path], known: set[Path]) -> set[Path]:
    """Folders of what was deleted that have nothing else in them, without those that lie in another one of them."""
    needed = {above for path in (*known, DATABASE) for above in (path, *path.parents)}
    own = deleted - needed
    return {path for path in own if not own & set(path.parents)}


def _path(uri: str) -> Path:
    """Path of a location in MLflow's database, from the root of the project where it is in it."""
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
    """Whether a folder was not made just now, by a run that the database is about to have."""
    return path.lstat().st_mtime <= time.time() - DAY


def cache(_: float) -> list[Leftover]:
    """Objects of DVC's cache that are neither in ``data/`` nor results which a ``dvc.lock`` here names.

    Raises:
        BadInput: DVC cannot say, or its cache is not in this project.
    """
    dvc.check()
    if not Path("dvc.lock").is_file():
        raise BadInput("There is no dvc.lock, so that all results of the pipeline would be deleted from DVC's cache; "
                       "restore it by git checkout dvc.lock, or by make repro.")  # fmt: skip
    where = Path(_dvc("cache", "dir").strip())
    if not inside(where):
        raise BadInput(f"DVC's cache is {where}, outside this project, and others may use it; nothing was deleted.")
    lines = _dvc("gc", "--workspace", "--dry").splitlines()
    paths = [Path(line.removeprefix(REMOVING)) for line in lines if line.startswith(REMOVING)]
    return [measured(path.relative_to(Path.cwd())) for path in paths if path.exists() and inside(path)]


def delete_cache(_: Iterable[Leftover]) -> None:
    """Have DVC delete what it found."""
    _dvc("gc", "--workspace", "--force")


def _dvc(*words: str) -> str:
    done = dvc.run(*words)
    if done.returncode != 0:
        raise BadInput(dvc.failure(f"run dvc {' '.join(words[:2])}", done.stderr))
    return done.stdout
