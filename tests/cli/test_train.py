"""``unroll train``: runs that repeat, and what ends one before anything is written."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from unroll import preparation
from unroll.cli import main
from unroll.config import Config

Refused = Callable[..., str]
Small = Callable[..., Config]


def test_train_writes_a_run_that_its_own_settings_repeat(project: Path, small: Small) -> None:
    config = small("tagging", "gru")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    for out in ("a", "b"):
        assert main(["train", "--config", "run.yaml", "--out", out]) == 0
    assert main(["train", "--config", "a/config.yaml", "--out", "c"]) == 0
    names = sorted(path.name for path in Path("a").iterdir())
    assert names == ["config.yaml", "history.csv", "run.json", "vocabulary.json", "weights.safetensors"]
    for name in names:
        assert Path("a", name).read_bytes() == Path("b", name).read_bytes() == Path("c", name).read_bytes()


def without(config: Config, split: str, group: str) -> None:
    """Take the marks of one group from a split."""
    path = Path(getattr(config.data, split))
    path.write_text(path.read_text(encoding="utf-8").replace(f"Context={group}", "_"), encoding="utf-8")


@pytest.mark.parametrize("experiment", ["tagging", "grammar"])
def test_a_probe_of_a_single_group_is_measured(
    experiment: str, small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small(experiment, "lstm", "data.reader.probe=Context")
    for split in ("train", "validation", "test"):
        without(config, split, "right")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    assert main(["train", "--config", "run.yaml", "--out", "a"]) == 0
    assert re.search(r"accuracy/left [01]\.\d{4}$", capsys.readouterr().out.strip())


def test_a_group_that_validation_does_not_have_did_not_diverge(
    small: Small, capsys: pytest.CaptureFixture[str]
) -> None:
    config = small("tagging", "lstm")
    without(config, "validation", "right")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    assert main(["train", "--config", "run.yaml", "--out", "a"]) == 0
    assert "accuracy/right: nothing to score" in capsys.readouterr().out


def test_train_takes_a_file_or_settings_but_not_both(project: Path, refused: Refused) -> None:
    assert "not both" in refused("train", "experiment=tagging", "--config", "run.yaml")


def test_outside_a_project_the_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               refused: Refused) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    assert "root of the project" in refused("train", "experiment=tagging")
    assert "root of the project" in refused("config", "--course", "conf/course.yaml")


def test_nothing_is_begun_outside_a_project(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "run.yaml").write_text(small("tagging", "lstm").dump(), encoding="utf-8")
    monkeypatch.chdir(outside)
    for command in (
        ["train", "--config", "run.yaml"],
        ["train", "experiment=tagging"],
        ["data", "list"],
        ["data", "add", "run.yaml"],
    ):
        assert "change to the root of the project" in refused(*command)
    assert [path.name for path in outside.iterdir()] == ["run.yaml"]


def test_bad_data_ends_before_anything_is_written(small: Small, refused: Refused) -> None:
    config = small("tagging", "lstm")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    path = Path(config.data.train)
    good = path.read_text(encoding="utf-8")
    for content, words in {
        good + "1\tthe\tDET\n": "line 201: 3 columns",
        "": "The train split is empty",
        good + "\udcff": f"byte {len(good)} is not UTF-8",
    }.items():
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
        message = refused("train", "--config", "run.yaml")
        assert words in message
        assert str(path) in message
    assert not Path("outputs").exists() or not list(Path("outputs").rglob("*.npy"))
    assert not Path("outputs/adhoc").exists()


def test_a_bad_folder_for_a_run_is_refused_before_training(
    small: Small, project: Path, store: str, refused: Refused
) -> None:
    config = small("tagging", "lstm", "tracking=mlflow", f"tracking.uri={store}")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    Path("a file").write_text("thesis", encoding="utf-8")
    assert "is a file" in refused("train", "--config", "run.yaml", "--out", "a file")
    import mlflow

    mlflow.set_tracking_uri(store)
    assert mlflow.search_runs(search_all_experiments=True, output_format="list") == []


@pytest.mark.slow
@pytest.mark.parametrize("room", [2_000, pytest.param(20_000, marks=pytest.mark.slow)],
                         ids=["for the settings", "for the history"])  # fmt: skip
def test_a_full_disk_at_the_end_of_a_training_is_one_sentence(room: int, small: Small, project: Path) -> None:
    config = small("tagging", "lstm", "arch.encoder.hidden_size=64")
    prepared = preparation.prepared(config.data)
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    code = (
        "import resource, sys; from unroll.cli import main\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({room}, {room}))\n"
        f"sys.exit(main(['train', '--config', 'run.yaml', '--prepared', {str(prepared)!r}, '--out', 'runs/a']))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "could not be written" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not Path("runs").exists()


PARTS = {
    "file": ["data.train=data/other/train.conllu"], "min_count": ["data.min_count=2"],
    "lowercase": ["data.lowercase=true"], "probe": ["data.reader.probe=Attractors"],
    "split": ["data.validation=null", "data.test=null", "data.split={train: 0.5, validation: 0.2}"],
}  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
def test_a_folder_that_was_prepared_from_another_corpus_is_refused(part: str, small: Small, refused: Refused) -> None:
    prepared = preparation.prepared(small("tagging", "lstm").data)
    other = small("tagging", "lstm", *PARTS[part])
    Path("run.yaml").write_text(other.dump(), encoding="utf-8")
    message = refused("train", "--config", "run.yaml", "--prepared", str(prepared), "--out", "run")
    assert f"{prepared} was not prepared from data=grammar as this run reads it" in message
    assert PARTS[part][0].partition("=")[0] in message
    assert not Path("run").exists()


def test_a_study_refuses_a_folder_that_was_prepared_from_another_corpus(small: Small, refused: Refused) -> None:
    prepared = str(preparation.prepared(small("recall", "lstm").data))
    message = refused("tune", "study=recall-rates", "tracking=none", "--prepared", prepared)
    assert "data.train=small/train.conllu there, data.train=recall/train.conllu here" in message


def test_settings_on_which_no_number_depends_leave_a_prepared_folder_as_it_is(small: Small) -> None:
    prepared = preparation.prepared(small("tagging", "lstm").data)
    other = small(
        "tagging", "lstm", "data.title=another", "data.roles.labels=labels", "data.licence=MIT", "data.test=null"
    )
    Path("run.yaml").write_text(other.dump(), encoding="utf-8")
    assert main(["train", "--config", "run.yaml", "--prepared", str(prepared), "--out", "run"]) == 0


@pytest.mark.parametrize(("label", "fault"), [("_", "no label of"), ("X", "every label of")])
def test_labels_that_are_all_the_same_are_refused(label: str, fault: str, small: Small, refused: Refused) -> None:
    config = small("tagging", "lstm")
    for split in ("train", "validation", "test"):
        path = Path(getattr(config.data, split))
        path.write_text(re.sub("DET|NOUN|VERB|ADJ|PRON", label, path.read_text(encoding="utf-8")), encoding="utf-8")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    message = refused("train", "--config", "run.yaml", "--out", "run")
    assert f"{fault} data/small/train.conllu is " in message
    assert "(UPOS, the fourth column)" in message


def test_a_column_of_nothing_but_one_label_is_named(project: Path, refused: Refused) -> None:
    Path("mine.conll").write_text("dog O\nbarks O\n\n" * 50, encoding="utf-8")
    assert main(["data", "add", "mine.conll", "--force"]) == 0
    message = refused("train", "experiment=tagging", "data=mine", "~data.reader.probe", "tracking=none")
    assert "is 'O' (data.reader.label_column=-1)" in message


def written(folder: Path) -> dict[str, bytes]:
    """What a folder has."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_finished_run_of_other_settings_is_not_replaced(small: Small, project: Path, refused: Refused) -> None:
    Path("lstm.yaml").write_text(small("tagging", "lstm").dump(), encoding="utf-8")
    assert main(["train", "--config", "lstm.yaml", "--out", "runs/a"]) == 0
    before = written(Path("runs/a"))
    others = {
        "tagging/lstm-0; name": small("tagging", "gru"),
        "tagging/lstm-0 with training.tokens=2000, not 3000": small("tagging", "lstm", "training.tokens=3000"),
    }
    for told, other in others.items():
        Path("other.yaml").write_text(other.dump(), encoding="utf-8")
        message = refused("train", "--config", "other.yaml", "--out", "runs/a")
        assert "runs/a is the finished run" in message
        assert told in message
        assert "--out" in message
        assert written(Path("runs/a")) == before
    assert main(["train", "--config", "lstm.yaml", "--out", "runs/a"]) == 0  # the same run again, as ever
    assert written(Path("runs/a")) == before
    shutil.rmtree("runs/a")  # as DVC does before it runs a stage again
    assert main(["train", "--config", "other.yaml", "--out", "runs/a"]) == 0
    assert written(Path("runs/a")) != before


def test_a_run_whose_settings_are_lost_can_be_trained_again(small: Small, project: Path) -> None:
    Path("lstm.yaml").write_text(small("tagging", "lstm").dump(), encoding="utf-8")
    assert main(["train", "--config", "lstm.yaml", "--out", "a"]) == 0
    before = written(Path("a"))
    Path("a/config.yaml").write_text("", encoding="utf-8")
    assert main(["train", "--config", "lstm.yaml", "--out", "a"]) == 0
    assert written(Path("a")) == before


def test_settings_that_change_no_result_make_no_other_run(small: Small, project: Path) -> None:
    for seconds in (5, 6):
        more = (f"training.checkpoint_seconds={seconds}", "training.precision=auto")
        Path("lstm.yaml").write_text(small("tagging", "lstm", *more).dump(), encoding="utf-8")
        assert main(["train", "--config", "lstm.yaml", "--out", "a"]) == 0


@pytest.mark.slow
def test_a_stage_of_dvc_may_be_run_with_other_settings(small: Small, project: Path) -> None:
    """DVC removes what a stage has written before it runs the stage again."""
    environment = os.environ | {"DVC_NO_ANALYTICS": "1", "PYTHONWARNINGS": "ignore"}
    stage = {"cmd": "python -m unroll.cli train --config run.yaml --out a", "deps": ["run.yaml"], "outs": ["a"]}
    Path("dvc.yaml").write_text(yaml.safe_dump({"stages": {"train": stage}}), encoding="utf-8")
    subprocess.run(["dvc", "init", "--no-scm", "--quiet"], env=environment, check=True)
    for arch in ("lstm", "gru"):
        Path("run.yaml").write_text(small("tagging", arch).dump(), encoding="utf-8")
        done = subprocess.run(["dvc", "repro"], env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load(Path("a/config.yaml").read_text(encoding="utf-8"))["arch"]["name"] == arch
