"""``unroll tune`` from its first trial to its last, with its runs in MLflow, killed and started again."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from studying import forget, job_of, write_study

from unroll.cli import main
from unroll.config import Config, StudySettings
from unroll.errors import BadInput
from unroll.experiment import train, training
from unroll.experiment.workspace import WORKSPACES
from unroll.tracking.parent import close_parent
from unroll.training.checkpoint import usable
from unroll.tuning import tune, worker

Small = Callable[..., Config]
STORAGE = "sqlite:///studies/optuna.db"
PLAIN = {"training.optimizer.name": "sgd", "training.clip_norm": None, "arch": "rnn"}
OUT = Path("outputs/studies/tiny")
WORDS = ["tune", "study=tiny", "--out", str(OUT)]
COMMAND = [sys.executable, "-W", "ignore", "-m", "unroll.cli", *WORDS]


def settings_of(**differences: Any) -> dict[str, Any]:
    return {**write_study().study.settings, **differences}


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def dump(path: Path) -> list[str]:
    with sqlite3.connect(path) as database:
        return list(database.iterdump())


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows() -> list[dict[str, str]]:
    with (OUT / "trials.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def children_of(store: str) -> tuple[Any, list[Any]]:
    """The run of a study in MLflow, and those under it."""
    import mlflow

    client = mlflow.MlflowClient(store)
    groups = [group.experiment_id for group in client.search_experiments()]
    runs = client.search_runs(groups, max_results=1_000)
    (parent,) = [run for run in runs if "unroll.study" in run.data.tags]
    below = [run for run in runs if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert len(below) == len(runs) - 1
    return parent, below


@pytest.mark.slow
def test_a_study_is_run_reported_and_not_touched_again(
    small: Small, store: str, project: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(**PLAIN, tracking="mlflow", **{"tracking.uri": store, "tracking.system_metrics": False})
    space = {"training.optimizer.learning_rate": [1e-2, 1e-9, 1e30]}
    pruner = {"name": "median", "startup_trials": 1, "warmup": 0.0}
    write_study(settings=settings, space=space, sampler={"name": "grid"}, trials=None, pruner=pruner)
    with monkeypatch.context() as patch:
        patch.setattr("unroll.tuning.tune._close", interrupt)  # its run in MLflow is open when all else is written
        assert main(WORDS) == 130
    assert re.search(r"tiny-\w+ · 3 of 3 trials · best loss .* · 1 pruned · 1 failed\n", capfd.readouterr().err)
    assert main(WORDS) == 0
    told = capfd.readouterr()
    assert "trials: 1 complete, 1 pruned, 1 failed" in told.out
    assert [row["state"] for row in rows()] == ["COMPLETE", "PRUNED", "FAIL"]
    assert rows()[2]["error"].startswith("The loss or its gradient was not finite")

    parent, below = children_of(store)
    found = {run.data.tags["trial"]: run for run in below}
    assert {trial: run.info.status for trial, run in found.items()} == {"0": "FINISHED", "1": "KILLED", "2": "FAILED"}
    assert [found[trial].data.tags.get("pruned") for trial in "012"] == [None, "yes", None]
    assert found["2"].data.tags["error"] == rows()[2]["error"]
    assert all(run.info.experiment_id == parent.info.experiment_id for run in below)
    assert parent.info.status == "FINISHED"
    figures = {name: value for name, value in parent.data.metrics.items() if name.startswith("trials/")}
    assert figures == {"trials/complete": 1, "trials/pruned": 1, "trials/too_costly": 0, "trials/fail": 1}
    assert parent.data.metrics["best/rnn"] == float(rows()[0]["value"])
    assert not [run for run in below if run.outputs and run.outputs.model_outputs]  # no model is logged

    databases = [Path("studies/optuna.db"), Path("mlruns/mlflow.db")]
    before = [dump(path) for path in databases], files(Path("outputs"))
    assert main([*WORDS, "--workers", "2"]) == 0
    again = capfd.readouterr()
    assert again.out == told.out
    assert re.search(r"tiny-\w+ is finished, and nothing was trained\.\n", again.err)
    assert ([dump(path) for path in databases], files(Path("outputs"))) == before


@pytest.mark.slow
def test_a_study_of_which_no_trial_is_complete_is_ended_as_failed_and_says_why(
    small: Small, store: str, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = settings_of(**PLAIN, tracking="mlflow", **{"tracking.uri": store, "tracking.system_metrics": False})
    write_study(settings=settings, trials=1, space={"training.optimizer.learning_rate": [1e30]})
    for _ in range(2):
        assert main(WORDS) == 2
        told = capfd.readouterr().err.splitlines()[-1]
        assert told.startswith("unroll: No trial of tiny-")
        assert "the last one: The loss or its gradient was not finite" in told
    parent, below = children_of(store)
    assert parent.info.status == "FAILED"
    assert f"unroll: {parent.data.tags['error']}" == told
    assert parent.data.metrics["trials/fail"] == 1
    assert [run.info.status for run in below] == ["FAILED"]
    assert not OUT.exists()


def test_what_is_refused_leaves_no_study(small: Small, capfd: pytest.CaptureFixture[str]) -> None:
    write_study(constraints={"parameters": 3, "memory": None})
    assert main(WORDS) == 2
    assert "has no corner within its constraints" in capfd.readouterr().err
    write_study()
    Path("notes.txt").write_text("keep", encoding="utf-8")
    assert main(["tune", "study=tiny", "--out", "notes.txt"]) == 2
    assert "notes.txt is a file; choose an output folder" in capfd.readouterr().err
    assert not Path("studies").exists()


def test_another_space_is_another_study_and_says_so(
    small: Small, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = job_of(write_study(trials=1)), job_of(write_study(trials=2))
    first.open().refill()
    monkeypatch.setattr("unroll.tuning.tune._work", lambda *_: pytest.skip("it would begin"))
    with contextlib.suppress(pytest.skip.Exception):
        main(WORDS)
    told = capfd.readouterr().err
    assert f"{first.name} in {STORAGE} has another space, budget, data or code" in told
    assert f"{second.name} starts from its first trial" in told


def test_a_machine_whose_store_has_not_the_run_of_the_study_refuses_before_the_first_trial(
    small: Small, store: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_of(write_study(settings=settings_of(tracking="mlflow", **{"tracking.uri": store}), trials=1))
    job.open().note(f"mlflow {store}", lambda: "0123")  # another machine's, whose file has the same name
    monkeypatch.setattr("unroll.tuning.tune._work", lambda *_: pytest.fail("it begins"))
    assert main(["tune", "study=tiny"]) == 2
    assert f"unroll: MLflow's store {store} has no run 0123, the run of the study" in capfd.readouterr().err
    with pytest.raises(BadInput, match="has no run 0123"):  # when the other machine has done all
        close_parent(store, "0123", {}, {}, Path("outputs"))


def test_the_databases_of_optuna_and_mlflow_are_two(
    small: Small, store: str, capfd: pytest.CaptureFixture[str]
) -> None:
    before = dump(Path("mlruns/mlflow.db"))
    write_study(storage="sqlite:///mlruns/mlflow.db")
    assert main(WORDS) == 2
    assert (
        "unroll: Optuna's database sqlite:///mlruns/mlflow.db cannot be opened (it has tables" in capfd.readouterr().err
    )
    assert dump(Path("mlruns/mlflow.db")) == before


@pytest.mark.slow
def test_the_networks_of_a_finished_study_are_not_counted_again(
    small: Small, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    space = {"arch": ["rnn", "gru"], "seed": [0]}
    settings = {key: value for key, value in settings_of(**PLAIN).items() if key != "arch"}
    write_study(settings=settings, space=space, sampler={"name": "grid"}, trials=None, match="parameters")
    assert main(WORDS) == 0
    first, second = (int(row["parameters"]) for row in rows())
    assert second == pytest.approx(first, rel=0.1)
    told = capfd.readouterr().out
    monkeypatch.setattr("unroll.tuning.cost._weights", None)
    assert main(WORDS) == 0
    assert capfd.readouterr().out == told


def test_where_cores_cannot_be_shared_out_workers_have_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    for name in ("sched_getaffinity", "sched_setaffinity"):
        monkeypatch.delattr(os, name)
    tune._bind(os.getpid(), 0, 1)


# ---- kills


def children(process: int) -> list[int]:
    done = subprocess.run(["pgrep", "-P", str(process)], capture_output=True, text=True, check=False)
    return [int(word) for word in done.stdout.split()]


def kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGKILL)


def is_there(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    except OSError:
        return False


def wait_until(is_so: Callable[[], bool], seconds: float = 90) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


def begin(*words: str, **named: Any) -> subprocess.Popen[str]:
    return subprocess.Popen([*COMMAND, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **named)


def check_whole(settings: StudySettings, store: str, count: int) -> None:
    """Every trial is there once, in Optuna, on disk and in MLflow."""
    study = job_of(settings).open()
    assert not study.left()
    slots = study.slots()
    assert [slot.number for slot in slots] == list(range(count))
    assert {slot.state for slot in slots} <= {"COMPLETE", "PRUNED"}
    assert len(rows()) == count
    done = {slot.number for slot in slots if slot.state == "COMPLETE"}
    assert {int(path.name) for path in job_of(settings).folder.iterdir()} == done
    parent, below = children_of(store)
    assert sorted(int(run.data.tags["trial"]) for run in below) == list(range(count))
    status = {int(run.data.tags["trial"]): run.info.status for run in below}
    assert {number for number, state in status.items() if state == "FINISHED"} == done
    assert set(status.values()) <= {"FINISHED", "KILLED"}
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials/complete"] == len(done)
    assert parent.data.metrics["trials/pruned"] == count - len(done)


@pytest.mark.slow
def test_workers_that_are_killed_at_random_moments_lose_and_double_no_trial(small: Small, store: str) -> None:
    settings = settings_of(tracking="mlflow", **{"tracking.uri": store, "tracking.system_metrics": False})
    study = write_study(settings=settings, trials=20, pruner={"name": "median", "warmup": 0.0}, heartbeat=1, grace=3)
    moments, kills = random.Random(0), 0
    for _ in range(20):
        command = begin("--workers", "2")
        while command.poll() is None:
            time.sleep(moments.uniform(4, 9) if kills < 4 else 1)
            running = children(command.pid)
            if running and kills < 4:
                kill(moments.choice(running))
                kills += 1
        told = command.communicate()[0]
        assert command.returncode in (0, 1), told
        if command.returncode == 0:
            break
        assert "run the same command again to resume the study" in told
    assert kills > 1
    check_whole(study, store, 20)


@pytest.mark.slow
def test_when_all_are_killed_the_same_command_goes_on_from_checkpoints(
    small: Small, store: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(tracking="mlflow", **{"tracking.uri": store, "tracking.system_metrics": False,
                                                 "training.tokens": 4_800, "training.validations": 24})  # fmt: skip
    study = write_study(settings=settings, trials=3)
    job = job_of(study)
    job.open()
    command = begin("--workers", "2")
    wait_until(lambda: sum(len(slot.reports) > 3 for slot in job.open().slots()) == 2)
    workers = children(command.pid)
    kill(command.pid)
    command.communicate()
    wait_until(lambda: not any(map(is_there, workers)), seconds=5)  # nobody else would end them
    before = job.open().slots()
    assert len([slot for slot in before if slot.state == "RUNNING"]) == 2
    forget(STORAGE)

    found: list[Any] = []
    monkeypatch.setattr(training, "usable", lambda *rest: found.append(usable(*rest)) or found[-1])
    worker.work(job)  # as the command's workers do
    assert [checkpoint is not None for checkpoint in found].count(True) == 2
    last = begin()
    assert "trials: 3 complete" in last.communicate()[0]
    slots = job.open().slots()
    assert [slot.values for slot in slots if slot.number < 2] == [slot.values for slot in before if slot.number < 2]
    for slot in slots:
        assert list(slot.reports) == list(range(200, 4_801, 200))
        config = job.space.run(slot.values)
        config = config.model_copy(update={"tracking": config.tracking.model_copy(update={"name": "none"})})
        alone, tried = project / f"alone-{slot.number}", job.folder / f"{slot.number:03}"
        assert train(config, job.prepared_for(config), alone)["loss"] == slot.value
        for name in ("weights.safetensors", "history.csv"):
            assert (tried / name).read_bytes() == (alone / name).read_bytes()


@pytest.mark.slow
def test_two_commands_at_once_work_at_one_study_under_one_run(small: Small, store: str) -> None:
    settings = settings_of(tracking="mlflow", **{"tracking.uri": store, "tracking.system_metrics": False})
    study = write_study(settings=settings, trials=6)
    commands = [begin("--out", f"outputs/studies/{name}") for name in ("tiny", "other")]
    told = [command.communicate()[0] for command in commands]
    assert [command.returncode for command in commands] == [0, 0], told
    check_whole(study, store, 6)
    assert (OUT / "trials.csv").read_bytes() == Path("outputs/studies/other/trials.csv").read_bytes()


@pytest.mark.slow
def test_ctrl_c_at_a_terminal_reaches_the_workers_by_the_command_alone(small: Small) -> None:
    settings = settings_of(**{"training.tokens": 24_000, "training.validations": 120})
    job = job_of(write_study(settings=settings, trials=2, heartbeat=20, grace=600, retries=0))
    job.open()
    command = begin("--workers", "2", process_group=0)
    wait_until(lambda: sum(len(slot.reports) > 3 for slot in job.open().slots()) == 2)
    workers = children(command.pid)
    assert len(workers) == 2
    assert all(os.getpgid(worker) == worker for worker in workers)
    os.killpg(command.pid, signal.SIGINT)
    assert "Traceback" not in command.communicate()[0]
    assert command.returncode == 130
    assert [slot.state for slot in job.open().slots()] == ["WAITING", "WAITING"]
    assert not any(map(is_there, workers))


@pytest.mark.slow
def test_ctrl_c_leaves_a_study_that_goes_on_at_once(small: Small) -> None:
    settings = settings_of(**{"training.tokens": 24_000, "training.validations": 120})
    job = job_of(write_study(settings=settings, trials=2, heartbeat=20, grace=600, retries=0))
    job.open()
    command = begin("--workers", "2")
    wait_until(lambda: sum(len(slot.reports) > 3 for slot in job.open().slots()) == 2)
    command.send_signal(signal.SIGINT)
    assert "Traceback" not in command.communicate()[0]
    assert command.returncode == 130
    assert [slot.state for slot in job.open().slots()] == ["WAITING", "WAITING"]
    assert len(list(WORKSPACES.glob("*/last.ckpt"))) == 2
    assert "trials: 2 complete" in begin().communicate(timeout=300)[0]
    assert json.loads((OUT / "study.json").read_text(encoding="utf-8"))["states"]["COMPLETE"] == 2
