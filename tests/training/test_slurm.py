"""In an allocation of SLURM: srun's processes train together, and what srun did not start is alone."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer
from safetensors.torch import load_file

from unroll import experiment, preparation
from unroll.cli import main
from unroll.config import Config
from unroll.launching import Place, place

Small = Callable[..., Config]
ALONE = Place(0, 1, 1, 0, slurm=False)
# what SLURM 22.05 gives to the script of sbatch --nodes=1 --ntasks-per-node=2
JOB = {
    "SLURM_JOB_ID": "4", "SLURM_JOB_NAME": "job.sh", "SLURM_JOB_NODELIST": "127.0.0.1", "SLURM_JOB_NUM_NODES": "1",
    "SLURM_LOCALID": "0", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1",
    "SLURM_NPROCS": "2", "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "2", "SLURM_PROCID": "0",
    "SLURM_TASKS_PER_NODE": "2",
}  # fmt: skip


def step(rank: int) -> dict[str, str]:
    """What srun adds for one of its two tasks."""
    return {
        "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank), "SLURM_GTIDS": "0,1", "SLURM_STEPID": "0",
        "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "127.0.0.1", "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "2",
    }  # fmt: skip


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """The environment of a script that sbatch runs."""
    for name in [name for name in os.environ if name.startswith(("SLURM_", "TORCHELASTIC_"))]:
        monkeypatch.delenv(name)
    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def enter(job: pytest.MonkeyPatch, rank: int, **others: str | None) -> None:
    """Have the environment of a task of srun, with differences."""
    for name, value in (step(rank) | others).items():
        job.setenv(name, value) if value is not None else job.delenv(name)


def test_a_script_is_alone_whatever_was_allotted(job: pytest.MonkeyPatch) -> None:
    assert place() == ALONE


def test_a_single_task_of_srun_is_alone(job: pytest.MonkeyPatch) -> None:
    enter(job, 0, SLURM_NTASKS="1", SLURM_STEP_NUM_TASKS="1")
    assert place() == ALONE


def test_a_task_of_srun_has_its_place(job: pytest.MonkeyPatch) -> None:
    enter(job, 3, SLURM_NTASKS="4", SLURM_LOCALID="1", SLURM_NODEID="1")
    assert place() == Place(3, 4, 2, 1, slurm=True)


@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({"SLURM_NTASKS_PER_NODE": None}, "use --ntasks-per-node"),
        ({"SLURM_PTY_PORT": "37499"}, "omit --pty"),
        ({"SLURM_NTASKS_PER_NODE": "4", "SLURM_NTASKS": "4"}, "4 processes were started on this machine"),
    ],
)
@pytest.mark.parametrize("rank", [0, 1])
def test_what_would_hang_is_refused_once(
    rank: int, environment: dict[str, str | None], sentence: str, job: pytest.MonkeyPatch, small: Small, project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    (project / "run.yaml").write_text(small("grammar", "lstm", "training.devices=2").dump())
    enter(job, rank, **environment)
    assert main(["train", "--config", "run.yaml", "--out", "run"]) == 2
    assert (sentence in capsys.readouterr().err) == (rank == 0)


def test_alone_in_a_job_nothing_of_slurm_is_heard_or_taken_over(
    job: pytest.MonkeyPatch, small: Small, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (project / "bin").mkdir()
    (project / "bin" / "srun").write_text("#!/bin/sh\n")
    (project / "bin" / "srun").chmod(0o755)
    job.setenv("PATH", f"{project / 'bin'}{os.pathsep}{os.environ['PATH']}")
    handlers: list[object] = []
    save = Trainer.save_checkpoint

    def noting(self: Trainer, path: Path, **named: bool) -> None:
        handlers.append(signal.getsignal(signal.SIGUSR1))
        save(self, path, **named)

    job.setattr(Trainer, "save_checkpoint", noting)
    config = small("grammar", "lstm", "training.checkpoint_seconds=1e-6")
    experiment.train(config, preparation.prepared(config.data), project / "run")  # a warning would be an error
    assert set(handlers) == {signal.SIG_DFL}
    assert "SLURM" not in capfd.readouterr().err


PROGRAM = """
import sys, torch
from unroll.cli import main
code = main(sys.argv[1:])
print(torch.get_num_threads(), "threads")
sys.exit(code)
"""


def port() -> int:
    """A free port of those that Lightning makes of a job's number."""
    for number in range(15_000 + os.getpid() % 9_000, 25_000):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", number)):
                return number
    raise AssertionError("no port is free")


@pytest.mark.slow
def test_two_tasks_of_srun_train_what_one_process_trains(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.devices=2", "training.threads=2")
    (project / "run.yaml").write_text(config.dump())
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    environment |= JOB | {"SLURM_JOB_ID": str(port() - 15_000), "PYTHONWARNINGS": "ignore"}
    environment |= {"OMP_WAIT_POLICY": "passive"}  # four threads on two cores must not spin
    tasks = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, "train", "--config", "run.yaml", "--out", "two"],
            env=environment | step(rank), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    try:
        alone = config.model_copy(update={"training": config.training.model_copy(update={"devices": 1, "threads": 1})})
        experiment.train(alone, preparation.prepared(config.data), project / "one")
        told = [task.communicate(timeout=60) for task in tasks]
    finally:
        for task in tasks:
            task.kill()
    assert [task.returncode for task in tasks] == [0, 0], told
    # Lightning would have set the threads by the machine's cores
    assert [output.splitlines()[-1] for output, _ in told] == ["2 threads"] * 2
    assert "best validation" in told[0][0]
    assert "best validation" not in told[1][0]
    assert told[1][1] == ""
    one, two = (load_file(project / name / "weights.safetensors") for name in ("one", "two"))
    for name in one:
        torch.testing.assert_close(two[name], one[name], rtol=1e-3, atol=1e-4)
