"""MLflow's store: projects that were copied or moved, databases that cannot be opened, experiments."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
from processes import some_slow

from unroll import preparation
from unroll.cli import main
from unroll.config import Config
from unroll.errors import BadInput

Small = Callable[..., Config]
UNTRACKED = ("tracking.system_metrics=false", "tracking.log_model=false")


def uri_of(project: Path) -> str:
    return f"sqlite:///{quote(str(project))}/mlruns/mlflow.db"


@pytest.fixture
def filled(golden_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A project with a run, its artifacts and a model, in a folder of a given name."""
    from unroll.tracking.store import experiment_of, open_store

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")

    def fill(name: str) -> Path:
        from mlflow import MlflowClient

        project = tmp_path / name
        (project / "mlruns").mkdir(parents=True)
        shutil.copy(golden_store, project / "mlruns" / "mlflow.db")
        open_store(uri_of(project))
        client = MlflowClient(uri_of(project))
        run = client.create_run(experiment_of(client, "tagging", "Why?"), run_name="before")
        client.log_text(run.info.run_id, "old", "notes.txt")
        model = client.create_logged_model(run.info.experiment_id, "model", run.info.run_id)
        (tmp_path / "part").mkdir(exist_ok=True)
        (tmp_path / "part" / "weights").write_text("old", encoding="utf-8")
        client.log_model_artifacts(model.model_id, str(tmp_path / "part"))
        client.create_registered_model("served")
        client.create_model_version("served", f"models:/{model.model_id}")
        return project

    return fill


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*")
            if path.is_file() and path.suffix not in (".db", ".lock")}  # fmt: skip


def write_another(project: Path) -> None:
    """A run of one's own, and an addition to the one that is there."""
    from mlflow import MlflowClient
    from mlflow.tracking._tracking_service.utils import _artifact_repos_cache

    from unroll.tracking.store import experiment_of, open_store

    _artifact_repos_cache.clear()  # as in another process
    open_store(uri_of(project))
    client = MlflowClient(uri_of(project))
    group = experiment_of(client, "tagging", "Why?")
    (before,) = client.search_runs([group])
    assert Path(client.download_artifacts(before.info.run_id, "notes.txt")).read_text(encoding="utf-8") == "old"
    client.log_text(before.info.run_id, "new", "more.txt")
    client.log_text(client.create_run(group, run_name="after").info.run_id, "new", "notes.txt")
    (model,) = client.search_logged_models([group])
    client.log_model_artifacts(model.model_id, str(project.parent / "part"))
    client.log_text(client.create_run(experiment_of(client, "grammar", "How?")).info.run_id, "new", "notes.txt")


STRANGE = "100% of %20 #1; why? it's für a+b"


@pytest.mark.parametrize(("how", "name"), [("copied", "plain"), ("moved", "a folder"), ("copied", STRANGE)])
def test_a_project_that_was_copied_or_moved_writes_into_its_own_folder(
    how: str, name: str, filled: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from unroll.tracking.store import open_store

    original = filled("original")
    other = tmp_path / "elsewhere" / name
    shutil.copytree(original, other)
    if how == "moved":
        shutil.rmtree(original)
    before = files(original)
    write_another(other)
    assert files(original) == before
    assert original.exists() == (how == "copied")
    kept = files(other / "mlruns")
    assert sum(path.endswith("notes.txt") for path in kept) == 3
    assert sum(path.endswith("more.txt") for path in kept) == 1
    assert "was moved from" in capsys.readouterr().err
    open_store(uri_of(other))
    assert "was moved from" not in capsys.readouterr().err
    assert str(original) not in dump(other)


def dump(project: Path) -> str:
    with sqlite3.connect(project / "mlruns" / "mlflow.db") as connection:
        return "\n".join(connection.iterdump())


@pytest.mark.slow
def test_a_project_may_have_any_name(tmp_path: Path, golden_store: Path) -> None:
    project = tmp_path / STRANGE
    (project / "mlruns").mkdir(parents=True)
    shutil.copy(golden_store, project / "mlruns" / "mlflow.db")
    code = ("from mlflow import MlflowClient\n"
            "from unroll.tracking.store import open_store, experiment_of\n"
            "uri = 'sqlite:///mlruns/mlflow.db'\n"
            "open_store(uri)\n"
            "client = MlflowClient(uri)\n"
            "run = client.create_run(experiment_of(client, 'tagging', 'Why?')).info.run_id\n"
            "client.log_text(run, 'here', 'notes.txt')\n"
            "print(client.list_artifacts(run)[0].path)")  # fmt: skip
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=project, capture_output=True, text=True)
    assert done.stdout == "notes.txt\n", done.stderr
    assert [path.name for path in project.iterdir()] == ["mlruns"]
    assert list((project / "mlruns").rglob("notes.txt"))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [STRANGE]


def test_a_database_that_was_copied_without_its_artifacts_is_refused(
    filled: Callable[[str], Path], tmp_path: Path
) -> None:
    from unroll.tracking.store import open_store

    original, other = filled("original"), tmp_path / "other"
    (other / "mlruns").mkdir(parents=True)
    shutil.copy(original / "mlruns" / "mlflow.db", other / "mlruns" / "mlflow.db")
    with pytest.raises(BadInput, match="without the artifacts of the experiment tagging: copy") as caught:
        open_store(uri_of(other))
    assert str(original / "mlruns" / "tagging") in str(caught.value)
    shutil.copytree(original / "mlruns" / "tagging", other / "mlruns" / "tagging")
    before = files(original)
    write_another(other)
    assert files(original) == before


def test_a_database_that_several_projects_share_keeps_their_places(
    filled: Callable[[str], Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from unroll.tracking.store import open_store

    project, shared = filled("project"), tmp_path / "shared" / "runs.db"
    shared.parent.mkdir()
    (project / "mlruns" / "mlflow.db").rename(shared)
    with sqlite3.connect(shared) as connection:
        before = connection.execute("SELECT artifact_uri FROM runs").fetchall()
        open_store(f"sqlite:///{shared}")
        assert connection.execute("SELECT artifact_uri FROM runs").fetchall() == before
    assert "was moved from" not in capsys.readouterr().err


def test_paths_are_rewritten_all_or_none(filled: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from unroll.tracking import sqlite
    from unroll.tracking.store import open_store

    original = filled("original")
    other = original.rename(original.parent / "other")
    before = dump(other)
    with monkeypatch.context() as patch:
        patch.setattr(sqlite, "LOCATIONS", (*sqlite.LOCATIONS, ("nowhere", "at_all")))
        with pytest.raises(BadInput, match="nowhere"):
            open_store(uri_of(other))
    assert dump(other) == before


@pytest.mark.slow
def test_a_copied_project_trains_on_its_own(
    small: Small, project: Path, store: str, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = small("tagging", "lstm", "tracking=mlflow", "tracking.uri=sqlite:///mlruns/mlflow.db", *UNTRACKED)
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    preparation.prepared(config.data)
    command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", "run"]
    assert subprocess.run(command, check=False).returncode == 0
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(project, copy)
    shutil.rmtree(copy / "run")
    before = files(project)
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "was moved from" in done.stderr
    assert files(project) == before
    assert len(list((copy / "mlruns").rglob("history.csv"))) == 2


def test_an_experiment_that_was_deleted_is_restored(
    filled: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    from unroll.tracking.store import experiment_of

    client = MlflowClient(uri_of(filled("project")))
    group = experiment_of(client, "tagging", "Why?")
    client.delete_experiment(group)
    assert experiment_of(client, "tagging", "Why?") == group
    assert "experiment tagging was deleted; it has been restored" in capsys.readouterr().err
    assert len(client.search_runs([group])) == 1


def test_an_experiment_is_one_of_training_with_its_question_and_a_description_of_ones_own_stays(
    filled: Callable[[str], Path],
) -> None:
    from mlflow import MlflowClient

    from unroll.tracking.store import experiment_of

    client = MlflowClient(uri_of(filled("project")))
    group = experiment_of(client, "tagging", "Why?")
    tags = client.get_experiment(group).tags
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    assert tags["mlflow.note.content"] == "Why?"
    client.set_experiment_tag(group, "mlflow.note.content", "My own words")
    experiment_of(client, "tagging", "Why not?")
    assert client.get_experiment(group).tags["mlflow.note.content"] == "My own words"


def as_folder(database: Path) -> None:
    database.mkdir()


def as_text(database: Path) -> None:
    database.write_text("this is no database, however long the text may be " * 40, encoding="utf-8")


def as_others(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE trials (number INTEGER)")


def as_link_to_nothing(database: Path) -> None:
    database.symlink_to("/nowhere/at/all.db")


def in_a_file(database: Path) -> None:
    database.parent.rmdir()
    database.parent.write_text("no folder", encoding="utf-8")


def revised(revision: str) -> Callable[[Path], None]:
    def write(database: Path) -> None:
        shutil.copy(os.environ["GOLDEN"], database)
        with sqlite3.connect(database) as connection:
            connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))

    return write


def cut(database: Path) -> None:
    database.write_bytes(Path(os.environ["GOLDEN"]).read_bytes()[:20_000])


def zeroed(database: Path) -> None:
    content = Path(os.environ["GOLDEN"]).read_bytes()
    database.write_bytes(content[:100] + bytes(len(content) - 100))


BROKEN = {
    "a folder": (as_folder, "it is a folder"),
    "a text": (as_text, "file is not a database"),
    "cut": (cut, "malformed"),
    "zeroed": (zeroed, "malformed|not a database"),
    "another program's": (as_others, "tables of another program"),
    "a link to nothing": (as_link_to_nothing, "unable to open|No such file"),
    "in a file": (in_a_file, "exists|Not a directory"),
    "older": (revised("451aebb31d03"), r"an older MLflow wrote it\); copy it, then run: mlflow db upgrade sqlite:///"),
    "newer": (revised("ffffffffffff"), r"a newer MLflow than 3\.\d+\.\d+ wrote it"),
}


@pytest.mark.parametrize("what", some_slow(BROKEN, *(BROKEN.keys() - {"a link to nothing"})))
def test_a_database_that_cannot_be_opened_ends_in_one_sentence_within_five_seconds(
    what: str, small: Small, project: Path, golden_store: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setenv("GOLDEN", str(golden_store))
    database = project / "mlruns" / "mlflow.db"
    database.parent.mkdir()
    write, reason = BROKEN[what]
    write(database)
    check_refused(small, f"sqlite:///{database}", reason, capsys)


def check_refused(small: Small, uri: str, reason: str, capsys: pytest.CaptureFixture[str]) -> None:
    from unroll.tracking.store import open_store

    start = time.monotonic()
    with pytest.raises(BadInput, match=reason):
        open_store(uri)
    assert time.monotonic() - start < 5
    own = Path("conf/tracking/mlflow.yaml")  # the project's tracker, in place of that of a file of settings
    own.write_text(own.read_text(encoding="utf-8").replace("sqlite:///mlruns/mlflow.db", f"'{uri}'"), encoding="utf-8")
    config = small("tagging", "lstm", "tracking=mlflow", *UNTRACKED)
    preparation.prepared(config.data)
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    capsys.readouterr()
    assert main(["train", "--config", "run.yaml", "--out", "run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    assert error.startswith("unroll: ")
    assert re.search(reason, error), error
    assert "tracking" in error
    assert not Path("run").exists()
    workspace = Path("outputs/working")
    assert not workspace.exists() or not list(workspace.iterdir())


@pytest.mark.slow
def test_a_database_that_is_locked_is_waited_for_and_then_refused(
    small: Small, project: Path, store: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(project / "mlruns" / "mlflow.db", isolation_level=None) as other:
        other.execute("BEGIN EXCLUSIVE")
        check_refused(small, store, "another process has locked it", capsys)
        other.rollback()


def test_a_database_that_may_not_be_written_is_refused(
    small: Small, project: Path, store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    allows = os.access
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK and allows(path, mode))  # root may write all
    check_refused(small, store, "no write permission", capsys)


@pytest.mark.parametrize(
    ("uri", "reason"),
    [
        ("sqlite:///~/mlflow.db", r"does not expand ~; write the path in full: sqlite:////"),
        ("sqlite://", "names no file"),
        pytest.param("sqlite:///", "names no file", marks=pytest.mark.slow),
        pytest.param("sqlite:///:memory:", "names no file", marks=pytest.mark.slow),
        pytest.param(
            "sqlite+pysqlite:///~/mlflow.db",
            r"does not expand ~; write the path in full: sqlite\+pysqlite:////",
            marks=pytest.mark.slow,
        ),
        pytest.param("sqlite:////tmp/a?b/mlflow.db", "write %3F instead", marks=pytest.mark.slow),
    ],
)
def test_a_uri_that_sqlite_takes_for_another_file_is_refused(
    uri: str, reason: str, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check_refused(small, uri, reason, capsys)
    words = ["experiment=adding", "arch=gru", "training.tokens=600", f"tracking.uri={uri}"]
    assert main(["train", *words, "--out", "typed"]) == 2
    assert re.search(reason, capsys.readouterr().err)
    assert not Path("~").exists()
    assert not Path("typed").exists()


def test_the_ui_finds_a_database_whose_path_has_a_blank(
    project: Path, golden_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Started(Exception):
        """The server would run now."""

    def start(*_: object, **__: object) -> None:
        raise Started

    (project / "my runs").mkdir()
    shutil.copy(golden_store, project / "my runs" / "mlflow.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    monkeypatch.setattr("unroll.tracking.mlflow.subprocess.Popen", start)
    with pytest.raises(Started):
        main(["ui", "--uri", "sqlite:///my%20runs/mlflow.db"])


def test_a_server_database_that_is_not_there_is_refused_soon(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("psycopg")
    check_refused(small, "postgresql+psycopg://user:secret@127.0.0.1:9/mlflow", "refused", capsys)
