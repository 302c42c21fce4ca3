"""Standard streams that are closed, full, without a reader, or of another encoding; and Python without docstrings."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from processes import some_slow

from unroll.cli import VERBS

ROOT = Path(__file__).parents[2]
UTF8 = "the dög barks 🐶"
ASCII_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMANDS = ["--help", "--version", "data list", "config experiment=tagging", "config --explain", "train x",
            "clean caches", *(f"{verb} --help" for verb in VERBS)]  # fmt: skip
QUICK = ("train x",)


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A line of bash, in which unroll is this command; its output has no traceback, nor a complaint at exit."""
    unroll = f'unroll() {{ "{sys.executable}" $FLAGS -m unroll.cli "$@"; }}; set -o pipefail; {line}'
    unset = ("PYTHONIOENCODING", "PYTHONUTF8", "LC_ALL", "PYTHONUNBUFFERED", "PYTHONOPTIMIZE")
    environment = {key: value for key, value in os.environ.items() if key not in unset}
    environment |= {"PYTHONPATH": str(ROOT / "src"), "FLAGS": "", **variables}
    done = subprocess.run(
        ["bash", "-c", unroll],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        env=environment,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr
    assert "Exception ignored" not in done.stderr
    return done


@pytest.mark.parametrize("command", some_slow(COMMANDS, *QUICK))
def test_streams_may_be_closed(command: str, project: Path) -> None:
    due = shell(f"unroll {command} < /dev/null").returncode
    for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
        assert shell(f"unroll {command} {closed}").returncode == due, closed


@pytest.mark.parametrize("command", some_slow(COMMANDS, *QUICK))
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_output_is_reported_in_one_sentence_and_a_pipe_without_a_reader_not_at_all(
    command: str, project: Path
) -> None:
    due = shell(f"unroll {command}")
    for unbuffered in ("", "1"):
        done = shell(f"unroll {command} > /dev/full", PYTHONUNBUFFERED=unbuffered)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert line.startswith("unroll: standard output: " if due.stdout else "unroll: ")
        assert shell(f"unroll {command} 2> /dev/full", PYTHONUNBUFFERED=unbuffered).returncode == due.returncode
        done = shell(f"unroll {command} | true", PYTHONUNBUFFERED=unbuffered)
        assert done.returncode in (
            (0, 141) if due.stdout else (2,)
        )  # 0 where it had written before the pipe was closed
        assert bool(done.stderr) == bool(due.stderr)


@pytest.mark.parametrize("command", some_slow(COMMANDS, "config --explain"))
@pytest.mark.parametrize("flags", some_slow(["-OO", "-O"], "-OO"))
def test_docstrings_and_assertions_may_be_removed(flags: str, command: str, project: Path) -> None:
    assert shell(f"unroll {command}", FLAGS=flags).returncode == shell(f"unroll {command}").returncode


def test_settings_are_explained_without_docstrings(project: Path) -> None:
    kept = shell("unroll config --explain training").stdout.splitlines()
    without = shell("unroll config --explain training", FLAGS="-OO").stdout.splitlines()
    assert without[0] == "training:"
    assert without[1] == kept[1]


ENCODINGS = [{"PYTHONIOENCODING": "ascii"}, {"PYTHONIOENCODING": "latin-1"}, ASCII_LOCALE]


@pytest.mark.parametrize("variables", some_slow(ENCODINGS, ENCODINGS[0]))
def test_what_a_terminal_cannot_show_is_escaped(variables: dict[str, str], tagger: Path) -> None:
    Path("utf.txt").write_text(f"{UTF8}\n", encoding="utf-8")
    expected = UTF8 if variables.get("PYTHONIOENCODING") == "latin-1" else UTF8.replace("ö", "\\xf6")
    words = [word.rpartition("/")[0] for word in _printed(f"unroll predict {tagger} --file utf.txt", variables).split()]
    assert words == expected.replace("🐶", "\\U0001f436").split()
    (line,) = _printed(f"unroll predict {tagger} --json --file utf.txt", variables).splitlines()
    assert "dög" in json.dumps(json.loads(line), ensure_ascii=False)  # JSON has escapes of its own
    done = shell(f"unroll predict {tagger}/ü🐶 a", **variables)
    assert done.returncode == 2
    assert "\\U0001f436" in done.stderr


def _printed(line: str, variables: dict[str, str]) -> str:
    done = shell(f"{line} | iconv -f {'latin1' if 'latin-1' in variables.values() else 'ascii'} -t utf8", **variables)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_arguments_and_files_are_utf_8_in_an_ascii_locale(tagger: Path) -> None:
    Path("für 🐶.txt").write_text(f"{UTF8}\n", encoding="utf-8")
    assert "d\\xf6g" in _printed(f"unroll predict {tagger} --file 'für 🐶.txt'", ASCII_LOCALE)
    assert "d\\xf6g" in _printed(f"unroll predict {tagger} 'the dög'", ASCII_LOCALE)
    done = shell(f"unroll predict {tagger} $'caf\\xe9'", **ASCII_LOCALE)
    assert done.returncode == 2
    assert "Argument 3 is not valid UTF-8" in done.stderr
    shell("unroll config experiment=tagging judged_by=null data.title='ü' > shown.yaml", **ASCII_LOCALE)
    assert 'title: "\\xFC"' in Path("shown.yaml").read_text(encoding="ascii")


@pytest.mark.slow
def test_closed_standard_input_has_nothing_to_predict(tagger: Path) -> None:
    done = shell(f"unroll predict {tagger} <&-")
    assert done.returncode == 2
    assert "unroll: Standard input is closed; give" in done.stderr
