"""Drawing of inputs for the tests in ``fuzz/``, and what holds for every input: understood, or refused in one sentence.

The draws are the same in every run. ``UNROLL_FUZZ_SEED=7 pytest -m slow tests/fuzz`` draws others; hypothesis shrinks
what fails and prints it, and a plain test for it then goes to the tests of its module.
"""

from __future__ import annotations

import contextlib
import copy
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from unroll.cli import main
from unroll.errors import BadInput

# examples of each kind of input in the slow tier, of which the default tier draws a part
READERS, SETTINGS, STATE, FIGURES, COMMANDS = 12_000, 4_200, 2_400, 1_200, 1_000
QUICK = 40  # of so many examples, the default tier draws one
SLOW = [pytest.param("full", marks=pytest.mark.slow)]  # of kinds that take a trained run
TIERS = ["quick", *SLOW]
BITS = [
    b"", b"\n", b"\r", b"\r\n", b"\t", b" ", b"\t\t", b"\n\n", b"_", b"-", b"#", b"# a = b\n", b"0", b"1",
    b"1-2", b"1.1", b"-1", b"1e39", b"1e400", b"nan", b"inf", b"99999999999999999999", b",", b"/", b"|", b"=",
    b"B-", b"I-X", b"E-X", b"O", b"-DOCSTART-", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\xc2\xa0",
    b"\xe2\x80\x8b", b"\xe2\x80\xa8", b"\x85", b"\x0b", b"\x1c", b"\x1f\x8b", b"PK\x03\x04", b"\xed\xa0\x80",
    "ü".encode(), "🐶".encode(), "٣".encode(), b"'", b'"', b"{", b"[", b"]", b": ", b"- ", b"&a ", b"*a",
    b"!!", b"%", b"${x}", b"null", b"true", b"\\", b"[UNK]", b"[PAD]"
]  # fmt: skip
VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 3, 0.5, -0.5, 1e39, 1e400, float("nan"), 10**30, "", " ", "x", "ü🐶", "\ud800", "a\nb",
    "null",
    "1", "../x", "/", "~", "lstm", "tagger", [], [1], ["a"], [[]], [None], {}, {"name": "x"}, {"a": 1}, {"": None},
]  # fmt: skip


def fuzz(tier: str, examples: int, strategy: st.SearchStrategy[Any], check: Callable[[Any], None]) -> None:
    """Check drawn inputs.

    Args:
        tier: quick or full.
        examples: number of inputs in the full tier.
        strategy: what is drawn.
        check: raises an exception for an input that is neither understood nor refused.
    """
    drawn = 0
    count = examples if tier == "full" else max(1, examples // QUICK)
    number = os.environ.get("UNROLL_FUZZ_SEED")
    phases = [Phase.explicit, Phase.generate] if tier == "quick" else [Phase.explicit, Phase.generate, Phase.shrink]

    @settings(max_examples=count, derandomize=number is None, database=None, deadline=None, phases=phases,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(strategy)
    def every(value: Any) -> None:
        nonlocal drawn
        drawn += 1
        check(value)

    if number is not None:
        every = seed(int(number))(every)
    every()
    assert drawn >= count


@st.composite
def damaged(draw: st.DrawFn, *contents: bytes) -> bytes:
    """One of some files with a few edits: parts are cut, doubled, or replaced by bytes that have a meaning."""
    content = draw(st.sampled_from(contents))
    for _ in range(draw(st.integers(1, 4))):
        begin = draw(st.integers(0, len(content)))
        end = min(len(content), begin + draw(st.sampled_from([0, 0, 1, 1, 2, 5, 20, 200])))
        new = draw(st.one_of(st.sampled_from(BITS), st.just(content[begin:end] * 2), st.binary(max_size=4)))
        content = content[:begin] + new + content[end:]
    return content


@st.composite
def altered(draw: st.DrawFn, content: Any) -> Any:
    """JSON or YAML of which a few parts have another value, another name, or are missing."""
    content = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        places = [*_places(content)]
        if not places:
            break
        section, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["value", "value", "value", "remove", "rename", "add", "copy"]))
        value = copy.deepcopy(draw(st.sampled_from(VALUES)))
        if how == "copy":
            other, name = draw(st.sampled_from(places))
            value = copy.deepcopy(other[name])
        if how in ("remove", "rename"):
            old = section.pop(key)
            if how == "rename" and isinstance(section, dict):
                section[draw(st.sampled_from(["", "x", "name", "format", f"{key}s", "ü"]))] = old
        elif how == "add" and isinstance(section, dict):
            section[draw(st.sampled_from(["x", "name", "format", "ü"]))] = value
        else:
            section[key] = value
    return content


def _places(content: Any) -> Iterator[tuple[Any, Any]]:
    """Each section and each of its keys."""
    for key, value in list(content.items() if isinstance(content, dict) else enumerate(content)):
        yield content, key
        if isinstance(value, dict | list):
            yield from _places(value)


def refusal(read: Callable[[], object]) -> str:
    """The sentence that refuses what is read; empty if it is understood."""
    sentence = ""
    try:
        read()
    except BadInput as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 3000
    return sentence


def files(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of a project, but for the cache, whose entries are whole, and for lock files."""
    found = {}
    for path in folder.rglob("*"):
        name = str(path.relative_to(folder))
        assert ".unroll-" not in name, f"{name} was left half-written"
        if not name.startswith(("outputs/cache", "mlruns")) and path.suffix != ".lock" and path.is_file():
            found[name] = (path.stat().st_size, path.stat().st_mtime_ns)
    return found


def command_ends_well(words: list[str]) -> int:
    """Run a command in the current folder: it succeeds, or is refused in a sentence and leaves all files as they were.

    Returns:
        The exit status.
    """
    before, err = files(Path()), io.StringIO()
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")  # as of the process
    with contextlib.redirect_stderr(err), contextlib.redirect_stdout(out):
        try:
            status = main(words)
        except SystemExit as done:  # help was printed
            status = int(done.code or 0)
    lines = [line for line in err.getvalue().splitlines() if line.startswith("unroll: ")]
    assert status in (0, 1, 2), (words, status)
    if status == 2:
        assert len(lines) >= 1, (words, err.getvalue())
        assert "\n" not in lines[-1]
        assert len(lines[-1]) < 3000, lines
        assert files(Path()) == before, words
    return status
