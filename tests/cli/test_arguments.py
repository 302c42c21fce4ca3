"""The words of a command: one clear sentence with exit code 2 for what a person got wrong."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from unroll import cli
from unroll.cli import VERBS, main

Refused = Callable[..., str]
TypeIn = Callable[[bytes], None]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "the following arguments are required: VERB; see unroll --help."),
        (["certify"], "the following arguments are required: RUN; see unroll certify --help."),
        (["data"], "the following arguments are required: action; see unroll data --help."),
        (["trian"], "There is no verb 'trian' (did you mean train?); choose one of config, "),
        (["verdict", "one"], "the following arguments are required: RUNS_B; see unroll verdict --help."),
        (["verdict", "a-1", "a-2", "b-1"], "unrecognized arguments: b-1; quote a pattern to keep the shell from"),
        (["verdict", "a", "b", "x=1"], "unrecognized arguments: x=1; quote a pattern"),
        (["verdict", "a", "b", "--test", "bootstrap"], "--test: invalid choice: 'bootstrap'"),
        (["verdict", "a", "b", "--margin", "much"], "--margin: invalid float value: 'much'"),
        (["train", "--nope"], "unrecognized arguments: --nope; see unroll train --help."),
        (["train", "experiment=adding", "--out", "a", "extra"], ": extra; see unroll train --help."),
        (["ui", "--uri", "http://me:secret@host", "more", "http://me:secret@host"], "arguments: more http://host;"),
    ],
)
def test_what_is_not_a_command_is_refused_in_one_sentence(words: list[str], expected: str, refused: Refused) -> None:
    assert expected in refused(*words)


def test_of_several_processes_one_reports_what_is_not_a_command(
    refused: Refused, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher = {"TORCHELASTIC_RUN_ID": "x", "RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0"}
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    refused("train", "--nope")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["train", "--nope"]) == 2
    assert capsys.readouterr().err == ""


def test_text_that_is_not_utf_8_is_refused_with_its_place(tagger: Path, refused: Refused, type_in: TypeIn) -> None:
    type_in(b"the dog\n" * 2000 + b"caf\xe9\n")
    assert "standard input, line 2001: byte 16003" in refused("predict", str(tagger))
    assert "Argument 3 is not valid UTF-8" in refused("predict", str(tagger), "caf\udce9")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["repro", "--jobs", "0"], "--jobs: 0 is not a whole number of at least 1; see unroll repro --help."),
        (["repro", "--jobs", "two"], "--jobs: two is not a whole number of at least 1; see"),
        (["clean", "--days", "nan"], "--days: nan is not a number of at least 0; see"),
        (["tune", "--workers", "1000000"], " per core: more would only use up memory; see unroll tune --help."),
        (["generate", "run", "--length", "0"], "--length: 0 is not a whole number of at least 1; see"),
        (["generate", "run", "--seed", "-1"], "--seed: -1 is not a whole number from 0 to 9223372036854775807; see"),
        (["generate", "run", "--seed", str(2**63)], "--seed: 9223372036854775808 is not a whole number from 0 to"),
        (["generate", "run", "--temperature", "-1"], "--temperature: -1 is not a number from 0.001 to 1000, nor 0"),
        (["generate", "run", "--temperature", "0.0001"], "--temperature: 0.0001 is not a number from 0.001 to 1000"),
        (["generate", "run", "--temperature", "hot"], "--temperature: hot is not a number from 0.001 to 1000, nor 0"),
        (["generate", "run", "--top-k", "0"], "--top-k: 0 is not a whole number of at least 1; see"),
        (["generate", "run", "--top-p", "0"], "--top-p: 0 is not a number from 0.001 to 1; see"),
        (["generate", "run", "--top-p", "1.5"], "--top-p: 1.5 is not a number from 0.001 to 1; see"),
        (["ui", "--port", "65536"], "--port: 65536 is not a whole number from 1 to 65535; see unroll ui --help."),
    ],
)
def test_a_number_out_of_its_range_is_refused_before_anything_runs(
    words: list[str], expected: str, refused: Refused
) -> None:
    assert expected in refused(*words)


def test_numbers_at_the_ends_of_their_ranges_are_taken(project: Path, refused: Refused) -> None:
    limits = ["--length", "1", "--seed", str(2**63 - 1), "--temperature"]
    for temperature in ("0", "0.0", "0.001", "1000"):
        assert "not a run" in refused("generate", "missing", "--prompt", "a", *limits, temperature)


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        main([verb, "--help"])
    assert done.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    assert text.startswith(f"usage: unroll {verb} [-h]")
    assert VERBS[verb] in text


def test_every_module_that_runs_is_a_verb() -> None:
    modules = {path.stem: path.read_text(encoding="utf-8") for path in Path(cli.__path__[0]).glob("*.py")}
    assert {name for name, text in modules.items() if "\ndef run(" in text} == set(VERBS)


@pytest.mark.parametrize(("words", "loaded"), [(["--help"], set()), (["verdict", "--help"], {"verdict"})])
def test_help_imports_no_other_verb(words: list[str], loaded: set[str]) -> None:
    code = (
        "import sys; from unroll.cli import VERBS, main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: print(*(verb for verb in VERBS if f'unroll.cli.{verb}' in sys.modules), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert set(done.stderr.split()) == loaded


def test_modules_of_verbs_import_nothing_that_is_slow() -> None:
    slow = {"torch", "lightning", "mlflow", "optuna", "hydra", "pydantic", "numpy", "yaml"}
    code = (
        "import sys; from importlib import import_module; from unroll.cli import VERBS\n"
        "for verb in VERBS: import_module(f'unroll.cli.{verb}')\n"
        f"print(*({slow!r} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_settings_may_stand_on_both_sides_of_an_option(project: Path, refused: Refused) -> None:
    words = ["prepare", "experiment=adding", "--out", "prepared", "data.generator=null", "arch=lstmm"]
    assert "lstmm" in refused(*words)
