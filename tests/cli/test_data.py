"""``unroll data``: corpora listed, fetched and added."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from unroll.cli import main

Refused = Callable[..., str]


def test_data_lists_embedded_public_and_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "embedded" in lines["grammar"]
    assert "public" in lines["brown"]


def test_data_fetch_generates_embedded_corpora(project: Path) -> None:
    assert main(["data", "fetch", "adding"]) == 0
    assert sorted(path.name for path in Path("data/adding").iterdir()) == [
        "test.series", "train.series", "validation.series"]  # fmt: skip


def test_an_embedded_corpus_that_lacks_a_file_is_generated_again(project: Path) -> None:
    assert main(["data", "fetch", "adding"]) == 0
    files = {path: path.read_bytes() for path in Path("data/adding").iterdir()}
    Path("data/adding/validation.series").unlink()
    assert main(["prepare", "experiment=adding"]) == 0
    assert {path: path.read_bytes() for path in Path("data/adding").iterdir()} == files


def test_data_fetch_refuses_unknown_names_and_a_missing_mirror(
    project: Path, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "no public corpus 'browm' (did you mean brown?); choose one of brown, cmudict" in refused(
        "data", "fetch", "browm"
    )
    assert "grammar" not in refused("data", "fetch", "browm")  # which is embedded
    assert "unroll data list" in refused("data", "fetch")
    monkeypatch.setenv("UNROLL_MIRROR", str(project / "nowhere"))
    assert "not a folder" in refused("data", "fetch", "tinyshakespeare")
    assert not Path("paper").exists() or not list(Path("paper").rglob("input.txt"))


def test_data_add_makes_a_corpus_of_ones_own(
    refused: Refused, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("mine.txt").write_text("one two three\n" * 50, encoding="utf-8")
    assert main(["data", "add", "mine.txt"]) == 0
    assert (
        main(
            [
                "prepare",
                "experiment=grammar",
                "data=mine",
                "~data.reader.probe",
                "~data.reader.contrast",
            ]
        )
        == 0
    )
    capsys.readouterr()
    message = refused("train", "experiment=grammar", "--prepared", "data/mine")
    assert "data/mine/fit/vocabulary.json is missing, so this is not a prepared corpus" in message
    assert "delete conf/data/mine.yaml and data/mine." in refused("data", "add", "mine.txt")
    assert "does not exist" in refused("data", "add", "absent.txt")
    Path("mine.xyz").write_text("a", encoding="utf-8")
    assert "format" in refused("data", "add", "mine.xyz", "--name", "other")
    Path("folder").mkdir()
    assert "no file for train; name files" in refused("data", "add", "folder")


def test_data_add_refuses_what_cannot_be_read_and_keeps_nothing(project: Path, refused: Refused) -> None:
    Path("torn.conllu").write_text("1\tdog\tNOUN\n\n", encoding="utf-8")
    assert "torn.conllu, line 1" in refused("data", "add", "torn.conllu")
    assert not Path("data/torn").exists()
    assert not Path("conf/data/torn.yaml").exists()


@pytest.mark.parametrize("name", ["grammar", "brown"])
def test_a_corpus_of_the_project_is_never_to_be_deleted_for_ones_own(
    name: str, project: Path, refused: Refused
) -> None:
    Path("mine.txt").write_text("one two three\n" * 50, encoding="utf-8")
    message = refused("data", "add", "mine.txt", "--name", name)
    assert "delete" not in message
    assert f"--name my-{name}" in message


@pytest.mark.parametrize(
    ("file", "content", "empty"),
    [("e.txt", "", "train"), ("e.conllu", "", "train"), ("e.conll", "\n", "train"), ("e.series", "", "train"),
     ("e.txt", "one line only\n", "validation")],
)  # fmt: skip
def test_data_add_refuses_what_cannot_be_cut_into_splits(
    file: str, content: str, empty: str, project: Path, refused: Refused
) -> None:
    Path(file).write_text(content, encoding="utf-8")
    assert f"The {empty} split is empty: {file} has no records for it" in refused("data", "add", file)
    assert not Path("data/e").exists()
    assert not Path("conf/data/e.yaml").exists()


def test_data_add_names_the_files_of_which_a_folder_has_too_many(project: Path, refused: Refused) -> None:
    Path("folder").mkdir()
    for name in ("train.txt", "dev.txt", "val.txt"):
        Path("folder", name).write_text("one two\n" * 50, encoding="utf-8")
    assert "2 files for validation (dev.txt, val.txt)" in refused("data", "add", "folder")
