"""Two processes are one: gradients, figures, resume; and what befalls one befalls all."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import in_processes, some_slow
from safetensors.torch import load_file

from unroll import experiment, preparation
from unroll.config import Config
from unroll.data.loader import Share
from unroll.errors import ProcessLost
from unroll.experiment.prepared_data import PreparedData
from unroll.tasks.base import Task
from unroll.training.distributed import joined

Small = Callable[..., Config]
# batches of five rows, which neither two nor three processes divide; descent, so that weights move by the gradient
EXACT = ("training.precision=64", "training.batch_size=5", "training.optimizer.name=sgd",
         "training.optimizer.learning_rate=0.5", "training.tokens=1500")  # fmt: skip
TASKS: dict[str, tuple[str, ...]] = {
    "language model": ("grammar", "lstm"),
    "overlapping windows": ("grammar", "gru", "training.truncation_stride=3"),
    "learned first state": ("grammar", "lstm", "arch.encoder.learned_state=true"),
    "tagger": ("tagging", "bilstm"),
    "spelling tagger with a CRF": ("tagging", "bilstm-chars-crf"),
    "tagger in windows": ("tagging", "lstm", "training.truncation_length=2"),
    "cloze": ("grammar", "bilstm", "task=cloze"),
    "regressor": ("adding", "lstm"),
    "transducer": ("pairs", "luong", "task.own_inputs=0.5"),
    "accumulation": ("tagging", "lstm", "training.accumulate=2"),
    "penalties and norms per weight": (
        "grammar", "lstm", "training.clip_norm=null", "training.clip_parameter_norm=0.1", "training.recurrent_l2=0.1",
        "training.activation_regularization=1.0",
    ),
}  # fmt: skip


def train(config: Config, out: Path) -> None:
    experiment.train(config, preparation.prepared(config.data), out)


def together(world: int, config: Config, out: Path) -> list[Any]:
    preparation.prepared(config.data)
    return in_processes(world, lambda _: train(config, out))


def close(one: Path, two: Path) -> None:
    ours, theirs = load_file(one / "weights.safetensors"), load_file(two / "weights.safetensors")
    assert ours.keys() == theirs.keys()
    for name, weight in ours.items():
        assert weight.dtype == torch.float64
        torch.testing.assert_close(weight, theirs[name], rtol=0, atol=1e-10)


@pytest.mark.parametrize("name", some_slow(TASKS, "learned first state", "tagger"))
def test_two_processes_train_as_one_does(name: str, small: Small, project: Path) -> None:
    config = small(*TASKS[name], *EXACT)
    train(config, project / "one")
    assert together(2, config, project / "two") == [None, None]
    close(project / "one", project / "two")
    assert json.loads((project / "two" / "run.json").read_text())["tokens"] >= 1500


@pytest.mark.usefixtures("rare_words")
def test_two_processes_read_the_same_words_as_unknown_as_one_does(small: Small, project: Path) -> None:
    never = small(*TASKS["tagger"], *EXACT, "task.unknown_rate=0")
    config = small(*TASKS["tagger"], *EXACT)
    train(never, project / "never")
    train(config, project / "one")
    assert together(2, config, project / "two") == [None, None]
    close(project / "one", project / "two")
    with pytest.raises(AssertionError):  # they are read
        close(project / "one", project / "never")


@pytest.mark.slow
def test_so_do_three(small: Small, project: Path) -> None:
    config = small(*TASKS["tagger"], *EXACT)
    train(config, project / "one")
    assert together(3, config, project / "three") == [None] * 3
    close(project / "one", project / "three")


EVALUATED = ["language model", "tagger", "tagger in windows", "cloze", "regressor", "transducer"]


@pytest.mark.parametrize("name", some_slow(EVALUATED, "language model", "tagger in windows"))
@pytest.mark.parametrize("world", some_slow([2, 3], 3))
def test_an_evaluation_has_the_figures_of_one_process(name: str, world: int, small: Small, project: Path) -> None:
    config = small(*TASKS[name], "training.precision=64", "training.batch_size=4", "training.evaluation_streams=2")
    data = PreparedData(config, preparation.prepared(config.data))
    spec, split = data.spec, data.split("validation")

    def figures(rank: int, count: int) -> tuple[dict[str, float], dict[str, int]]:
        torch.manual_seed(0)
        task = experiment.build_task(config, spec)
        loader = experiment.evaluation_loader(config, spec, split, Share(rank, count))
        found = experiment.evaluate_task(task, loader)
        counts: dict[str, int] = {}
        for key, mean in task.means.items():
            mean.compute()
            with mean.sync_context():
                counts[key] = int(mean.count)
        return found, counts

    def shared(rank: int) -> tuple[dict[str, float], dict[str, int]]:
        with joined():
            return figures(rank, world)

    alone, alone_counts = figures(0, 1)
    for found, counts in in_processes(world, shared):
        assert counts == alone_counts
        assert found == pytest.approx(alone, rel=1e-12, nan_ok=True)


OFTEN = ("training.checkpoint_seconds=1e-6", "training.validations=3", "training.batch_size=5", "training.tokens=1000")
RESUMED: dict[str, tuple[str, ...]] = {
    "LSTM with dropout": ("grammar", "lstm", "arch.encoder.dropout=0.3"),
    "GRU": ("grammar", "gru"),
    "accumulation": ("grammar", "lstm", "training.accumulate=2", "arch.encoder.dropout=0.3"),
    "bf16": ("grammar", "lstm", "training.precision=bf16-mixed"),
    "bucketed sequences": ("tagging", "bilstm", "arch.encoder.dropout=0.3"),
    "sequences in windows": ("tagging", "lstm", "training.truncation_length=2"),
}


def killed(world: int, config: Config, out: Path, call: int) -> None:
    """Train in some processes and kill all of them at a step."""
    preparation.prepared(config.data)
    step, calls = Task.training_step, iter(range(10_000))

    def run(rank: int) -> None:
        def counted(self: Task, *arguments: Any) -> Any:
            if next(calls) == call:
                os._exit(9)
            return step(self, *arguments)

        Task.training_step = counted  # type: ignore[method-assign]  # in this process alone
        train(config, out)

    assert in_processes(world, run) == [None] * world
    assert not out.exists()


def first_step(world: int, config: Config, out: Path) -> list[Any]:
    """Train in some processes; the first batch that each of them reads."""
    preparation.prepared(config.data)
    step: Any = Task.training_step

    def run(_: int) -> int:
        read: list[int] = []

        def counted(self: Task, batch: Any, index: int) -> Any:
            read.append(index)
            return step(self, batch, index)

        Task.training_step = counted  # type: ignore[method-assign]  # in this process alone
        train(config, out)
        return read[0]

    return in_processes(world, run)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("name", some_slow(RESUMED, "LSTM with dropout"))
def test_killed_processes_go_on_together_as_if_they_had_not_been(name: str, small: Small, project: Path) -> None:
    config = small(*RESUMED[name], *OFTEN)
    assert together(2, config, project / "whole") == [None, None]
    for call in (13, 8):
        killed(2, config, project / "killed", call)
    first, second = first_step(2, config, project / "killed")
    assert first == second > 8  # they did go on, twice
    assert contents(project / "killed") == contents(project / "whole")
    assert not list((project / "outputs" / "working").iterdir())


@pytest.mark.parametrize("change", some_slow([(2, 1), (1, 2), (3, 2)], (2, 1)))
@pytest.mark.parametrize("name", some_slow(["language model", "tagger in windows"], "language model"))
def test_another_number_of_processes_goes_on_without_loss(
    name: str, change: tuple[int, int], small: Small, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before, after = change
    config = small(*TASKS[name], *EXACT, "training.checkpoint_seconds=1e-6")
    train(config, project / "whole")
    killed(before, config, project / "killed", 9)
    capfd.readouterr()
    (first,) = set(first_step(after, config, project / "killed"))
    assert first > 0
    assert f"resumes in {after} processes; it had {before} before" in capfd.readouterr().err
    close(project / "killed", project / "whole")


def test_when_one_process_is_gone_the_others_end_with_a_sentence(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.batch_size=5")
    preparation.prepared(config.data)
    step = Task.training_step

    def run(rank: int) -> str:
        def dying(self: Task, batch: Any, index: int) -> Any:
            if rank == 1 and index == 7:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(self, batch, index)

        Task.training_step = dying  # type: ignore[method-assign]
        with pytest.raises(ProcessLost) as caught:
            train(config, project / "run")
        return str(caught.value)

    begin = time.monotonic()
    said, nothing = in_processes(2, run)
    assert nothing is None
    assert re.match(r"Another process of this run has ended \(.*\), so this one ends, too; run the same", said)
    assert time.monotonic() - begin < 30


def command(config: Config, out: str) -> list[str]:
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    return [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", out]


def children(process: int) -> list[int]:
    listed = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [int(child) for child in listed if b"unroll.cli" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.mark.slow
def test_the_command_starts_its_processes_ends_with_them_and_goes_on(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.devices=2", "training.tokens=10000", "training.validations=4",
                   "training.checkpoint_seconds=0.2", "arch.encoder.dropout=0.1")  # fmt: skip
    first = subprocess.Popen(command(config, "killed"), stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(Path("outputs/working").glob("*/last.ckpt")):
        assert time.monotonic() < deadline
        assert first.poll() is None
        time.sleep(0.05)
    ranks = children(first.pid)
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    begin = time.monotonic()
    _, said = first.communicate(timeout=60)
    assert time.monotonic() - begin < 30
    assert first.returncode == 1
    assert "ended with signal 9, so all have ended; run the same command again" in said
    assert "Traceback" not in said
    assert not Path(f"/proc/{ranks[0]}").exists()
    done = subprocess.run(command(config, "killed"), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("killed  best validation: loss")
    whole = together(2, config, project / "whole")
    assert whole == [None, None]
    assert contents(project / "killed") == contents(project / "whole")
