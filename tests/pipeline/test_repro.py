"""unroll repro and make repro on pipelines of a few lines: it works, waits, or fails loudly."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from processes import some_slow

from unroll.cli import main
from unroll.data.generators import GENERATORS
from unroll.pipeline.embedded import COMPARED, generate

ROOT = Path(__file__).parent.parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
STAGES = {
    "resolve": {"cmd": "mkdir -p outputs && cp conf/course.yaml outputs/configs", "deps": ["conf/course.yaml"],
                "outs": ["outputs/configs"]},
    "train": {"matrix": {"seed": [0, 1, 2]}, "cmd": "sh train.sh ${item.seed}",
                "deps": ["outputs/configs", "train.sh"], "outs": ["outputs/run-${item.seed}"]},
    "report": {"cmd": "cat outputs/run-* > outputs/page", "deps": [f"outputs/run-{seed}" for seed in range(3)],
               "outs": ["outputs/page"]},
}  # fmt: skip
TRAINED = [f"train@{seed}" for seed in range(3)]


@pytest.fixture
def tiny(project: Path) -> Path:
    """A project of five stages, none of which takes long, in a git repository; its corpora are there."""
    for corpus in (project / "conf" / "data").glob("*.yaml"):
        (project / "data" / corpus.stem).mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "."], cwd=project, check=True)
    (project / ".dvc").mkdir()
    shutil.copy(ROOT / ".dvc" / "config", project / ".dvc" / "config")
    (project / ".gitignore").write_text("/outputs/\n", encoding="utf-8")
    (project / "dvc.yaml").write_text(yaml.safe_dump({"stages": STAGES}, sort_keys=False), encoding="utf-8")
    (project / "train.sh").write_text("echo learning\ncat outputs/configs > outputs/run-$1\n", encoding="utf-8")
    return project


def start(*words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "unroll.cli", *words], env=ENVIRONMENT, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        # where the tests run in the background of a shell, they are deaf to SIGINT, and so would be what they start
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip


def unroll(*words: str) -> tuple[int, str, str]:
    process = start(*words)
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def make(target: str, folder: Path) -> tuple[int, str, str]:
    """Run a target as people do, where the set-up is done."""
    (folder / ".venv").mkdir(exist_ok=True)
    shutil.copy(ROOT / "Makefile", folder / "Makefile")
    for name in ("requirements.lock", "pyproject.toml", ".venv/ready"):
        (folder / name).touch()
    done = subprocess.run(["make", target, "JOBS=2"], cwd=folder, env=ENVIRONMENT, capture_output=True, text=True,
                          check=False, timeout=100)  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def locked_stages(folder: Path) -> set[str]:
    return set(yaml.safe_load((folder / "dvc.lock").read_text(encoding="utf-8"))["stages"])


def sentence(err: str) -> str:
    """The one line of an error, of which there is no second."""
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("unroll: ")]
    return line


def test_a_pipeline_is_run_to_its_end_and_then_is_up_to_date(tiny: Path) -> None:
    code, out, err = unroll("repro", "--jobs", "2")
    assert code == 0, err
    assert "  no output yet: 1 resolve, 3 train, 1 report\n" in out
    assert "5 stages in " in err
    assert locked_stages(tiny) == {"resolve", *TRAINED, "report"}
    assert (tiny / "outputs" / "page").exists()
    assert unroll("repro")[:2] == (0, "Data and pipelines are up to date.\n")


@pytest.mark.parametrize("file", ["dvc.lock", "dvc.yaml", "data.dvc", "conf/course.yaml", "conf/data/grammar.yaml",
                                  ".dvc/config", "paper/dvc.lock"])  # fmt: skip
def test_conflict_marks_are_named_with_their_line(file: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tiny / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> theirs\n", encoding="utf-8")
    for words in (["repro"], ["repro", "--force", "report"], ["repro", "paper/dvc.yaml"]):
        assert main(words) == 2
        assert f"{file}, line 2" in sentence(capsys.readouterr().err)
    assert not (tiny / "outputs").exists()


@pytest.mark.parametrize("broken", some_slow(
    ["dvc.yaml", "dvc.lock", "data.dvc", ".dvc/config", ".dvc/config.local", "no .dvc"], "dvc.lock", "no .dvc"
))  # fmt: skip
def test_what_dvc_cannot_read_is_a_failure(broken: str, tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if broken == "no .dvc":
        shutil.rmtree(tiny / ".dvc")
    else:
        (tiny / broken).write_text("[core\nx" if "config" in broken else "stages: [}\n", encoding="utf-8")
    assert main(["repro"]) == 2
    name = broken.removeprefix("no ").removeprefix(".dvc/").removesuffix(".local")
    assert name in sentence(capsys.readouterr().err)


WITHOUT_STAGES = ["", "\0" * 300, "null\n", "stages:\n", "stages: {}\n", "vars: []\n", "[]\n", None]


@pytest.mark.parametrize("content", some_slow(WITHOUT_STAGES, "", "stages: {}\n", None), ids=repr)
def test_a_file_without_stages_runs_those_of_no_other_file(
    content: str | None, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tiny / "paper" / "dvc.yaml"
    other.parent.mkdir(exist_ok=True)
    other.write_text("stages: {paper: {cmd: touch ../ran}}\n", encoding="utf-8")
    stages = tiny / "dvc.yaml"
    whole = stages.read_text(encoding="utf-8")
    for path, commands in ((stages, [["repro"], ["repro", "--force", "report"], ["clean", "dvc"]]),
                           (other, [["repro", "paper/dvc.yaml"]])):  # fmt: skip
        path.unlink() if content is None else path.write_text(content, encoding="utf-8")
        for words in commands:
            assert main(words) == 2
            assert str(path.relative_to(tiny)) in sentence(capsys.readouterr().err)
        stages.write_text(whole, encoding="utf-8")
    assert not (tiny / "ran").exists()


def test_a_stage_that_does_not_exist_is_bad_input(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["repro", "--force", "nope"]) == 2
    assert "nope" in sentence(capsys.readouterr().err)


def test_the_remedy_for_a_damaged_lock_file_works(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tiny / "dvc.lock").write_bytes(b"\0" * 100)
    assert main(["repro", "--force", "resolve"]) == 2
    assert "delete it" in sentence(capsys.readouterr().err)
    (tiny / "dvc.lock").unlink()
    assert main(["repro", "--force", "resolve"]) == 0
    assert locked_stages(tiny) == {"resolve"}


@pytest.mark.slow
def test_what_dvc_finds_out_late_is_a_failure(tiny: Path) -> None:
    stages = {**STAGES, "twice": STAGES["resolve"]}  # an output of two stages
    (tiny / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}), encoding="utf-8")
    code, _, err = unroll("repro")
    assert code == 1
    assert "outputs/configs" in err


@pytest.mark.slow
def test_a_remote_that_is_not_configured_is_no_hindrance(tiny: Path) -> None:
    (tiny / ".dvc" / "config").write_text("[core]\n    remote = nowhere\n", encoding="utf-8")
    code, _, err = unroll("repro")
    assert code == 0, err
    assert locked_stages(tiny) == {"resolve", *TRAINED, "report"}


@pytest.mark.slow
def test_without_git_dvc_works_without_it_and_with_git_again(tiny: Path) -> None:
    git = shutil.move(tiny / ".git", tiny.parent / "git")
    local = tiny / ".dvc" / "config.local"
    code, _, err = unroll("repro")
    assert code == 0, err
    assert "no_scm" in local.read_text(encoding="utf-8")
    assert locked_stages(tiny) == {"resolve", *TRAINED, "report"}
    shutil.move(git, tiny / ".git")
    code, out, err = unroll("repro")
    assert (code, out) == (0, "Data and pipelines are up to date.\n"), err
    assert not local.exists() or "no_scm" not in local.read_text(encoding="utf-8")


def test_a_project_in_a_folder_of_a_git_repository_has_git(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    subproject = shutil.copytree(tiny, tiny / "sub", ignore=shutil.ignore_patterns(".git", "sub"))
    monkeypatch.chdir(subproject)
    assert main(["repro", "nothing.yaml"]) == 2
    assert "nothing.yaml" in sentence(capsys.readouterr().err)
    assert not (subproject / ".dvc" / "config.local").exists()


@pytest.mark.slow
def test_a_stage_that_fails_shows_its_last_lines_and_the_rest_goes_on_later(tiny: Path) -> None:
    good = (tiny / "train.sh").read_text(encoding="utf-8")
    (tiny / "train.sh").write_text('[ $1 != 1 ] || { echo "no room for it" >&2; exit 7; }\n' + good, encoding="utf-8")
    code, _, err = unroll("repro", "--jobs", "2")
    assert code == 1
    assert "stage train@1 failed" in err
    assert "  no room for it\n" in err
    assert "no room for it" in (tiny / "outputs" / "repro.log").read_text(encoding="utf-8")
    assert "Traceback" not in err
    assert not (tiny / "outputs" / "page").exists()
    (tiny / "train.sh").write_text(good, encoding="utf-8")
    code, _, err = unroll("repro", "--jobs", "2")
    assert code == 0, err
    assert locked_stages(tiny) == {"resolve", *TRAINED, "report"}


def until(happened: Callable[[], object], process: subprocess.Popen[str], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


SLOW = "trap 'touch ended-$1; exit 130' INT TERM; touch begun-$1; sleep 30 & wait\n"


@pytest.mark.slow
@pytest.mark.parametrize(("number", "expected"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interruption_ends_the_stages_and_the_command(number: int, expected: int, tiny: Path) -> None:
    good = (tiny / "train.sh").read_text(encoding="utf-8")
    (tiny / "train.sh").write_text(SLOW + good, encoding="utf-8")
    process = start("repro", "--jobs", "2")
    until(lambda: len(list(tiny.glob("begun-*"))) == 2, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=90)
    assert process.returncode == expected, out + err
    assert "Traceback" not in err
    assert len(list(tiny.glob("begun-*"))) == len(list(tiny.glob("ended-*"))) == 2
    (tiny / "train.sh").write_text(good, encoding="utf-8")
    code, _, err = unroll("repro")
    assert code == 0, err
    assert locked_stages(tiny) == {"resolve", *TRAINED, "report"}


LOCK = "import sys, time, zc.lockfile; lock = zc.lockfile.LockFile('.dvc/tmp/lock'); print('held', flush=True); "


@pytest.mark.slow
def test_a_project_that_another_command_holds_is_waited_for(tiny: Path) -> None:
    (tiny / ".dvc" / "tmp").mkdir()
    holder = subprocess.Popen([sys.executable, "-c", LOCK + "time.sleep(90)"], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    process = start("repro")
    assert process.stderr is not None
    assert "another DVC command is running" in process.stderr.readline()
    holder.kill()
    holder.communicate()
    _, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert (tiny / "outputs" / "page").exists()


@pytest.mark.slow
def test_a_stage_that_another_dvc_runs_is_waited_for(tiny: Path) -> None:
    slow = "touch begun-$1\nwhile [ ! -e go ]; do sleep 0.1; done\n"
    (tiny / "train.sh").write_text(slow + (tiny / "train.sh").read_text(encoding="utf-8"), encoding="utf-8")
    other = subprocess.Popen(["dvc", "repro", "-q", "train@0"], env=ENVIRONMENT, text=True)
    until((tiny / "begun-0").exists, other)
    process = start("repro", "--jobs", "2")
    assert process.stderr is not None
    said = ""
    while "another DVC command is running" not in said:
        said = process.stderr.readline()
        assert said, process.communicate()
    assert f"process {other.pid}" in said
    (tiny / "go").touch()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert other.wait() == 0
    assert locked_stages(tiny) == {"resolve", *TRAINED, "report"}


@pytest.mark.slow
def test_a_lock_left_behind_by_a_process_whose_number_is_taken_is_not_waited_for(tiny: Path) -> None:
    (tiny / ".dvc" / "tmp").mkdir()
    held = {"write": {str(tiny / "outputs" / "configs"): {"pid": os.getpid(), "cmd": "dvc repro"}}, "read": {}}
    (tiny / ".dvc" / "tmp" / "rwlock").write_text(json.dumps(held), encoding="utf-8")
    code, _, err = unroll("repro")
    assert code == 2, err
    assert ".dvc/tmp/rwlock" in sentence(err)


@pytest.mark.slow
def test_two_at_once_come_one_after_the_other(tiny: Path) -> None:
    commands = [start("repro"), start("repro")]
    answers = [command.communicate(timeout=100) for command in commands]
    assert [command.returncode for command in commands] == [0, 0], answers
    assert sum("another unroll repro" in err for _, err in answers) == 1
    assert sum(out == "Data and pipelines are up to date.\n" for out, _ in answers) == 1


@pytest.mark.slow
def test_outputs_without_the_cache_say_what_runs_again_and_a_remedy_that_works(tiny: Path) -> None:
    assert unroll("repro")[0] == 0
    shutil.rmtree(tiny / ".dvc" / "cache")
    shutil.copytree(tiny, tiny.parent / "kept")
    code, out, err = unroll("repro")
    assert code == 0, err
    assert "training those seeds of 3 stages that" in out
    assert "dvc commit" in out
    subprocess.run(["dvc", "commit", "-q"], cwd=tiny.parent / "kept", env=ENVIRONMENT, check=True)
    os.chdir(tiny.parent / "kept")
    assert unroll("repro")[:2] == (0, "Data and pipelines are up to date.\n")


@pytest.mark.slow
def test_an_embedded_corpus_that_is_absent_is_written(tiny: Path) -> None:
    shutil.rmtree(tiny / "data" / "recall")
    code, _, err = unroll("repro")
    assert code == 0, err
    assert list((tiny / "data" / "recall").iterdir())
    (tiny / "data" / "recall" / "train.conllu").write_text("of an older version\n", encoding="utf-8")
    code, _, err = unroll("repro")
    assert code == 0, err
    assert "data/recall/train.conllu differs from the output of generator=recall" in sentence(err)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A generator in place of that of recall, which notes when it writes: one line in each file."""
    written: list[str] = []

    def write(folder: Path) -> None:
        written.append(folder.name)
        for split in ("train", "validation", "test"):
            (folder / f"{split}.conllu").write_text(f"{split}\n", encoding="utf-8")

    monkeypatch.setitem(GENERATORS, "recall", SimpleNamespace(write=write))
    return written


@pytest.mark.parametrize("changed", ["train.conllu", "test.conllu"])
def test_an_embedded_corpus_that_is_not_what_is_generated_is_kept_and_named(
    changed: str, short: list[str], tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tiny / "data" / "recall"
    shutil.rmtree(corpus)
    generate()
    assert len(short) == 1
    (corpus / changed).write_text("of an older version, or one's own\n", encoding="utf-8")
    (tiny / "data" / "mine").mkdir()
    (tiny / "data" / "mine" / "own.txt").write_text("mine\n", encoding="utf-8")
    for _ in range(3):
        capsys.readouterr()
        generate()
        line = sentence(capsys.readouterr().err)
        assert f"data/recall/{changed} differs from the output of generator=recall" in line
        assert "delete data/recall" in line
    assert len(short) == 2  # it is compared once
    assert "one's own" in (corpus / changed).read_text(encoding="utf-8")
    shutil.rmtree(corpus)  # the remedy
    generate()
    assert capsys.readouterr().err == "Writing data/recall\n"
    generate()
    assert capsys.readouterr().err == ""
    assert (tiny / "data" / "mine" / "own.txt").read_text(encoding="utf-8") == "mine\n"


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b'{"recall": 3}', b'{"recall": [1, 2]}', bytes(9), b"\xff"])
def test_a_damaged_note_of_what_was_compared_costs_nothing(content: bytes, short: list[str], tiny: Path) -> None:
    shutil.rmtree(tiny / "data" / "recall")
    generate()
    generate()
    COMPARED.write_bytes(content)
    generate()
    assert len(short) == 3


def test_without_dvc_the_verb_says_what_it_needs(
    tiny: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert main(["repro"]) == 2
    assert "package dvc" in sentence(capsys.readouterr().err)


@pytest.mark.parametrize("target", ["repro", "report", "paper"])
def test_make_fails_where_dvc_does(target: str, tiny: Path) -> None:
    (tiny / "dvc.lock").write_text("schema: '2.0'\n<<<<<<< ours\n", encoding="utf-8")
    code, out, err = make(target, tiny)
    assert code == 2
    assert "dvc.lock, line 2" in sentence(err)
    assert "index.html" not in out


@pytest.mark.slow
def test_make_report_writes_the_page_again_and_fails_without_runs(tiny: Path) -> None:
    assert make("report", tiny)[0] == 2
    assert make("repro", tiny)[0] == 0
    before = (tiny / "outputs" / "page").stat().st_mtime_ns
    assert make("report", tiny)[0] == 0
    assert (tiny / "outputs" / "page").stat().st_mtime_ns > before
