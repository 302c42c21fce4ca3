"""What MLflow has of a run, whatever befalls its server or the run: every point once, in one run."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from mlflow.entities import Metric

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config
from unroll.errors import BadInput
from unroll.experiment.workspace import locked
from unroll.history import HistoryFile
from unroll.tasks.base import Task
from unroll.tracking import serve

if TYPE_CHECKING:
    from unroll.tracking.spool import Spool

Small = Callable[..., Config]
OFTEN = ("training.checkpoint_seconds=1e-6", "training.validations=3")
Points = Counter[tuple[int, str, float]]


class Killed(BaseException):
    """Stands for SIGKILL."""


def settings(small: Small, uri: str, *overrides: str) -> Config:
    return small("tagging", "lstm", "tracking=mlflow", f"tracking.uri={uri}", "tracking.system_metrics=false",
                 "tracking.log_model=false", *overrides)  # fmt: skip


def train(config: Config, out: Path) -> None:
    experiment.train(config, preparation.prepared(config.data), out)


def written(out: Path) -> Points:
    lines = (out / "history.csv").read_text(encoding="utf-8").splitlines()[1:]
    return Counter((int(step), name, float(value)) for step, name, value in (line.split(",") for line in lines))


def tracked(uri: str) -> tuple[Any, Points]:
    """The one run of a store, and its points."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    (run,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
    names = [name for name in run.data.metrics if name.startswith(("train/", "val/"))]
    points = [point for name in names for point in client.get_metric_history(run.info.run_id, name)]
    return run, Counter((point.step, point.key, point.value) for point in points)


def kill(config: Config, out: Path, monkeypatch: pytest.MonkeyPatch, call: int) -> None:
    step, calls = Task.training_step, iter(range(10_000))

    def counted(self: Task, *arguments: Any) -> Any:
        if next(calls) == call:
            raise Killed
        return step(self, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(Task, "training_step", counted)
        with pytest.raises(Killed):
            train(config, out)


def test_a_run_that_was_killed_goes_on_as_the_same_run(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = settings(small, store, *OFTEN), project / "run"
    for call in (20, 30, 5):
        kill(config, out, monkeypatch, call)
    train(config, out)
    run, points = tracked(store)
    assert run.info.status == "FINISHED"
    assert points == written(out)
    assert max(points.values()) == 1


def test_the_model_of_a_run_that_went_on_belongs_to_the_experiment_of_the_run(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    config, out = settings(small, store, *OFTEN, "tracking.log_model=true"), project / "run"
    kill(config, out, monkeypatch, 20)
    mlflow.set_experiment("Default")  # as in another process, which has opened none
    train(config, out)
    run, _ = tracked(store)
    (output,) = run.outputs.model_outputs
    model = mlflow.MlflowClient(store).get_logged_model(output.model_id)
    assert (model.experiment_id, model.source_run_id) == (run.info.experiment_id, run.info.run_id)
    assert model.status == "READY"
    assert model.name.startswith("tagging-lstm-0")


def gone(*_: object, **__: object) -> None:
    raise OSError("the store is gone")


def test_what_a_store_did_not_take_stays_and_is_sent_later(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from unroll.tracking.spool import Spool

    config, out = settings(small, store, "tracking.log_model=true"), project / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "send", gone)
        patched.setattr(Spool, "send_result", gone)
        train(config, out)
    assert "it is in the folder of the run" in capsys.readouterr().err
    (workspace,) = (project / "outputs" / "working").iterdir()
    assert not list(workspace.glob("*.ckpt"))
    assert tracked(store)[1] == Counter()

    assert main(["sync", "run"]) == 0
    run, points = tracked(store)
    assert capsys.readouterr().out == f"run: sent {sum(points.values())} points.\n"
    assert points == written(out)
    assert run.info.status == "FINISHED"
    assert run.outputs.model_outputs
    assert not list((project / "outputs" / "working").iterdir())
    assert main(["sync", "run"]) == 0
    assert capsys.readouterr().out == "run: there is nothing to send.\n"
    assert tracked(store)[1] == points


@pytest.mark.parametrize("how", [shutil.copytree, shutil.move])
def test_what_a_project_owes_is_sent_from_the_place_to_which_it_was_moved(
    how: Callable[..., Any], small: Small, project: Path, store: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from unroll.tracking.spool import Spool

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "send", gone)
        train(settings(small, store), project / "run")
    moved = tmp_path_factory.mktemp("other") / "project"
    how(project, moved)
    monkeypatch.chdir(moved)
    here = f"sqlite:///{moved}/mlruns/mlflow.db"
    capsys.readouterr()
    assert main(["sync", "run", "--uri", here]) == 0
    assert " sent " in capsys.readouterr().out
    assert tracked(here)[1] == written(moved / "run")
    assert not list((moved / "outputs" / "working").iterdir())


def test_what_is_owed_is_not_looked_for_outside_of_the_project(
    small: Small, project: Path, store: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    from unroll.tracking.spool import Spool

    with monkeypatch.context() as patched:
        patched.setattr(Spool, "send", gone)
        train(settings(small, store), project / "run")
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert main(["sync", str(project / "run")]) == 2
    assert "change to the root of the project" in capsys.readouterr().err


def test_a_model_that_was_not_taken_is_sent_later(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = settings(small, store, "tracking.log_model=true"), project / "run"
    with monkeypatch.context() as patched:
        patched.setattr(serve, "log_model", gone)
        train(config, out)
    assert tracked(store)[0].outputs.model_outputs == []
    experiment.sync(out)
    assert len(tracked(store)[0].outputs.model_outputs) == 1


def test_the_points_of_a_run_that_is_not_finished_can_be_sent(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unroll.tracking.mlflow import MLflowTracker

    config, out = settings(small, store, *OFTEN), project / "run"
    monkeypatch.setattr(MLflowTracker, "_send_until_finished", lambda _: None)
    monkeypatch.setattr(MLflowTracker, "end", lambda *_: False)
    kill(config, out, monkeypatch, 20)
    (workspace,) = (project / "outputs" / "working").iterdir()
    count = len(HistoryFile(workspace).rows())
    assert experiment.sync(workspace).endswith(f"sent {count} points.")
    assert sum(tracked(store)[1].values()) == count > 0
    assert workspace.exists()


def test_a_run_goes_on_while_its_server_is_away(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = settings(small, store, *OFTEN), project / "run"
    kill(config, out, monkeypatch, 20)

    def away(_: str) -> None:
        raise BadInput("MLflow's store cannot be opened.")

    with monkeypatch.context() as patched:
        patched.setattr("unroll.tracking.mlflow.open_store", away)
        train(config, out)
    assert "cannot be opened. The run continues" in capsys.readouterr().err
    run, points = tracked(store)
    assert points == written(out)
    assert run.info.status == "FINISHED"


def test_what_is_said_of_a_run_is_said_once_the_store_takes_it(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    config, out = settings(small, store), project / "run"
    take, calls = MlflowClient.log_batch, iter(range(10_000))

    def late(*arguments: Any, **named: Any) -> Any:
        if next(calls) < 1:
            raise OSError("the store is gone")
        return take(*arguments, **named)

    monkeypatch.setattr(MlflowClient, "log_batch", late)
    train(config, out)
    run, points = tracked(store)
    assert run.data.params["training.batch_size"] == "4"
    assert run.inputs.dataset_inputs
    assert "config.yaml" in {file.path for file in MlflowClient(store).list_artifacts(run.info.run_id)}
    assert points == written(out)


def test_a_run_that_was_made_just_before_a_kill_is_found_again(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    config, out = settings(small, store), project / "run"
    make = MlflowClient.create_run

    def killed(*arguments: Any, **named: Any) -> Any:
        make(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, "create_run", killed)
        with pytest.raises(Killed):
            train(config, out)
    train(config, out)
    run, points = tracked(store)
    assert run.info.status == "FINISHED"
    assert points == written(out)


class Store:
    """What a spool asks of a store; ``trouble`` is raised once a batch was taken, or before it is."""

    def __init__(self) -> None:
        self.points: list[Metric] = []
        self.trouble: dict[str, Exception] = {}
        self.batches = 0

    def log_batch(self, run_id: str, points: list[Metric]) -> None:
        self.batches += 1
        self.raises("before")
        self.points.extend(points)
        self.raises("after")

    def raises(self, when: str) -> None:
        if when in self.trouble:
            raise self.trouble.pop(when)

    def get_run(self, run_id: str) -> Any:
        return SimpleNamespace(data=SimpleNamespace(metrics={point.key: point.value for point in self.points}))

    def get_metric_history(self, run_id: str, name: str) -> list[Metric]:
        largest = sys.float_info.max  # for an infinite value, as MLflow has it
        points = [point for point in self.points if point.key == name]
        return [Metric(p.key, min(p.value, largest), p.timestamp, p.step) for p in points]

    @property
    def rows(self) -> list[tuple[int, str, float]]:
        return [(point.step, point.key, point.value) for point in self.points]


@pytest.fixture
def spooled(project: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[HistoryFile, Store, Callable[[], Spool]]:
    """A history, a store, and what opens a spool between them, as another process does."""
    from unroll.tracking.spool import Spool

    taker = Store()
    monkeypatch.setattr(Spool, "client", taker)

    def opened() -> Spool:
        spool = Spool(project)
        spool.run_id = "run"
        return spool

    return HistoryFile(project), taker, opened


def some(first: int, last: int, now: Callable[[int], int], add: float = 0.0) -> list[list[str]]:
    """Points of steps, with the times of a clock."""
    return [[str(step), "train/loss", repr(step + add), str(now(step))] for step in range(first, last)]


CLOCKS: dict[str, Callable[[int], int]] = {
    "right": lambda step: 1_000_000 + step,
    "set back an hour": lambda step: 5_000_000 + step - 3_600_000 * (step > 6),
    "stopped": lambda _: 1_000_000,
    "backwards": lambda step: 1_000_000 - step,
}
Spooled = tuple[HistoryFile, Store, Callable[[], Any]]


@pytest.mark.parametrize("clock", CLOCKS)
@pytest.mark.parametrize("again", [False, True], ids=["one process", "a new process each time"])
def test_whatever_the_clock_says_each_point_is_sent_once(clock: str, again: bool, spooled: Spooled) -> None:
    history, taker, opened = spooled
    spool = opened()
    for first in range(0, 20, 4):
        history.append(some(first, first + 4, CLOCKS[clock]))
        spool = opened() if again else spool
        spool.send()
        spool.send()
    assert taker.rows == [(step, "train/loss", float(step)) for step in range(20)]


@pytest.mark.parametrize("clock", CLOCKS)
def test_a_run_that_goes_on_in_another_way_sends_what_is_new(clock: str, spooled: Spooled) -> None:
    history, taker, opened = spooled
    now = CLOCKS[clock]
    history.append(some(0, 10, now))
    opened().send()
    history.replace(some(0, 6, now))  # from a checkpoint
    spool = opened()
    spool.send()
    history.append(some(6, 8, now))  # as it was
    spool.send()
    history.append(some(8, 14, now, add=0.5))  # by other code
    spool.send()
    opened().send()
    assert taker.rows == [
        *((step, "train/loss", float(step)) for step in range(10)),
        *((step, "train/loss", step + 0.5) for step in range(8, 14)),
    ]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("again", [False, True], ids=["same process", "another process"])
def test_an_answer_that_was_lost_doubles_and_loses_nothing(when: str, again: bool, spooled: Spooled) -> None:
    history, taker, opened = spooled
    history.append(some(0, 5, CLOCKS["right"]))
    spool = opened()
    spool.send()
    history.append(some(5, 9, CLOCKS["right"]))
    taker.trouble = {when: ConnectionError("the server is gone")}
    with pytest.raises(ConnectionError):
        spool.send()
    history.append(some(9, 12, CLOCKS["set back an hour"]))
    spool = opened() if again else spool
    spool.send()
    spool.send()
    assert taker.rows == [(step, "train/loss", float(step)) for step in range(12)]


@pytest.mark.parametrize("value", ["inf", "nan", "1e-320", "0.1"])
def test_a_value_that_a_store_keeps_in_its_own_way_is_not_sent_twice(value: str, spooled: Spooled) -> None:
    history, taker, opened = spooled
    history.append([["1", "val/loss", value, "1000"], ["1", "val/f1 (ä:b)", value, "1000"]])
    opened().send()
    opened().send()
    assert len(taker.points) == 2


def test_points_that_are_alike_are_all_sent(spooled: Spooled) -> None:
    history, taker, opened = spooled
    history.append([["1", "val/loss", "0.5", "1000"]] * 2)
    opened().send()
    history.append([["1", "val/loss", "0.5", "1000"]])
    opened().send()
    assert len(taker.points) == 3


def test_a_run_that_goes_on_costs_a_store_no_question_while_it_answers(spooled: Spooled) -> None:
    history, taker, opened = spooled
    spool = opened()
    spool.send()
    asked = []
    taker.get_run = lambda _: asked.append(1)  # type: ignore[method-assign]
    for first in range(5):
        history.append(some(first, first + 1, CLOCKS["stopped"]))
        spool.send()
    assert len(taker.points) == 5
    assert not asked


MEMORIES = [b"", b"{", bytes(99), b"[]", b'{"sent": "many"}', b'{"run_id": 3}', b'{"record": {"name": "x"}}',
            b'{"uri": null}', b"\xff"]  # fmt: skip


@pytest.mark.parametrize("content", MEMORIES, ids=range(len(MEMORIES)))
def test_a_memory_that_cannot_be_read_is_reported_and_the_run_sent_again(
    content: bytes, spooled: Spooled, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history, taker, opened = spooled
    history.append(some(0, 5, CLOCKS["right"]))
    (project / "tracking.json").write_bytes(content)
    spool = opened()
    assert "tracking.json is damaged" in capsys.readouterr().err
    spool.send()
    assert len(taker.points) == 5


def test_what_a_run_sends_with_its_clock_set_back_reaches_a_real_store_once(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, out = settings(small, store, *OFTEN), project / "run"
    kill(config, out, monkeypatch, 20)
    clock = time.time
    monkeypatch.setattr("unroll.training.callbacks.time.time", lambda: clock() - 3600)
    kill(config, out, monkeypatch, 5)
    train(config, out)
    run, points = tracked(store)
    assert points == written(out)
    assert max(points.values()) == 1
    assert "cpu" in run.data.tags


def test_another_store_gets_the_run_with_all_of_its_points(
    small: Small, project: Path, store: str, golden_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(golden_store, project / "mlruns" / "other.db")
    other = f"sqlite:///{project}/mlruns/other.db"
    kill(settings(small, store, *OFTEN), project / "run", monkeypatch, 20)
    train(settings(small, other, *OFTEN), project / "run")
    run, points = tracked(other)
    assert points == written(project / "run")
    assert run.data.params
    assert run.info.status == "FINISHED"


def test_sync_leaves_alone_what_is_being_trained_and_what_is_another_run(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = project / "run"
    train(settings(small, store, *OFTEN), out)
    kill(settings(small, store, *OFTEN, "training.clip_norm=0.5"), out, monkeypatch, 20)
    (workspace,) = (project / "outputs" / "working").iterdir()
    capsys.readouterr()
    assert main(["sync", "run"]) == 0
    assert capsys.readouterr().out == "run: there is nothing to send.\n"
    assert (workspace / "last.ckpt").exists()
    with locked(workspace):
        assert main(["sync", str(workspace)]) == 2
    assert "is being trained" in capsys.readouterr().err


def test_a_later_run_leaves_what_an_earlier_one_has_still_to_send(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from unroll.tracking.spool import Spool

    config = settings(small, store)
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "send", gone)
        train(config, project / "one")
    monkeypatch.setattr("unroll.experiment.identity.code_digest", lambda: "c" * 64)
    train(config, project / "two")
    assert experiment.sync(project / "one").endswith("points.")
    assert not list((project / "outputs" / "working").iterdir())


@pytest.mark.parametrize("content", [b"", bytes(200), b"[]", b'{"out": "x"}'])
def test_sync_refuses_a_folder_whose_identity_was_damaged(
    content: bytes, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace = project / "outputs" / "working" / "tagging-lstm-0"
    workspace.mkdir(parents=True)
    (workspace / "identity.json").write_bytes(content)
    assert main(["sync", str(workspace)]) == 2
    said = capsys.readouterr().err
    assert f"{workspace}/identity.json is damaged" in said
    assert "run the command that trained this run again" in said


def test_sync_refuses_what_is_no_run(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sync", "conf"]) == 2
    assert "conf is not a run" in capsys.readouterr().err


def test_sync_refuses_a_store_that_has_forgotten_the_run(
    small: Small, project: Path, store: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from mlflow import MlflowClient

    from unroll.tracking.spool import Spool

    config, out = settings(small, store), project / "run"
    with monkeypatch.context() as patched:
        patched.setattr(Spool, "send_result", gone)
        train(config, out)
    MlflowClient(store).delete_run(tracked(store)[0].info.run_id)
    capsys.readouterr()
    assert main(["sync", "run"]) == 2
    assert "no longer has the run" in capsys.readouterr().err
    assert list((project / "outputs" / "working").iterdir())


class Server:
    """MLflow's own server on loopback, which can be stopped, started again, and made to hang."""

    def __init__(self, store: str, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self.port}"
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", store, "--workers", "1",
                        "--artifacts-destination", str(folder), "--port", str(self.port)]  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = subprocess.Popen(self.command, start_new_session=True, env=environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        for _ in range(240):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):
                return
            time.sleep(0.25)
        pytest.fail("the server did not come up")

    def signal(self, number: int) -> None:
        assert self.process is not None
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        if self.process is not None:
            self.signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def server(store: str, project: Path) -> Iterator[Server]:
    made = Server(store, project / "mlruns")
    yield made
    made.stop()


def command(config: Config, out: str) -> subprocess.Popen[str]:
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    line = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", out,
            f"tracking.uri={config.tracking.uri}"]  # fmt: skip
    return subprocess.Popen(line, stderr=subprocess.PIPE, text=True)


def points_of(project: Path) -> int:
    return sum(len(HistoryFile(folder).rows()) for folder in (project / "outputs" / "working").glob("*"))


def wait_for(project: Path, count: int) -> None:
    """Until a run has written so many points."""
    deadline = time.monotonic() + 120
    while points_of(project) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


LONG = ("training.tokens=400000", "training.validations=40", "tracking.log_model=true", "tracking.system_metrics=true")


@pytest.mark.slow
def test_a_server_that_is_stopped_slow_and_started_again_loses_and_doubles_nothing(
    small: Small, project: Path, store: str, server: Server
) -> None:
    server.start()
    run = command(settings(small, server.uri, *LONG), "run")
    wait_for(project, 100)
    server.stop()
    wait_for(project, 300)
    server.start()
    wait_for(project, points_of(project) + 100)
    server.signal(signal.SIGSTOP)  # it takes requests, and does not answer
    time.sleep(4)
    server.signal(signal.SIGCONT)
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    found, points = tracked(store)
    assert points == written(project / "run")
    assert found.info.status == "FINISHED"
    assert found.outputs.model_outputs
    assert not list((project / "outputs" / "working").iterdir())


@pytest.mark.slow
def test_what_a_server_missed_that_never_came_back_is_sent_by_sync(
    small: Small, project: Path, store: str, server: Server
) -> None:
    server.start()
    run = command(settings(small, server.uri, *LONG), "run")
    wait_for(project, 200)
    server.stop()
    _, errors = run.communicate(timeout=300)
    assert run.returncode == 0, errors
    assert "MLflow did not accept all of this run" in errors
    assert sum(tracked(store)[1].values()) < sum(written(project / "run").values())
    assert main(["sync", "run", "--uri", server.uri]) == 2  # it is still away
    server.start()
    assert main(["sync", "run", "--uri", server.uri]) == 0
    found, points = tracked(store)
    assert points == written(project / "run")
    assert found.info.status == "FINISHED"
    assert found.outputs.model_outputs
