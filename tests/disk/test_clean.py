"""unroll clean: what it shows, what it deletes, and above all what it never deletes."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from unroll.cli import main
from unroll.disk.clean import size
from unroll.disk.leftovers import DAY, inside
from unroll.locks import held

KEPT = ["data/grammar/train.conllu", "outputs/runs/cells/lstm/0/run.json", "outputs/metrics/cells.json",
        "outputs/studies/tuning/study.json", "studies/optuna.db", "paper/data/brown/a", "conf/config.yaml", "dvc.lock",
        "src/cell.py"]  # fmt: skip
GONE = {
    "caches": ["outputs/cache/grammar-1/fit/a", ".mypy_cache/a", "src/__pycache__/a.pyc", "tests/x/__pycache__/b.pyc"],
    "adhoc": ["outputs/adhoc/grammar-lstm-0-abc/run.json", "outputs/adhoc/certificates/a.json",
              "outputs/adhoc/.old.unroll-x/weights"],
    "kept": ["outputs/kept/cells-lstm-0-aa/seal.json", "outputs/kept/cells-lstm-1-bb/run/run.json"],
    "working": ["outputs/working/cells-lstm-0-aa/last.ckpt"],
}  # fmt: skip
ALL = [name for names in GONE.values() for name in names]


def write(name: str, days: float = 0) -> Path:
    """A file of 1,000 bytes; it and the two folders around it were written some days ago."""
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x" * 1000)
    for one in (path, path.parent, path.parent.parent):
        os.utime(one, (time.time() - days * DAY,) * 2)
    return path


@pytest.fixture
def used(project: Path) -> Path:
    """A project in which people have worked for a while."""
    for name in (*KEPT, *ALL):
        write(name)
    return project


def left(names: list[str]) -> list[str]:
    return [name for name in names if Path(name).exists()]


def test_without_a_kind_it_shows_sizes_and_deletes_nothing(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(used.rglob("*"))
    assert main(["clean"]) == 0
    said = capsys.readouterr().out
    for kind, names in GONE.items():
        line = next(line for line in said.splitlines() if line.startswith(f"{kind} "))
        assert f" {len(names)} found" in line
        assert " kB " in line
    assert sorted(used.rglob("*")) == before


@pytest.mark.parametrize("kind", GONE)
def test_a_kind_is_deleted_and_nothing_else(kind: str, used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", kind, "--yes"]) == 0
    assert left(GONE[kind]) == []
    others = [name for other, names in GONE.items() if other != kind for name in names]
    assert left([*others, *KEPT]) == [*others, *KEPT]
    assert capsys.readouterr().out.splitlines()[-1].endswith(" deleted.")
    assert main(["clean", kind, "--yes"]) == 0
    assert capsys.readouterr().out == "There is nothing to delete.\n"


def test_without_a_terminal_nothing_is_deleted_unasked(used: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["clean", "caches", "adhoc", "working"]) == 2
    captured = capsys.readouterr()
    assert "--yes" in captured.err
    assert "outputs/adhoc/grammar-lstm-0-abc" in captured.out  # sizes come first
    assert left(ALL) == ALL


@pytest.mark.parametrize(("answer", "deleted"), [("y", True), ("YES", True), ("", False), ("n", False), ("x", False)])
def test_it_asks(answer: str, deleted: bool, used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def ask(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ask)
    assert main(["clean", "adhoc"]) == 0
    assert len(asked) == 1
    assert bool(left(GONE["adhoc"])) != deleted


def test_only_what_is_old_enough(used: Path) -> None:
    write("outputs/adhoc/old/run.json", days=10)
    assert main(["clean", "adhoc", "caches", "working", "--days", "9", "--yes"]) == 0
    assert not Path("outputs/adhoc/old").exists()
    assert left(ALL) == ALL


def test_a_run_in_training_keeps_its_folder_and_its_data(used: Path) -> None:
    workspace = Path("outputs/working/cells-gru-0-bb")
    kept = [f"{workspace}/last.ckpt", "outputs/cache/grammar-1/fit/a", "outputs/adhoc/gru/run.json"]
    for name in (*kept, f"{workspace}/lock"):
        write(name)
    (workspace / "identity.json").write_text(f'{{"out": "{used}/outputs/adhoc/gru"}}', encoding="utf-8")
    with held(workspace / "lock"):
        assert main(["clean", "caches", "adhoc", "working", "--yes"]) == 0
        assert left(kept) == kept
        assert left([*GONE["working"], *GONE["adhoc"], ".mypy_cache/a"]) == []
    assert main(["clean", "caches", "working", "adhoc", "--yes"]) == 0
    assert left(kept) == []


def test_a_folder_that_is_being_written_stays(used: Path) -> None:
    descriptor = os.open("outputs/adhoc/.old.unroll-x", os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)  # as unroll.outputs.whole holds its temporary folder
    assert main(["clean", "adhoc", "--yes"]) == 0
    assert Path("outputs/adhoc/.old.unroll-x/weights").exists()
    os.close(descriptor)


@pytest.mark.parametrize("link", ["outputs/adhoc/link", "outputs/adhoc", "outputs", "outputs/cache", ".mypy_cache",
                                  "src/__pycache__", "src", "outputs/working", "outputs/adhoc/run/inner"])  # fmt: skip
def test_nothing_behind_a_link_is_deleted(link: str, used: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("file", "adhoc/run/file", "cache/a/file", "working/a/file", "__pycache__/file"):
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_text("precious", encoding="utf-8")
    before = sorted(elsewhere.rglob("*"))
    path = Path(link)
    if path.is_dir():
        shutil.rmtree(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(elsewhere, target_is_directory=True)
    assert main(["clean", "caches", "adhoc", "working", "--yes"]) == 0
    assert sorted(elsewhere.rglob("*")) == before


def test_inside_means_in_this_project_and_not_the_project_itself(project: Path) -> None:
    (project / "a").mkdir()
    assert inside(Path("a"))
    assert inside(project / "a")
    for path in (Path(), Path(".."), Path("a/../.."), Path("/"), project.parent, Path("a/../../other")):
        assert not inside(path)


@pytest.mark.parametrize(("words", "part"), [(["cache"], "caches"), (["adhoc", "--days", "-1"], "--days"),
                                             (["adhoc", "--days", "nan"], "--days"), (["data"], "data")])  # fmt: skip
def test_what_a_person_got_wrong_deletes_nothing(
    words: list[str], part: str, used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", *words, "--yes"]) == 2
    assert part in capsys.readouterr().err
    assert left(ALL) == ALL


def test_outside_a_project_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "outputs" / "adhoc" / "a").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert main(["clean", "adhoc", "--yes"]) == 2
    assert (tmp_path / "outputs" / "adhoc" / "a").exists()


@pytest.mark.slow
def test_deleted_runs_and_artifacts_of_no_run_go_and_others_stay(store: str, project: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment("cells", artifact_location=f"{project}/mlruns/1")
    runs = []
    for name in ("kept", "deleted"):
        with mlflow.start_run(experiment_id=experiment, run_name=name) as run:
            mlflow.log_text("x" * 5000, "notes.txt")
            runs.append(run.info.run_id)
    mlflow.MlflowClient().delete_run(runs[1])
    orphan, young, other = f"mlruns/1/{'a' * 32}/artifacts", f"mlruns/1/{'b' * 32}/artifacts", "mlruns/1/my-notes/old"
    for path, days in ((orphan, 3), (young, 0), (other, 9)):
        write(path, days)
    assert main(["clean", "mlflow", "--yes"]) == 0
    assert left([orphan, young, other]) == [young, other]  # the run of the young one may be about to be written
    assert Path(f"mlruns/1/{runs[0]}/artifacts/notes.txt").exists()
    assert not Path(f"mlruns/1/{runs[1]}").exists()
    found = mlflow.MlflowClient().search_runs([experiment], run_view_type=mlflow.entities.ViewType.ALL)
    assert [run.info.run_id for run in found] == [runs[0]]


@pytest.mark.parametrize("named", ["data/mine/artifacts", "src", ".", "", "mlruns/../data/mine", "mlruns"])
@pytest.mark.parametrize("table", ["runs", "experiments"])
def test_a_database_that_names_other_folders_deletes_nothing_of_them(
    table: str, named: str, store: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    mlflow.set_tracking_uri(store)
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("cells", artifact_location=f"{project}/mlruns/1")
    run = client.create_run(experiment).info.run_id
    client.delete_run(run)
    client.delete_experiment(experiment)
    column = "artifact_uri" if table == "runs" else "artifact_location"
    with closing(sqlite3.connect("mlruns/mlflow.db")) as database:
        database.execute(f"UPDATE {table} SET {column} = ? WHERE lifecycle_stage = 'deleted'", (named,))
        database.commit()
    kept = ["data/mine/artifacts/train.txt", "data/mine/train.txt", "src/cell.py"]
    for name in kept:
        write(name, days=9)
    is_inside = named == "mlruns"  # the folder of all, which an experiment may have; it is never deleted as a whole
    assert main(["clean", "mlflow", "--yes"]) == (0 if is_inside else 2)
    assert ("outside mlruns/" in capsys.readouterr().err) != is_inside
    assert left(kept) == kept
    assert Path("mlruns/mlflow.db").exists()


def test_artifacts_of_runs_that_were_sent_to_a_server_stay(store: str, project: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(store)  # as a server does on this database: unroll ui
    client = mlflow.MlflowClient()
    experiment = client.create_experiment("cells", artifact_location="mlflow-artifacts:/7")
    run = client.create_run(experiment).info
    model = client.create_logged_model(experiment, "model", run.run_id)
    assert (run.artifact_uri, model.artifact_location) == (
        f"mlflow-artifacts:/7/{run.run_id}/artifacts", f"mlflow-artifacts:/7/models/{model.model_id}/artifacts",
    )  # fmt: skip
    kept = [f"mlruns/7/{run.run_id}/artifacts", f"mlruns/7/models/{model.model_id}/artifacts"]
    orphan = f"mlruns/7/{'a' * 32}/artifacts"
    for name in (*kept, orphan):
        write(name, days=9)
    assert main(["clean", "mlflow", "--yes"]) == 0
    assert left([*kept, orphan]) == kept


def test_artifacts_of_an_experiment_of_another_database_stay(store: str, project: Path) -> None:
    kept = [f"mlruns/8/{'a' * 32}/artifacts", f"mlruns/8/models/m-{'a' * 32}/artifacts"]
    for name in kept:
        write(name, days=9)
    assert main(["clean", "mlflow", "--yes"]) == 0
    assert left(kept) == kept


def test_where_the_tracker_is_another_one_nothing_of_mlflow_is_deleted(
    store: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import mlflow

    uri = "postgresql+psycopg://mlflow:secret@127.0.0.1/mlflow"
    Path("conf/tracking/mlflow.yaml").write_text(
        f"name: mlflow\nuri: {uri}\nsystem_metrics: false\nlog_model: false\n", encoding="utf-8"
    )
    mlflow.set_tracking_uri(store)
    mlflow.MlflowClient().create_experiment("cells", artifact_location=f"{project}/mlruns/1")
    artifact = write(f"mlruns/1/{'a' * 32}/artifacts", days=9)
    assert main(["clean", "mlflow", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "mlruns/mlflow.db" in said
    assert "secret" not in said
    assert artifact.exists()


@pytest.mark.parametrize("kind", ["mlflow", "dvc"])
def test_days_are_refused_where_they_would_have_no_effect(
    kind: str, used: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["clean", "caches", kind, "--days", "30", "--yes"]) == 2
    said = capsys.readouterr().err
    assert "--days" in said
    assert kind in said
    assert left(ALL) == ALL


def test_caches_of_packages_are_found_whatever_their_names(used: Path) -> None:
    caches = [f"src/{name}/__pycache__/a.pyc" for name in ("data", "outputs", "studies")]
    kept = [".venv/lib/__pycache__/a.pyc", "data/__pycache__/a.pyc", "src/.venv/lib/__pycache__/a.pyc"]
    for name in (*caches, *kept):
        write(name)
    assert main(["clean", "caches", "--yes"]) == 0
    assert left([*caches, *kept]) == kept


@pytest.mark.slow
def test_a_deleted_experiment_does_not_take_along_what_shares_its_folder(store: str, project: Path) -> None:
    import mlflow

    mlflow.set_tracking_uri(store)
    kept = []
    for name in ("kept", "deleted"):
        experiment = mlflow.create_experiment(name, artifact_location=f"{project}/mlruns")
        with mlflow.start_run(experiment_id=experiment) as run:
            mlflow.log_text("x", "notes.txt")
        kept.append(Path(f"mlruns/{run.info.run_id}/artifacts/notes.txt"))
    mlflow.delete_experiment(experiment)
    assert main(["clean", "mlflow", "--yes"]) == 0
    assert [path.exists() for path in kept] == [True, False]
    assert Path("mlruns/mlflow.db").exists()


def test_artifacts_outside_the_project_are_never_deleted(
    store: str, project: Path, capsys: pytest.CaptureFixture[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    import mlflow

    elsewhere = tmp_path_factory.mktemp("elsewhere")
    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment("moved", artifact_location=f"{elsewhere}/mlruns/1")
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_text("x", "notes.txt")
    mlflow.MlflowClient().delete_run(run.info.run_id)
    assert main(["clean", "mlflow", "--yes"]) == 2
    assert str(elsewhere) in capsys.readouterr().err
    assert (elsewhere / "mlruns" / "1" / run.info.run_id / "artifacts" / "notes.txt").exists()
    assert mlflow.get_run(run.info.run_id).info.lifecycle_stage == "deleted"


def test_a_project_that_was_copied_keeps_the_artifacts_that_came_along(
    store: str, project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    mlflow.set_tracking_uri(store)
    experiment = mlflow.create_experiment("cells", artifact_location=f"{project}/mlruns/cells")
    with mlflow.start_run(experiment_id=experiment) as run:
        mlflow.log_text("x", "notes.txt")
    folder = Path("mlruns/cells") / run.info.run_id
    os.utime(folder, (0, 0))
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(project, copy)
    monkeypatch.chdir(copy)
    assert main(["clean", "mlflow", "--yes"]) == 0
    assert (folder / "artifacts" / "notes.txt").exists()
    mlflow.MlflowClient(store).delete_run(run.info.run_id)  # in the original alone
    assert main(["clean", "mlflow", "--yes"]) == 0
    assert (folder / "artifacts" / "notes.txt").exists()
    assert (project / folder / "artifacts" / "notes.txt").exists()


def test_a_database_that_cannot_be_read_deletes_nothing(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write("mlruns/mlflow.db")
    artifact = write(f"mlruns/1/{'a' * 32}/artifacts", days=9)
    assert main(["clean", "mlflow", "--yes"]) == 2
    assert "mlruns/mlflow.db" in capsys.readouterr().err
    assert artifact.exists()


@pytest.fixture
def pipeline(project: Path) -> Path:
    """A stage that has run twice, with another result each time."""
    for words in (["git", "init", "-q", "."], ["dvc", "init", "-q"]):
        subprocess.run(words, check=True)
    for number in (1, 2):
        stage = f"stages: {{a: {{cmd: echo {number} > result, outs: [result]}}}}\n"
        Path("dvc.yaml").write_text(stage, encoding="utf-8")
        subprocess.run(["dvc", "repro", "-q"], check=True)
    return project


def objects(cache: Path = Path(".dvc/cache")) -> int:
    return len([path for path in (cache / "files").rglob("*") if path.is_file()])


@pytest.mark.slow
def test_former_results_go_from_the_cache_and_present_ones_stay(pipeline: Path) -> None:
    assert objects() == 2
    assert main(["clean", "dvc"]) == 2
    assert objects() == 2
    assert main(["clean", "dvc", "--yes"]) == 0
    assert objects() == 1
    Path("result").unlink()
    subprocess.run(["dvc", "checkout", "-q"], check=True)
    assert Path("result").read_text(encoding="utf-8") == "2\n"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["no lock", "a conflict", "a shared cache"])
def test_the_cache_stays_where_it_is_not_known_what_is_needed(
    fault: str, pipeline: Path, tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    cache, lock = Path(".dvc/cache"), Path("dvc.lock")
    if fault == "no lock":
        lock.unlink()
    elif fault == "a conflict":
        lock.write_text("<<<<<<< ours\n" + lock.read_text(encoding="utf-8"), encoding="utf-8")
    else:
        cache = Path(shutil.move(cache, tmp_path_factory.mktemp("shared") / "cache"))
        subprocess.run(["dvc", "cache", "dir", str(cache)], check=True)
    assert main(["clean", "dvc", "--yes"]) == 2
    assert (str(cache) if fault == "a shared cache" else "dvc.lock") in capsys.readouterr().err
    assert objects(cache) == 2


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (3_200_000, "3.2 MB"),
                                             (7.5e9, "7.5 GB"), (2e13, "20.0 TB")])  # fmt: skip
def test_sizes_read_well(count: float, text: str) -> None:
    assert size(count) == text
