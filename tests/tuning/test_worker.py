"""A worker and its trials: trained as any run is, told of once, left where somebody else is at them."""

from __future__ import annotations

import builtins
import errno
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from processes import some_slow
from studying import die, forget, job_of, killed, write_study

from unroll.config import Config
from unroll.errors import Interrupted, Unavailable
from unroll.experiment import Busy, finished, train, training
from unroll.experiment.workspace import WORKSPACES
from unroll.launching import TAKEN, launch
from unroll.tracking.tracker import NullTracker
from unroll.training.checkpoint import usable
from unroll.tuning import worker
from unroll.tuning.database import DatabaseGone
from unroll.tuning.job import JOB, Job
from unroll.tuning.progress import StudyProgress
from unroll.tuning.slots import Slot
from unroll.tuning.study import Study
from unroll.tuning.trial_lease import TrialLease

Small = Callable[..., Config]
TOGETHER = {"training.devices": 2}
EXPLODES = {"training.optimizer.learning_rate": 1e30, "training.optimizer.name": "sgd", "training.clip_norm": None,
            "arch": "rnn"}  # fmt: skip
STORAGE = "sqlite:///studies/optuna.db"


@pytest.fixture
def tiny(small: Small) -> Callable[..., tuple[Job, Study]]:
    """A study of small runs on a tiny corpus, its trials made."""

    def make(**differences: Any) -> tuple[Job, Study]:
        job = job_of(write_study(**differences))
        study = job.open()
        study.refill()
        return job, study

    return make


def attempt(job: Job, study: Study) -> Slot:
    lease = study.acquire()
    assert lease is not None
    worker.attempt(job, lease)
    return study.slots()[lease.slot]


def test_a_trial_is_trained_as_any_run_is(tiny: Callable[..., tuple[Job, Study]], project: Path) -> None:
    job, study = tiny()
    slot = attempt(job, study)
    config = job.space.run(slot.values)
    figures = train(config, job.prepared_for(config), Path("alone"))
    assert (slot.state, slot.value) == ("COMPLETE", figures["loss"])
    assert slot.notes["figures"] == figures
    assert list(slot.reports) == [200, 400, 600, 800]
    assert slot.notes["tokens"] == 800
    assert slot.notes["parameters"] == json.loads(Path("alone/run.json").read_text(encoding="utf-8"))["parameters"]
    for name in ("weights.safetensors", "history.csv", "config.yaml"):
        assert (job.folder / "000" / name).read_bytes() == Path("alone", name).read_bytes()
    assert not list(WORKSPACES.iterdir())


def test_a_trial_whose_validation_is_no_number_has_failed_and_was_not_beaten(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = worker.Watch.report
    monkeypatch.setattr(worker.Watch, "report", lambda self, tokens, value, speed: report(
        self, tokens, math.nan if tokens == 400 else value, speed))  # fmt: skip
    slot = attempt(*tiny())
    assert (slot.state, list(slot.reports)) == ("FAIL", [200])
    assert slot.notes["error"] == "the validation is nan after 400 tokens"


@pytest.mark.slow
def test_a_pruned_trial_leaves_no_run_behind(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny()
    monkeypatch.setattr(
        TrialLease, "report", lambda self, tokens, value: self.trial.report(value, tokens) or tokens == 400
    )
    slot = attempt(job, study)
    assert (slot.state, list(slot.reports)) == ("PRUNED", [200, 400])
    assert slot.notes["tokens"] == 400
    assert not (job.folder / "000").exists()
    assert not list(WORKSPACES.iterdir())


@pytest.mark.parametrize("step", ["choose", "constrain"])
def test_an_interrupted_trial_waits_for_another_worker(
    step: str, tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny()

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(TrialLease, step, interrupt)
    with pytest.raises(KeyboardInterrupt):
        attempt(job, study)
    assert study.slots()[0].state == "WAITING"


@pytest.mark.slow
def test_a_failed_trial_carries_its_error_and_the_next_one_is_tried(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny()

    def fail(*_: Any, **__: Any) -> None:
        raise RuntimeError("no memory")

    with monkeypatch.context() as patch:
        patch.setattr(worker, "train", fail)
        slot = attempt(job, study)
    assert (slot.state, slot.notes["error"]) == ("FAIL", "RuntimeError: no memory")
    assert attempt(job, study).state == "COMPLETE"


@pytest.mark.slow
def test_a_trial_that_ends_in_no_number_fails_and_says_so(tiny: Callable[..., tuple[Job, Study]]) -> None:
    job, study = tiny(settings={**write_study().study.settings, **EXPLODES}, space={"seed": [0]}, trials=1)
    slot = attempt(job, study)
    assert slot.state == "FAIL"
    assert slot.notes["error"].startswith("The loss or its gradient was not finite in 11 consecutive steps")


def test_what_cannot_be_reached_by_the_test_split_is_trained_without_it(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny()
    folder = job.prepared_for(job.first)
    shutil.rmtree(folder / "test")
    opened: list[str] = []
    real = builtins.open

    def watched(file: Any, *rest: Any, **named: Any) -> Any:
        opened.append(str(file))
        return real(file, *rest, **named)

    sys.addaudithook(lambda event, arguments: opened.append(str(arguments[0])) if event == "open" else None)
    monkeypatch.setattr(builtins, "open", watched)
    assert attempt(job, study).state == "COMPLETE"
    assert any("fit/train" in path for path in opened)
    assert not [path for path in opened if str(folder / "test") in path or path.startswith("data/small/test")]


@pytest.mark.slow
def test_a_trial_that_another_process_still_trains_is_put_back(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, study = tiny(trials=2)

    def busy(*_: Any, **__: Any) -> None:
        raise Busy("Another process is training this run.")

    with monkeypatch.context() as patch:
        patch.setattr(worker, "train", busy)
        slot = attempt(job, study)
    assert slot.state == "WAITING"
    assert "trial 0: Another process" in capsys.readouterr().err
    while study.left():
        study.refill()
        attempt(job, study)
    assert [slot.state for slot in study.slots()] == ["COMPLETE"] * 2
    assert len(study.study.trials) == 2


def test_several_processes_leave_it_to_their_worker_to_put_a_trial_back_that_another_one_trains(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, study = tiny(settings={**write_study().study.settings, **TOGETHER}, trials=1, retries=0)
    states: list[str] = []

    def busy(*_: Any, **__: Any) -> None:
        raise Busy("Another process is training this run.")

    def launched(devices: int, words: list[str], module: str) -> None:
        assert (devices, module) == (2, "unroll.tuning")
        code = worker.main(words)
        states.extend(slot.state for slot in study.slots())  # nobody else may lease it until all have ended
        raise SystemExit(code)

    monkeypatch.setattr(worker, "train", busy)
    monkeypatch.setattr(worker, "launch", launched)
    monkeypatch.setattr(worker, "end_with_the_launcher", lambda launcher: None)
    slot = attempt(job, study)
    assert states == ["RUNNING"]
    assert slot.state == "WAITING"
    assert len(study.study.trials) == 1
    told = capsys.readouterr().err
    assert "unroll: Another process is training this run." in told
    assert "unroll: trial 0: waiting for the process" in told


def test_a_worker_that_was_killed_is_told_of_once(
    tiny: Callable[..., tuple[Job, Study]], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = StudyProgress(tiny()[1], "loss")
    workers = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    workers[0].kill()
    workers[0].wait()
    progress.report_killed(workers)
    progress.report_killed(workers)
    workers[1].kill()
    workers[1].wait()
    progress.report_killed(workers)  # none is left that could go on: the command says so itself
    told = "unroll: a worker was killed by signal 9; the study continues without it.\n"
    assert capsys.readouterr().err == told


def test_signals_go_where_they_went_before_processes_were_launched(monkeypatch: pytest.MonkeyPatch) -> None:
    def engine(*_: Any) -> Callable[..., None]:
        return lambda *_: (
            [signal.signal(number, signal.SIG_IGN) for number in TAKEN] and None
        )  # for good, as torchrun's

    monkeypatch.setattr("torch.distributed.launcher.api.elastic_launch", engine)
    before = [signal.getsignal(number) for number in TAKEN]
    assert launch(2, ["nothing"])
    assert [signal.getsignal(number) for number in TAKEN] == before


class Garbage:
    """What is raised while it goes is printed and forgotten."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("moment", some_slow(["choose", "note", "finish"], "finish"))
def test_ctrl_c_between_trainings_is_handled_where_python_would_lose_it(
    moment: str, tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny(trials=4)
    handler, real = signal.getsignal(signal.SIGINT), getattr(TrialLease, moment)

    def interrupted(self: TrialLease, *given: Any, **named: Any) -> Any:
        Garbage()
        monkeypatch.setattr(TrialLease, moment, real)
        return real(self, *given, **named)

    monkeypatch.setattr(TrialLease, moment, interrupted)
    with pytest.raises(Interrupted):
        worker.work(job)
    states = ["COMPLETE"] * (moment == "finish") + ["WAITING"] * 4
    assert [slot.state for slot in study.slots()] == states[:4]
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_trial_that_was_taken_over_is_left_with_its_checkpoint(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    job, study = tiny(trials=2)
    report = TrialLease.report

    def late(self: TrialLease, tokens: int, value: float) -> bool:
        if tokens == 600 and not (WORKSPACES / "late").exists():  # it slept, and others have missed it
            (WORKSPACES / "late").touch()
            forget(STORAGE)
            job.open().refill()
        return report(self, tokens, value)

    ends: list[Any] = []

    class Tracker(NullTracker):
        def end(self, *ended: Any) -> bool:
            ends.append(ended)
            return True

    monkeypatch.setattr(training, "build_tracker", lambda *_: Tracker())
    monkeypatch.setattr(TrialLease, "report", late)
    slot = attempt(job, study)
    assert ends == [("KILLED", {})]
    (WORKSPACES / "late").unlink()
    assert slot.state == "WAITING"
    assert "another worker has taken it over" in capsys.readouterr().err
    (folder,) = WORKSPACES.iterdir()
    assert (folder / "last.ckpt").exists()
    monkeypatch.setattr(TrialLease, "report", report)
    found = []
    monkeypatch.setattr(training, "usable", lambda *rest: found.append(usable(*rest)) or found[-1])
    attempt(job, study)
    again = attempt(job, study)
    assert [checkpoint is not None for checkpoint in found] == [True, False]  # the other trial has none
    assert list(again.reports) == [200, 400, 600, 800]
    config = job.space.run(again.values)
    assert again.value == train(config, job.prepared_for(config), Path("alone"))["loss"]


def test_a_database_that_is_gone_ends_the_worker_and_fails_no_trial(
    tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny()

    def gone(*_: Any) -> None:
        raise DatabaseGone("Optuna's database is gone.")

    monkeypatch.setattr(TrialLease, "report", gone)
    with pytest.raises(DatabaseGone):
        attempt(job, study)
    assert study.slots()[0].state == "RUNNING"
    (folder,) = WORKSPACES.iterdir()
    assert (folder / "last.ckpt").exists()


TRACKED = {"tracking": "mlflow", "tracking.system_metrics": False}
OUTAGES = ["MLflow is down", "MLflow goes down", "the disk is full", "the disk is full at the end"]


def outage(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take away what a run needs of its machine."""
    if what == "MLflow is down":
        monkeypatch.setattr("unroll.tracking.store.mlflow.set_tracking_uri", lambda _: refuse(ConnectionError("down")))
    if what == "MLflow goes down":
        monkeypatch.setattr("unroll.tracking.mlflow.Spool.open", lambda *_: refuse(RuntimeError("down")))
    if what == "the disk is full":
        monkeypatch.setattr("unroll.history.HistoryFile.append", lambda *_: refuse(OSError(errno.ENOSPC, "No space")))
    if what == "the disk is full at the end":
        monkeypatch.setattr("unroll.history.HistoryFile.publish", lambda *_: refuse(OSError(errno.ENOSPC, "No space")))


def refuse(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("what", some_slow(OUTAGES, "the disk is full"))
def test_what_a_trial_is_not_to_blame_for_ends_the_worker_and_fails_no_trial(
    what: str, tiny: Callable[..., tuple[Job, Study]], store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny(settings={**write_study().study.settings, **TRACKED, "tracking.uri": store}, retries=0)
    with monkeypatch.context() as patch:
        outage(what, patch)
        with pytest.raises(Unavailable):
            attempt(job, study)
    assert [slot.state for slot in study.slots()] == ["WAITING"] * 4
    assert "error" not in study.slots()[0].notes
    values = study.slots()[0].values
    while study.slots()[0].state == "WAITING":  # those that were never begun come first
        attempt(job, study)
    assert (study.slots()[0].state, study.slots()[0].values) == ("COMPLETE", values)


# ---- killed


@pytest.mark.parametrize("step", ["told pruned", "finished"])
def test_a_trial_that_is_over_is_not_trained_again_if_its_worker_is_killed(
    step: str, tiny: Callable[..., tuple[Job, Study]], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, study = tiny(trials=1)
    with monkeypatch.context() as patch:
        if step == "finished":
            patch.setattr(worker, "_record", die)
        else:
            patch.setattr(TrialLease, "report", lambda *_: True)
            patch.setattr("unroll.experiment.workspace.Workspace.tidy", die)
        killed(lambda: attempt(job, job.open()))
    forget(STORAGE)
    monkeypatch.setattr(worker, "train", lambda *_, **__: pytest.fail("it was trained again"))
    study.refill()
    if study.left():
        attempt(job, study)
    (slot,) = study.slots()
    assert slot.state == ("COMPLETE" if step == "finished" else "PRUNED")
    assert not study.left()


@pytest.mark.slow
def test_a_run_that_is_finished_is_told_from_others(tiny: Callable[..., tuple[Job, Study]]) -> None:
    job, study = tiny()
    slot = attempt(job, study)
    config = job.space.run(slot.values)
    prepared, folder = job.prepared_for(config), job.folder / "000"
    assert finished(config, prepared, folder) == slot.notes["figures"]
    assert finished(config.model_copy(update={"seed": 7}), prepared, folder) is None
    assert finished(config, prepared, Path("nowhere")) is None


# ---- processes


def started(job: Job, launcher: int | None = None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "unroll.tuning", str(launcher or os.getpid())]
    return subprocess.Popen(command, env=os.environ | {JOB: job.dumps()}, stderr=subprocess.PIPE)


@pytest.mark.slow
def test_a_worker_whose_launcher_was_gone_before_it_began_ends(tiny: Callable[..., tuple[Job, Study]]) -> None:
    job, study = tiny()
    process = started(job, launcher=1)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signal.SIGKILL
    assert {slot.state for slot in study.slots()} == {"WAITING"}


@pytest.mark.slow
def test_a_worker_that_is_interrupted_while_it_imports_ends_without_a_word(
    tiny: Callable[..., tuple[Job, Study]],
) -> None:
    process = started(tiny()[0])
    while "torch" not in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"):
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=60) == (None, b"")
    assert process.returncode == -signal.SIGINT


@pytest.mark.slow
def test_a_worker_that_is_paused_loses_its_trial_and_goes_on_with_others(
    tiny: Callable[..., tuple[Job, Study]], project: Path
) -> None:
    settings = {**write_study().study.settings, "training.tokens": 4_800, "training.validations": 24}
    job, study = tiny(settings=settings, trials=3, heartbeat=1, grace=3)
    paused = started(job)
    wait_until(lambda: any(len(slot.reports) > 2 for slot in study.slots()))
    paused.send_signal(signal.SIGSTOP)
    other = started(job)
    wait_until(lambda: sum(slot.state == "COMPLETE" for slot in study.slots()) == 2)
    time.sleep(2)  # the other one finds the run busy, and waits
    paused.send_signal(signal.SIGCONT)
    errors = [process.communicate(timeout=60)[1].decode() for process in (paused, other)]
    assert (paused.returncode, other.returncode) == (0, 0)
    assert "another worker has taken it over" in errors[0]
    assert "is training this run" in errors[1]
    assert [slot.state for slot in study.slots()] == ["COMPLETE"] * 3
    assert not list(WORKSPACES.iterdir())
    for slot in study.slots():
        assert len(slot.reports) == 24
        config = job.space.run(slot.values)
        assert slot.value == train(config, job.prepared_for(config), project / f"alone-{slot.number}")["loss"]


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_trial_of_two_processes_is_trained_and_pruned_in_both(tiny: Callable[..., tuple[Job, Study]]) -> None:
    settings = {**write_study().study.settings, **TOGETHER}
    pruner = {"name": "median", "startup_trials": 1, "warmup": 0.0}
    rates = {"training.optimizer.learning_rate": [1e-2, 1e-9]}
    job, study = tiny(
        settings=settings, trials=2, pruner=pruner, space=rates, balanced=None, sampler={"name": "random"}
    )
    for number, rate in enumerate((1e-2, 1e-9)):  # the second one learns nothing
        study.storage.set_trial_system_attr(study.study.trials[number]._trial_id, "fixed_params",
                                            {"training.optimizer.learning_rate": rate})  # fmt: skip
    process = started(job)
    errors = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, errors
    first, second = study.slots()
    assert (first.state, second.state) == ("COMPLETE", "PRUNED"), errors
    assert json.loads((job.folder / "000" / "run.json").read_text(encoding="utf-8"))["processes"] == 2
    assert max(second.reports) < 800
    assert not list(WORKSPACES.iterdir())
    assert "Traceback" not in errors


@pytest.mark.slow
def test_what_is_wrong_with_a_trial_of_two_processes_ends_it_and_not_the_worker(
    tiny: Callable[..., tuple[Job, Study]],
) -> None:
    job, study = tiny(settings={**write_study().study.settings, **EXPLODES, **TOGETHER}, space={"seed": [0]}, trials=1)
    process = started(job)
    errors = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 0, errors
    (slot,) = study.slots()
    assert (slot.state, len(study.study.trials)) == ("FAIL", 1), errors
    assert slot.notes["error"].startswith("The loss or its gradient was not finite in 11 consecutive steps")


@pytest.mark.slow
def test_an_outage_in_a_trial_of_two_processes_ends_the_worker_and_fails_no_trial(
    tiny: Callable[..., tuple[Job, Study]],
) -> None:
    gone = {"tracking": "mlflow", "tracking.uri": "http://127.0.0.1:9"}
    job, study = tiny(settings={**write_study().study.settings, **TOGETHER, **gone}, trials=2)
    process = started(job)
    errors = process.communicate(timeout=120)[1].decode()
    assert process.returncode == 2, errors
    assert [slot.state for slot in study.slots()] == ["WAITING"] * 2
    assert len(study.study.trials) == 2
    assert errors.count("cannot be opened") == 1
    assert "unroll: Trial 0 could not continue" in errors
    assert "Traceback" not in errors


@pytest.mark.slow
def test_a_trial_of_two_processes_of_which_one_is_killed_goes_on(tiny: Callable[..., tuple[Job, Study]]) -> None:
    settings = {**write_study().study.settings, **TOGETHER, "training.tokens": 4_800, "training.validations": 24}
    job, study = tiny(settings=settings, trials=1)
    process = started(job)
    wait_until(lambda: any(len(slot.reports) > 2 for slot in study.slots()))
    children = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True)
    os.kill(int(children.stdout.split()[-1]), signal.SIGKILL)
    errors = process.communicate(timeout=120)[1].decode()
    (slot,) = study.slots()
    assert (process.returncode, slot.state) == (0, "COMPLETE"), errors
    assert len(study.study.trials) == 2
    assert len(slot.reports) == 24
