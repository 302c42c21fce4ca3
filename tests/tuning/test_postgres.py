"""Studies on PostgreSQL: several hosts' workers, killed, and a server that is killed under them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from postgresql import PostgreSQL, program, serving
from studying import complete, job_of, open_study, write_study

from unroll.config import Config
from unroll.tuning.study import Study

pytestmark = pytest.mark.postgres
Small = Callable[..., Config]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    with serving("optuna") as server:
        yield server


@pytest.fixture
def empty(server: PostgreSQL) -> Iterator[str]:
    """An empty database on the server."""
    address = ("-h", "127.0.0.1", "-p", str(server.port), "-U", "unroll", "empty")
    server.do(program("createdb"), *address)
    yield server.uri.removesuffix(server.database) + "empty"
    server.do(program("dropdb"), "--force", *address)


def begin(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "tune", "study=tiny", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def workers(command: int) -> list[int]:
    """The workers of a command that live: of one that is dead and waits for its parent there is no command line."""
    wanted = ["pgrep", "-P", str(command), "-f", "unroll.tuning"]
    done = subprocess.run(wanted, capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


@contextlib.contextmanager
def closing(study: Study) -> Iterator[Study]:
    """A study whose connections are closed afterwards, as a process's are when it ends."""
    yield study
    study.storage.remove_session()
    study.storage.engine.dispose()


def check_whole(study: Study, store: str, count: int) -> None:
    """Every trial is there once, in Optuna and in MLflow."""
    import mlflow

    slots = study.slots()
    assert not study.left()
    assert [slot.number for slot in slots] == list(range(count))
    assert {slot.state for slot in slots} <= {"COMPLETE", "PRUNED"}
    complete = sum(slot.state == "COMPLETE" for slot in slots)
    client = mlflow.MlflowClient(store)
    runs = client.search_runs([group.experiment_id for group in client.search_experiments()], max_results=1_000)
    (parent,) = [run for run in runs if "unroll.study" in run.data.tags]
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(int(run.data.tags["trial"]) for run in below) == list(range(count))
    assert parent.info.status == "FINISHED"
    counted = {state: parent.data.metrics[f"trials/{state}"] for state in ("complete", "pruned", "fail")}
    assert counted == {"complete": complete, "pruned": count - complete, "fail": 0}


def tracked(store: str) -> dict[str, Any]:
    return {"tracking": "mlflow", "tracking.uri": store, "tracking.system_metrics": False}


def test_forty_trials_survive_two_workers_and_the_server_that_are_killed(
    server: PostgreSQL, small: Small, store: str
) -> None:
    common = {**write_study().study.settings, **tracked(store)}
    settings = write_study(settings=common, trials=40, storage=server.uri, heartbeat=2, grace=6,
                        pruner={"name": "median", "warmup": 0.0})  # fmt: skip
    moments = random.Random(0)
    command = begin("--workers", "4")
    with closing(job_of(settings).open()) as study:
        while sum(slot.state == "COMPLETE" for slot in study.slots()) < 3:
            assert command.poll() is None, command.communicate()
            time.sleep(0.5)
    for left in (3, 2):
        time.sleep(moments.uniform(0, 3))
        os.kill(moments.choice(workers(command.pid)), signal.SIGKILL)
        while len(workers(command.pid)) > left:
            time.sleep(0.01)
        assert len(workers(command.pid)) == left
    time.sleep(1)
    server.kill()
    time.sleep(3)
    server.start()
    told = command.communicate(timeout=240)[0]
    assert command.returncode == 0, told
    with closing(job_of(settings).open()) as study:
        check_whole(study, store, 40)


def test_two_commands_on_one_server_work_at_one_study(server: PostgreSQL, small: Small, store: str) -> None:
    common = {**write_study().study.settings, **tracked(store)}
    settings = write_study(settings=common, trials=6, storage=server.uri)
    commands = [begin("--out", f"outputs/studies/{name}") for name in ("one", "other")]
    told = [command.communicate(timeout=120)[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], told
    with closing(job_of(settings).open()) as study:
        check_whole(study, store, 6)
    assert Path("outputs/studies/one/trials.csv").read_bytes() == Path("outputs/studies/other/trials.csv").read_bytes()


def test_whoever_opens_an_empty_database_at_once_on_a_server_opens_it(empty: str) -> None:
    from multiprocessing import get_context

    gate = get_context("fork").Barrier(4)

    def make() -> None:
        gate.wait()
        with closing(open_study(empty, trials=2)) as study:
            study.refill()

    processes = [get_context("fork").Process(target=make) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    with closing(open_study(empty, trials=2)) as study:
        assert len(study.study.trials) == 2


def test_whoever_works_at_once_on_a_server_gets_another_trial(server: PostgreSQL) -> None:
    from multiprocessing import get_context

    def work() -> None:
        with closing(open_study(server.uri, trials=30)) as study:
            while study.left():
                study.refill()
                lease = study.acquire()
                if lease is not None:
                    complete(lease)

    processes = [get_context("fork").Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    with closing(open_study(server.uri, trials=30)) as study:
        assert [slot.state for slot in study.slots()] == ["COMPLETE"] * 30
        assert len(study.study.trials) == 30
        assert len({slot.values["x"] for slot in study.slots()}) == 30
