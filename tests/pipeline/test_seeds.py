"""The seeds of a stage: the bytes of a process per run, whichever way they are trained; finished ones are kept."""

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

import pytest
from processes import crossed, some_slow

from unroll import preparation
from unroll.cli import main
from unroll.config import Config

Small = Callable[..., Config]
OUT, CONFIGS, KEPT = Path("runs/lstm"), Path("configs/lstm"), Path("outputs/kept")
SETTINGS = ("training.tokens=3000", "training.batch_size=4", "arch.encoder.dropout=0.2")


def written(config: Config, *seeds: int) -> Path:
    """Settings of some seeds, as ``resolve`` writes them. Returns the prepared data."""
    CONFIGS.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        (CONFIGS / f"{seed}.yaml").write_text(config.model_copy(update={"seed": seed}).dump(), encoding="utf-8")
    return preparation.prepared(config.data)


def words(prepared: Path, config: Path = CONFIGS, out: Path = OUT) -> list[str]:
    return ["train", "--config", str(config), "--prepared", str(prepared), "--out", str(out)]


def in_processes(*arguments: str, **more: str) -> int:
    return subprocess.run([sys.executable, "-m", "unroll.cli", *arguments], env={**os.environ, **more}).returncode


def content(folder: Path) -> dict[str, bytes]:
    """Every file of some runs."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that were trained in this process."""
    from unroll.experiment import seeds

    names: list[str] = []
    train = seeds.train

    def noted(config: Config, *arguments: object) -> dict[str, float]:
        names.append(config.name)
        return train(config, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(seeds, "train", noted)
    return names


@pytest.mark.parametrize("run", some_slow(
    [("grammar", "lstm"), ("grammar", "ngram"), ("tagging", "bilstm-chars-crf"), ("adding", "gru")],
    ("grammar", "lstm"),
))  # fmt: skip
def test_seeds_in_one_process_have_the_bytes_of_a_process_each(
    run: tuple[str, str], small: Small, project: Path, trained: list[str]
) -> None:
    name, arch = run
    dropout = () if arch == "ngram" else SETTINGS[2:]
    prepared = written(small(name, arch, *SETTINGS[:2], *dropout), 2, 10, 0)
    assert main(words(prepared)) == 0
    assert trained == [f"{name}/{arch}-{seed}" for seed in (0, 2, 10)]
    assert in_processes(*words(prepared, CONFIGS / "10.yaml", Path("alone/10"))) == 0
    assert content(OUT / "10") == content(Path("alone/10"))  # the last of the three, as if nothing ran before it


@pytest.mark.slow
def test_seeds_split_over_processes_have_the_same_bytes(small: Small, project: Path) -> None:
    prepared = written(small("grammar", "lstm", *SETTINGS), 0, 1, 2)
    assert in_processes(*words(prepared), UNROLL_PROCESSES="2") == 0
    split = content(OUT)
    assert len(list(KEPT.iterdir())) == 3
    shutil.rmtree(OUT)
    assert in_processes(*words(prepared), UNROLL_AGAIN="1") == 0
    assert content(OUT) == split


def test_a_seed_added_trains_that_seed_alone(small: Small, project: Path, trained: list[str]) -> None:
    config = small("grammar", "lstm", *SETTINGS)
    prepared = written(config, 0, 1)
    assert main(words(prepared)) == 0
    before = content(OUT)
    shutil.rmtree(OUT)  # as DVC does before it runs a stage
    written(config, 2)
    trained.clear()
    assert main(words(prepared)) == 0
    assert trained == ["grammar/lstm-2"]
    assert content(OUT).items() > before.items()


def test_unroll_again_trains_every_seed(
    small: Small, project: Path, trained: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = written(small("grammar", "lstm", *SETTINGS), 0, 1)
    assert main(words(prepared)) == 0
    before = content(OUT)
    monkeypatch.setenv("UNROLL_AGAIN", "1")
    assert main(words(prepared)) == 0
    assert trained == ["grammar/lstm-0", "grammar/lstm-1"] * 2
    assert content(OUT) == before


def test_a_kept_run_gets_the_settings_that_its_fingerprint_leaves_open(
    small: Small, project: Path, trained: list[str]
) -> None:
    config = small("grammar", "lstm", *SETTINGS)
    prepared = written(config, 0)
    assert main(words(prepared)) == 0
    training = config.training.model_copy(update={"checkpoint_seconds": 77.0})
    written(config.model_copy(update={"training": training}), 0)
    shutil.rmtree(OUT)
    assert main(words(prepared)) == 0
    assert trained == ["grammar/lstm-0"]
    assert "checkpoint_seconds: 77.0" in (OUT / "0" / "config.yaml").read_text(encoding="utf-8")


def test_other_settings_replace_the_kept_run(small: Small, project: Path, trained: list[str]) -> None:
    prepared = written(small("grammar", "lstm", *SETTINGS), 0)
    assert main(words(prepared)) == 0
    shutil.rmtree(OUT)
    written(small("grammar", "lstm", *SETTINGS, "training.clip_norm=0.1"), 0)
    assert main(words(prepared)) == 0
    assert len(trained) == 2
    assert len(list(KEPT.iterdir())) == 1


DAMAGES = ["run", "run/weights.safetensors", "run/history.csv", "run/run.json", "run/vocabulary.json", "seal.json"]


@pytest.mark.parametrize(("file", "how"), crossed(DAMAGES, ["changed", "missing"]))
def test_a_damaged_kept_run_is_not_used(
    file: str, how: str, small: Small, project: Path, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = written(small("grammar", "ngram"), 0)
    assert main(words(prepared)) == 0
    before = content(OUT)
    shutil.rmtree(OUT)
    (path,) = KEPT.glob(f"*/{file}")
    if path.is_dir():
        shutil.rmtree(path)
        if how == "changed":
            path.write_bytes(b"")
    elif how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-9])
    capsys.readouterr()
    assert main(words(prepared)) == 0
    assert "is not used, and grammar/ngram-0 is trained: it" in capsys.readouterr().err
    assert len(trained) == 2
    assert content(OUT) == before
    shutil.rmtree(OUT)
    assert main(words(prepared)) == 0  # it was kept again
    assert len(trained) == 2


def test_a_run_of_another_processor_is_not_used(
    small: Small, project: Path, trained: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = written(small("grammar", "ngram"), 0)
    assert main(words(prepared)) == 0
    (seal,) = KEPT.glob("*/seal.json")
    seal.write_text(seal.read_text(encoding="utf-8").replace('"cpu": "', '"cpu": "other '), encoding="utf-8")
    shutil.rmtree(OUT)
    assert main(words(prepared)) == 0
    assert "it was trained with other cpu" in capsys.readouterr().err
    assert len(trained) == 2


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_seeds_that_were_killed_cost_only_themselves(processes: str, small: Small, project: Path) -> None:
    prepared = written(small("grammar", "lstm", "training.tokens=6000", "training.checkpoint_seconds=0.1"), 0, 1, 2)
    assert in_processes(*words(prepared, out=Path("whole/lstm"))) == 0
    shutil.rmtree(KEPT)
    command = [sys.executable, "-m", "unroll.cli", *words(prepared)]
    killed = subprocess.Popen(command, env={**os.environ, "UNROLL_PROCESSES": processes}, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (list(KEPT.glob("*-1-*")) and list(Path("outputs/working").glob("*-2-*/last.ckpt"))):
        assert time.monotonic() < deadline
        assert killed.poll() is None
        time.sleep(0.01)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in KEPT.iterdir()}
    assert not (OUT / "2").exists()
    shutil.rmtree(OUT)
    assert in_processes(*words(prepared)) == 0
    assert {path.name: path.stat().st_mtime_ns for path in KEPT.iterdir()}.items() > kept.items()
    assert content(OUT) == content(Path("whole/lstm"))
    assert not list(Path("outputs/working").iterdir())


@pytest.mark.slow
def test_a_seed_that_fails_leaves_the_finished_ones(
    small: Small, project: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = small("grammar", "lstm", *SETTINGS)
    prepared = written(config, 0, 1)
    path = CONFIGS / "1.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("  batch_size: 4", "  batch_size: 100000"), "utf-8")
    for processes in ("1", "2"):
        shutil.rmtree(OUT, ignore_errors=True)
        assert in_processes(*words(prepared), UNROLL_PROCESSES=processes) == 2
        assert "too few for 100000 streams" in capfd.readouterr().err
        assert [path.name for path in OUT.iterdir()] == ["0"]
        assert len(list(KEPT.iterdir())) == 1


def test_a_folder_of_settings_needs_a_place_and_prepares_its_data(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written(small("grammar", "ngram"), 0, 1)
    shutil.rmtree("outputs/cache")
    assert main(["train", "--config", str(CONFIGS)]) == 2
    assert "requires --out FOLDER" in capsys.readouterr().err
    assert main(["train", "--config", str(CONFIGS), "--out", str(OUT)]) == 0
    assert sorted(path.name for path in OUT.iterdir()) == ["0", "1"]


def test_a_folder_without_settings_and_a_wrong_number_of_processes_are_refused(
    small: Small, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    prepared = written(small("grammar", "ngram"), 0)
    Path("empty").mkdir()
    assert main(words(prepared, Path("empty"))) == 2
    assert "empty has no settings" in capsys.readouterr().err
    monkeypatch.setenv("UNROLL_PROCESSES", "many")
    assert main(words(prepared)) == 2
    assert "UNROLL_PROCESSES=many is not a number of processes" in capsys.readouterr().err


@pytest.mark.slow
def test_runs_of_several_devices_have_processes_of_their_own(small: Small, project: Path) -> None:
    prepared = written(small("grammar", "lstm", *SETTINGS, "training.devices=2"), 0, 1)
    assert in_processes(*words(prepared)) == 0
    facts = [json.loads((OUT / seed / "run.json").read_text(encoding="utf-8")) for seed in ("0", "1")]
    assert [fact["processes"] for fact in facts] == [2, 2]
    assert len(list(KEPT.iterdir())) == 2
