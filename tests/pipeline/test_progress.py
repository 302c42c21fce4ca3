"""How far a pipeline is, why its stages run, and how long the rest takes."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from screens import Clock

from unroll import terminal
from unroll.pipeline import progress as module
from unroll.pipeline.progress import StageProgress, kind
from unroll.pipeline.repro import reasons


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    monkeypatch.setattr(terminal, "time", made)
    return made


def ran(progress: StageProgress, clock: Clock, name: str, seconds: float) -> None:
    progress.started(name)
    clock.now += seconds
    progress.finished(name)


def test_the_time_left_is_that_of_stages_of_the_same_kind(clock: Clock) -> None:
    progress = StageProgress(jobs=2, stream=io.StringIO())
    progress.expect(["prepare@a", "train@a", "train@b", "train@c", "report", "data.dvc"])
    assert progress.left() is None  # nothing is known yet
    ran(progress, clock, "prepare@a", 2)
    assert progress.left() == pytest.approx(4 * 2 / 2)
    ran(progress, clock, "train@a", 10)
    assert progress.left() == pytest.approx((2 * 10 + 6) / 2)  # of the report only the mean of all is known
    progress.started("train@b")
    clock.now += 4
    assert progress.left() == pytest.approx((6 + 10 + 6) / 2)
    clock.now += 100  # later than expected, but never in the past
    assert progress.left() == pytest.approx((10 + 6) / 2)
    assert progress.parts() == ["2 of 5 stages", "0:08 left", "1:56 so far", "train@b"]


def test_stages_that_turn_out_to_be_up_to_date_no_longer_count(clock: Clock) -> None:
    progress = StageProgress(1, io.StringIO())
    progress.expect(["resolve", "train@a", "train@b"])
    ran(progress, clock, "resolve", 1)
    progress.expect(["train@b", "report"])
    assert progress.parts()[0] == "1 of 3 stages"
    progress.finished("report")  # did not run
    assert progress.parts()[0] == "1 of 2 stages"
    progress.started("train@b")
    progress.stopped("train@b")  # failed
    assert progress.parts()[0] == "1 of 1 stages"


def test_a_log_gets_few_lines(clock: Clock) -> None:
    stream = io.StringIO()
    progress = StageProgress(1, stream)
    progress.expect(f"train@{number}" for number in range(120))
    for number in range(120):
        progress.started(f"train@{number}")
        clock.now += 1
        progress.draw()
        progress.finished(f"train@{number}")
    progress.close()
    lines = stream.getvalue().splitlines()
    assert len(lines) == 9  # in two minutes
    assert lines[-1] == "120 stages in 2:00"
    assert "\033" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


@pytest.mark.parametrize(("name", "expected"), [("train@adding-rnn", "train"), ("report", "report"),
                                                ("paper/dvc.yaml:fetch@brown", "fetch")])  # fmt: skip
def test_a_kind_is_what_stands_before_the_at(name: str, expected: str) -> None:
    assert kind(name) == expected


def test_reasons_are_distinguished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in "abcde":
        Path(name).touch()
    stale = {
        "resolve": [{"changed deps": {"conf": "modified"}}],
        "train@a": [{"changed outs": {"a": "not in cache"}}],
        "train@b": [{"changed outs": {"b": "not in cache"}}],
        "train@x": [{"changed deps": {"configs": "modified"}}, {"changed outs": {"x": "not in cache"}}],
        "certify@c": ["changed command"],
        "evaluate@d": [{"changed outs": {"d": "modified"}}],
        "report": [{"changed deps": {"runs": "deleted"}}],
        "data.dvc": [{"changed outs": {"e": "not in cache"}}],
    }
    said = reasons(stale)
    assert "  changed: 1 resolve (conf)" in said
    assert "  no output yet: 1 train" in said  # x is not here
    assert "  changed command: 1 certify" in said
    assert "  the output differs from dvc.lock: 1 evaluate" in said
    assert "  missing dependency: 1 report (runs)" in said
    assert "  to be added to DVC's cache: 1 data.dvc (e)" in said
    assert any("2 train" in line and ".dvc/cache" in line for line in said)
    assert "training those seeds of 2 stages that" in said[-1]
    assert "dvc commit" in said[-1]
