"""What a run reports while it trains, and how it is interrupted."""

from __future__ import annotations

import csv
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll import experiment, preparation
from unroll.config import Config
from unroll.data.batch import Batch
from unroll.errors import Interrupted
from unroll.tasks.tagger.module import Tagger

Small = Callable[..., Config]


def command(small: Small) -> list[str]:
    config = small("tagging", "lstm", "training.tokens=8000")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    return [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", "run"]


def test_a_pipe_gets_one_line_per_validation(small: Small) -> None:
    done = subprocess.run(command(small), capture_output=True, text=True, check=True)
    lines = done.stderr.splitlines()
    assert 2 <= len(lines) <= 3
    for line in lines:
        assert re.fullmatch(r"tagging/lstm-0  [\d,]+ tokens  val/loss \d.*val/accuracy \d.*  [\d,]+ tokens/s", line)


def test_ctrl_c_is_handled_where_python_would_lose_it(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Garbage:
        def __del__(self) -> None:  # what is raised in here is printed and forgotten
            signal.raise_signal(signal.SIGINT)

    step, steps = Tagger.training_step, []

    def interrupted(self: Tagger, batch: Batch, batch_idx: int) -> object:
        steps.append(batch_idx)
        if len(steps) == 3:
            Garbage()
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Tagger, "training_step", interrupted)
    config, handler = small("tagging", "lstm"), signal.getsignal(signal.SIGINT)
    with pytest.raises(Interrupted):
        experiment.train(config, preparation.prepared(config.data), project / "run")
    assert len(steps) == 3
    assert signal.getsignal(signal.SIGINT) is handler
    assert not (project / "run").exists()


@pytest.mark.parametrize("settings", [("training.truncation_length=7", "training.batch_size=3"),
                                      pytest.param(("training.truncation_length=11", "training.batch_size=2"),
                                                   marks=pytest.mark.slow)])  # fmt: skip
def test_validations_are_told_at_the_same_tokens_whatever_the_batches(small: Small, settings: tuple[str, str]) -> None:
    class Told:
        name, tags, tokens = "trial", dict[str, str](), list[int]()

        def report(self, tokens: int, value: float, speed: float) -> bool:
            self.tokens.append(tokens)
            return False

    config, told = small("grammar", "lstm", *settings, "training.tokens=3000", "training.validations=7"), Told()
    told.tokens = []
    experiment.train(config, preparation.prepared(config.data), Path("run"), trial=told)
    assert told.tokens == [*(number * 3000 // 7 for number in range(1, 8)), 3000]  # and once more at the end
    with Path("run/history.csv").open(encoding="utf-8", newline="") as file:
        read = sorted({int(row["tokens"]) for row in csv.DictReader(file) if row["metric"].startswith("val/")})
    batch = config.training.batch_size * (config.training.truncation_length or 0)
    for number, (at, real) in enumerate(zip(told.tokens, read, strict=True), start=1):
        assert -batch < at - real < number * batch
