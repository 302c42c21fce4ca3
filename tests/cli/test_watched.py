"""Commands in a terminal: one line of progress at any width, what they are doing, and what Ctrl-C leaves."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from screens import Terminal, drawn, resize, run, screen
from studying import job_of, write_study

from unroll.cli import main
from unroll.config import Config
from unroll.experiment.workspace import WORKSPACES
from unroll.tasks.base import Task

Small = Callable[..., Config]
TrainedTo = Callable[[Config, Path], Path]
TRAIN = ["train", "--config", "run.yaml", "--out", "run"]
STOPPED = re.compile(r"(tagging/lstm-0 stopped at ([\d,]+) of 2,000 tokens); the same command resumes from there\.")


@pytest.fixture(autouse=True)
def _in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """The status of a command, and what it writes to a terminal on standard error."""

    def watch(columns: int, *words: str) -> tuple[int, str]:
        terminal = Terminal(columns)
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", terminal.stream)
            status = main(words)
        return status, terminal.close()

    return watch


def write(config: Config) -> None:
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")


@pytest.mark.parametrize("columns", [20, 60, 200])
def test_train_has_one_line_of_progress(columns: int, small: Small, watched: Callable[..., tuple[int, str]]) -> None:
    write(small("tagging", "lstm"))
    status, text = watched(columns, *TRAIN)
    assert status == 0
    training = "Training tagging/lstm-0: 2,000 tokens"
    progress = [line for line in drawn(text) if "% of" in line]
    assert len(progress) > 2
    assert max(map(len, progress)) < columns
    lasting = "".join(screen(text, columns))  # only the sentence may wrap
    assert lasting == training + progress[-1]
    assert progress[-1].startswith("100 % of 2,000 to")


def test_evaluate_and_predict_have_one_line_of_progress(
    tagger: Path, watched: Callable[..., tuple[int, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    status, text = watched(60, "evaluate", str(tagger))
    assert status == 0
    assert any(re.match(r"\d+ % of 1 run · bilstm-0$", line) for line in drawn(text))
    assert screen(text, 60) == [""]
    status, text = watched(60, "predict", str(tagger), "--file", "data/small/test.conllu")
    assert status == 0
    assert drawn(text)[0] == f"Loading {tagger}"[:57]
    assert screen(text, 60) == ["20 answered", ""]


def test_a_finished_run_is_not_trained_again(
    small: Small, project: Path, store: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow

    write(small("tagging", "lstm", "tracking=mlflow", f"tracking.uri={store}", "tracking.log_model=false"))
    assert main(TRAIN) == 0
    first = capsys.readouterr()
    files = {path: path.read_bytes() for path in Path("run").iterdir()}
    steps = count_steps(monkeypatch)
    assert main(TRAIN) == 0
    again = capsys.readouterr()
    assert again.out == first.out
    assert again.err == "run is finished, and nothing was trained; to train it again, set UNROLL_AGAIN=1.\n"
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == files
    assert not steps
    mlflow.set_tracking_uri(store)
    assert len(mlflow.search_runs(search_all_experiments=True)) == 1
    Path("folder").mkdir()
    Path("folder/run.yaml").write_bytes(Path("run.yaml").read_bytes())
    words = ["train", "--config", "folder", "--prepared", str(next(Path("outputs/cache").glob("*-*"))), "--out", "."]
    assert main(words) == 0
    assert "nothing was trained" in capsys.readouterr().err
    assert not steps
    Path("run/weights.safetensors").write_bytes(b"damaged")
    assert main(TRAIN) == 0
    assert steps
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == files
    steps.clear()
    monkeypatch.setenv("UNROLL_AGAIN", "1")
    assert main(TRAIN) == 0
    assert steps


def count_steps(monkeypatch: pytest.MonkeyPatch, signalled: dict[int, int] | None = None) -> list[str]:
    """Gets an element for each batch from now on; before some of them, numbered from 1, a signal is sent."""
    steps: list[str] = []
    for name in ("training_step", "validation_step"):
        real = getattr(Task, name)

        def counted(self: Task, *given: Any, name: str = name, real: Any = real) -> Any:
            steps.append(name)
            if number := (signalled or {}).get(len(steps)):
                signal.raise_signal(number)
            return real(self, *given)

        monkeypatch.setattr(Task, name, counted)
    return steps


@pytest.mark.parametrize(("number", "at", "settings"), [
    (signal.SIGINT, 3, ()),
    pytest.param(signal.SIGTERM, 3, ("training.accumulate=2",), marks=pytest.mark.slow),
    (signal.SIGTERM, 12, ("training.validations=1000",)),  # a validation after each batch
    pytest.param(signal.SIGINT, 12, ("training.validations=10",), marks=pytest.mark.slow),  # in a validation
])  # fmt: skip
def test_an_interrupted_run_resumes_from_where_it_stopped(
    number: int, at: int, settings: Sequence[str], small: Small, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    write(small("tagging", "lstm", "arch.encoder.dropout=0.3", *settings))
    assert main([*TRAIN[:-1], "whole"]) == 0
    capsys.readouterr()
    with monkeypatch.context() as patched:
        steps = count_steps(patched, {at: number})
        before = signal.getsignal(number)
        assert main(TRAIN) == 128 + number
        assert signal.getsignal(number) is before
    assert at <= len(steps) < at + 6  # it ends the validation
    found = STOPPED.search(capsys.readouterr().err)
    assert found
    assert len(list(WORKSPACES.glob("*/last.ckpt"))) == 1
    assert not Path("run").exists()
    assert main(TRAIN) == 0
    said = capsys.readouterr().err
    assert said.startswith(f"tagging/lstm-0 resumes from {found[2]} of 2,000 tokens.\n")
    for path in Path("whole").iterdir():
        assert Path("run", path.name).read_bytes() == path.read_bytes()


def test_ctrl_c_in_the_last_step_loses_nothing(
    small: Small, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("seeds").mkdir()
    for seed in (0, 1):
        config = small("tagging", "lstm", f"seed={seed}")
        Path(f"seeds/{seed}.yaml").write_text(config.dump(), encoding="utf-8")
    counted = count_steps(monkeypatch)
    assert main(["train", "--config", "seeds/0.yaml", "--out", "whole"]) == 0
    last = len(counted)
    with monkeypatch.context() as patched:
        count_steps(patched, {last: signal.SIGINT})
        assert main(["train", "--config", "seeds", "--out", "runs"]) == 130
    assert Path("runs/0/run.json").exists()  # it was finished
    assert not Path("runs/1").exists()
    said = capsys.readouterr()
    assert "stopped between two seeds; the same command trains the rest." in said.err
    counted.clear()
    assert main(["train", "--config", "seeds", "--out", "runs"]) == 0
    assert len(counted) == last
    assert "runs/0 is finished" in capsys.readouterr().err


def test_a_command_in_a_real_terminal_says_at_once_what_it_does_and_stops_on_ctrl_c(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    write(small("tagging", "lstm", "training.tokens=2000000", "training.validations=500"))
    early: list[bool] = []
    typed: list[int] = []

    def watch(text: str, process: subprocess.Popen[bytes], terminal: int) -> None:
        if not early:
            early.append("torch" not in Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8"))
        if "% of" in text and not typed:
            typed.append(len(drawn(text)))
            resize(terminal, 20)
        if typed and len(drawn(text)) > typed[0] + 5 and len(typed) == 1:
            typed.append(os.write(terminal, b"\x03"))

    status, text = run(command(*TRAIN), 60, watch)
    assert status == 130, text
    assert early == [True]
    assert drawn(text)[0] == "Reading the settings …"
    assert "Training tagging/lstm-0: 2,000,000 tokens\r\n" in text
    assert max(len(line) for line in drawn(text)[typed[0] + 2 :] if "% of" in line) == 19  # with ^C
    last = text.rstrip().split("\n")[-1]
    assert re.search(r"unroll: tagging/lstm-0 stopped at [\d,]+ of 2,000,000 tokens; the same command resumes", last)
    assert "Traceback" not in text


def command(*words: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-m", "unroll.cli", *words]


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once_and_the_run_resumes(small: Small) -> None:
    write(small("tagging", "lstm", "training.tokens=2000000", "training.checkpoint_seconds=0.01",
                "training.accumulate=100000"))  # fmt: skip  # never at a place for a checkpoint
    typed: list[float] = []

    def watch(text: str, process: subprocess.Popen[bytes], terminal: int) -> None:
        due = ("% of" in text, "press Ctrl-C again" in text)[min(len(typed), 1)]
        if due and len(typed) < 2:
            os.write(terminal, b"\x03")
            typed.append(time.monotonic())

    status, text = run(command(*TRAIN), 60, watch)
    assert time.monotonic() - typed[1] < 1
    assert status == 130
    assert text.endswith("unroll: stopped at once.\r\n")
    assert "Traceback" not in text


@pytest.mark.slow
@pytest.mark.parametrize("columns", [20, 60, 200])
def test_tune_has_one_line_of_progress_and_goes_on_after_ctrl_c(columns: int, small: Small) -> None:
    settings = write_study().study.settings
    study = write_study(settings={**settings, "training.tokens": 8_000, "training.validations": 40}, trials=4)
    words = command("tune", "study=tiny", "--out", "studied")
    typed: list[int] = []

    def watch(text: str, process: subprocess.Popen[bytes], terminal: int) -> None:
        if "\r\x1b[K1 of 4 trials" in text and not typed:
            typed.append(os.write(terminal, b"\x03"))

    status, text = run(words, columns, watch)
    assert status == 130
    assert "Traceback" not in text
    progress = [line for line in drawn(text) if " of 4 trials" in line and "unroll" not in line]
    assert len(progress) > 3
    assert max(map(len, progress)) < columns
    assert sum("of 4 trials" in line for line in screen(text, 200)) == 2  # the last line, and the sentence
    assert re.search(r"unroll: [1-3] of 4 trials finished; the same command continues the study\.", text)
    finished = [slot.number for slot in job_of(study).open().slots() if slot.state == "COMPLETE"]
    assert finished
    status, text = run(words, columns)
    assert status == 0
    assert "trials: 4 complete" in text
    assert "[I 2" not in text  # Optuna's own lines
    assert {slot.state for slot in job_of(study).open().slots()} == {"COMPLETE"}


@pytest.mark.slow
def test_sigterm_ends_seeds_that_are_trained_side_by_side(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UNROLL_PROCESSES", "2")
    Path("seeds").mkdir()
    for seed in (0, 1, 2):
        config = small("tagging", "lstm", f"seed={seed}", "training.tokens=2000000", "training.validations=500")
        Path(f"seeds/{seed}.yaml").write_text(config.dump(), encoding="utf-8")
    sent: list[int] = []

    def watch(text: str, process: subprocess.Popen[bytes], terminal: int) -> None:
        if not sent and all(f"lstm-{seed}  " in text for seed in (0, 1)):
            process.send_signal(signal.SIGTERM)
            sent.append(process.pid)

    status, text = run(command("train", "--config", "seeds", "--out", "runs"), 60, watch)
    assert status == 143
    assert not any("% of" in line for line in drawn(text))  # two would share a line
    stopped = re.findall(r"unroll: tagging/lstm-(\d) stopped at [\d,]+ of 2,000,000 tokens", text)
    assert sorted(stopped) == ["0", "1"]
    assert len(list(WORKSPACES.glob("*/last.ckpt"))) == 2


@pytest.mark.slow
def test_sigterm_ends_a_study_with_its_workers(small: Small) -> None:
    settings = write_study().study.settings
    study = write_study(settings={**settings, "training.tokens": 80_000, "training.validations": 400}, trials=2)

    sent: list[int] = []

    def watch(text: str, process: subprocess.Popen[bytes], terminal: int) -> None:
        if not sent and any(slot.reports for slot in job_of(study).open().slots()):
            process.send_signal(signal.SIGTERM)
            sent.append(process.pid)

    status, text = run(command("tune", "study=tiny", "--out", "studied"), 60, watch)
    assert status == 143
    assert "0 of 2 trials finished; the same command continues the study." in text
    assert list(WORKSPACES.glob("*/last.ckpt"))
    assert "RUNNING" not in {slot.state for slot in job_of(study).open().slots()}


@pytest.mark.slow
@pytest.mark.parametrize("words", [
    ("evaluate", "runs"), ("certify", "runs/tagging/bilstm-0"), ("predict", "runs/tagging/bilstm-0", "the dog"),
    ("prepare", "experiment=adding"), ("tune", "study=tiny"), ("compare", "figures.json"), ("report",),
    ("verdict", "runs", "runs"), ("sync", "runs/tagging/bilstm-0"), ("upgrade", "runs/tagging/bilstm-0"), ("ui",),
    ("repro",), ("clean",), ("config", "experiment=adding"),
])  # fmt: skip
def test_every_command_says_what_it_does_before_it_imports_anything_slow(words: Sequence[str], tagger: Path) -> None:
    write_study(trials=1)
    slow = ("torch", "scipy", "matplotlib", "hydra", "pydantic")
    early: list[bool] = []

    def watch(text: str, process: subprocess.Popen[bytes], terminal: int) -> None:
        if not early:
            maps = Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8")
            early.append(not any(f"/{name}" in maps for name in slow))

    _, text = run(command(*words), 60, watch)
    assert drawn(text)[0].endswith("…"), text
    assert early == [True]
    assert "Traceback" not in text
