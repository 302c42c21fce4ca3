"""What a command shows while it runs: one line that fits and is redrawn on a terminal, few plain lines elsewhere."""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable, Iterator

import pytest
from screens import Clock, Terminal, drawn, resize, screen

from unroll import interruption as signals
from unroll import terminal
from unroll.errors import Interrupted
from unroll.interruption import Interruption
from unroll.terminal import Line, Progress, clock, fitted

WIDTHS = (1, 7, 20, 40, 60, 200)


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(terminal, "time", made)
    return made


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Terminal]]:
    """Open terminals, and close them at the end."""
    monkeypatch.setenv("TERM", "xterm")
    terminals: list[Terminal] = []

    def open_one(columns: int) -> Terminal:
        terminals.append(Terminal(columns))
        monkeypatch.setattr("sys.stderr", terminals[-1].stream)
        return terminals[-1]

    yield open_one
    for one in terminals:
        if not one.stream.closed:
            one.close()


@pytest.mark.parametrize("columns", WIDTHS)
def test_progress_stays_on_one_line_at_any_width(columns: int, opened: Callable[[int], Terminal], time: Clock) -> None:
    shown = opened(columns)
    progress = Progress(250_000, "tokens")
    for done in range(0, 250_001, 2_500):
        progress.show(done, "val/loss 0.1234", "9,876 tokens/s")
        time.now += 0.2
    text = shown.close()
    assert len(drawn(text)) == 101
    assert screen(text, columns) == [drawn(text)[-1]]
    assert "^C" in screen(f"{text}^C", columns)[0] or columns == 1  # it does not wrap either
    whole = "100 % of 250,000 tokens · 0:00 left · val/loss 0.1234 · 9,876 tokens/s"
    assert whole.startswith(drawn(text)[-1])


def test_progress_follows_the_width_of_its_terminal(opened: Callable[[int], Terminal], time: Clock) -> None:
    shown = opened(200)
    progress = Progress(1_000, "tokens")
    for columns in (200, 20, 60):
        resize(shown.main, columns)
        progress.show(310, "val/loss 0.1234", "9,876 tokens/s")
        time.now += 20
    assert list(map(len, drawn(shown.close()))) == [55, 17, 50]


def test_parts_that_do_not_fit_are_left_out() -> None:
    parts = ["31 % of 250,000 tokens", "0:05 left", "val/loss 0.1"]
    assert fitted(parts, " · ", 34) == "31 % of 250,000 tokens · 0:05 left"
    assert fitted(parts, " · ", 33) == "31 % of 250,000 tokens"
    assert fitted(parts, " · ", 12) == "31 % of 250,"
    assert fitted(["学習 1", "2"], " · ", 6) == "学習 1"  # two columns each
    assert fitted(["学習 1", "2"], " · ", 5) == "学習 "
    assert fitted(["é" * 3, "2"], " · ", 3) == "é" * 3  # a letter and an accent are one column


def test_a_terminal_gets_only_characters_that_it_has(
    monkeypatch: pytest.MonkeyPatch, opened: Callable[[int], Terminal]
) -> None:
    shown = opened(60)
    shown.stream.reconfigure(encoding="ascii", errors="strict")  # type: ignore[attr-defined]
    Line().draw("a\nb\x1b[2J", "ü")
    assert drawn(shown.close()) == ["a?b?[2J - \\xfc"]


def test_lasting_lines_stand_above_the_progress(opened: Callable[[int], Terminal], time: Clock) -> None:
    shown = opened(60)
    with terminal.doing("Preparing a"):
        terminal.say("unroll: a sentence")
        line = Line()
        line.draw("one", "two")
        line.note("unroll: another one")
        line.draw("one", "three")  # at once, since the line is gone
    terminal.announce("Training")
    assert screen(shown.close(), 60) == ["unroll: a sentence", "unroll: another one", "Training", ""]


@pytest.mark.parametrize("case", ["a file", "a dumb terminal", "a second process"])
def test_elsewhere_there_are_few_plain_lines(
    case: str, opened: Callable[[int], Terminal], monkeypatch: pytest.MonkeyPatch, time: Clock
) -> None:
    stream = io.StringIO()
    if case == "a dumb terminal":
        shown = opened(20)
        monkeypatch.setenv("TERM", "dumb")
    elif case == "a second process":
        shown = opened(20)
        for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1}.items():
            monkeypatch.setenv(name, str(value))
        monkeypatch.setenv("TORCHELASTIC_RUN_ID", "test")
    else:
        monkeypatch.setattr("sys.stderr", stream)
    with terminal.doing("Preparing a"):
        terminal.announce("Training")
        progress = Progress(120, "records")
        for second in range(121):
            progress.show(second, "a part that would not fit into twenty columns")
            time.now += 1
    text = stream.getvalue() if case == "a file" else shown.close().replace("\r\n", "\n")
    lines = text.splitlines()
    assert len(lines) == 8  # in two minutes
    assert lines[0] == "12 % of 120 records · 1:45 left · a part that would not fit into twenty columns"
    assert "\r" not in text
    assert "\x1b" not in text


def test_without_standard_error_nothing_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr("sys.stderr", None)
    with terminal.doing("Preparing"):
        terminal.say("a")
        terminal.announce("b")
        Line().keep("c")
        Progress(0, "MB").show(3)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (59.7, "1:00"), (125, "2:05"), (7500, "2:05:00")])
def test_a_duration_reads_well(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_pending_until_it_is_checked(number: int, capfd: pytest.CaptureFixture[str]) -> None:
    before = signal.getsignal(number)
    with Interruption() as outer:
        with Interruption("unroll: stopping") as inner:
            signal.raise_signal(number)
            signal.raise_signal(signal.SIGTERM)  # as schedulers do more than once
            with pytest.raises(Interrupted) as raised:
                inner.raise_if_asked("stopped at 3 of 5.")
        assert outer.asked
    assert (raised.value.number, raised.value.sentence) == (number, "stopped at 3 of 5.")
    assert signal.getsignal(number) is before
    assert capfd.readouterr().err == "unroll: stopping\n" * (number == signal.SIGINT)


def test_a_second_ctrl_c_ends_the_process_at_once(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    for first in (signal.SIGINT, signal.SIGTERM):
        with Interruption("unroll: stopping"):
            signal.raise_signal(first)
            assert not ended
            signal.raise_signal(signal.SIGINT)
        assert ended.pop() == 130
    assert capfd.readouterr().err.endswith(f"{signals.AT_ONCE}\n")


def test_a_second_ctrl_c_may_follow_the_sentence_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)

    def write(sentence: str) -> None:
        written.append(sentence)
        if len(written) == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(signals, "_write", write)
    with Interruption("unroll: stopping"):
        signal.raise_signal(signal.SIGINT)
        assert ended == [130]
    assert written == ["unroll: stopping", signals.AT_ONCE]
