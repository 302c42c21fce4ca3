"""Any text is a value on the command line, and a name that is not text is refused when it is made."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import some_slow

from unroll.cli import main
from unroll.config import compose_study_from, load_here

Refused = Callable[..., str]
TEXTS = [
    "a b", " a ", "a=b", "a,b", "it's", 'six"', "a(b", "a#b", " #b", "[x", "[x]", "{y", "{y: 1}", "a$b", "a${b}",
    "${oc.env:HOME}", r"a\b", "a\\", r"\${x}", "a:b", "a: b", "für", "🐶", "true", "2003", "1e5", "choice(1,2)", "~x",
    "'", "'q", "%s", "*x", "&x", "!x", "- x", "1,2", "0x1f", "2003-99-99", "a'b'", "'a' 'b'",
]  # fmt: skip


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[..., dict[str, Any]]:
    """The settings that words of the command line make."""

    def show(*words: str) -> dict[str, Any]:
        capsys.readouterr()
        assert main(["config", "experiment=tagging", "judged_by=null", *words]) == 0
        content: dict[str, Any] = yaml.safe_load(capsys.readouterr().out)
        return content

    return show


@pytest.mark.parametrize("text", some_slow(TEXTS, "a=b", "a${b}", "'q", "2003", "🐶"))
def test_text_is_taken_as_it_is(text: str, project: Path, shown: Callable[..., dict[str, Any]]) -> None:
    found = shown(
        f"data.title={text}", f"data.train={text}", f"data.validation={text}", f"tracking.uri=sqlite:///{text}"
    )
    assert (found["data"]["title"], found["data"]["train"], found["data"]["validation"]) == (text, text, text)
    assert found["tracking"]["uri"] == f"sqlite:///{text}"


def test_quotation_marks_around_all_of_a_text_are_not_part_of_it(
    project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    found = shown("data.title='null'", 'data.test="a, b"', "data.licence=null")["data"]
    assert (found["title"], found["test"], found["licence"]) == ("null", "a, b", None)


@pytest.mark.parametrize("text", some_slow(["a: b", "#x", "[x", "'q", "2003", "für, 🐶"], "a: b"))
def test_text_beside_a_file_of_settings_and_of_a_study_is_taken_as_it_is(
    text: str, small: Callable[..., Any], project: Path
) -> None:
    Path("sent.yaml").write_text(small("tagging", "bilstm").dump(), encoding="utf-8")
    words = [f"data.train={text}", f"tracking.uri=sqlite:///{text}", "tracking=mlflow"]
    found = load_here(Path("sent.yaml"), words, reads_data=True)
    assert (found.data.train, found.tracking.uri) == (text, f"sqlite:///{text}")
    study = compose_study_from(["study=tagging-rates", f"storage=sqlite:///{text}", f"data.title={text}"])
    assert study.study.storage == f"sqlite:///{text}"
    assert study.first().data.title == text


@pytest.mark.parametrize(
    "text",
    some_slow(
        ["a b", "a=b,c", "it's", 'six"', "(#[{", "a${b}", "${oc.env:HOME}", "a\\", "ü🐶", "a: b"], "a${b}", "ü🐶"
    ),
)
def test_a_corpus_is_added_from_a_path_of_any_text(
    text: str, small: Callable[..., Any], shown: Callable[..., dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    small("tagging", "bilstm")
    shutil.copy("data/small/train.conllu", f"{text}.conllu")
    assert main(["data", "add", f"{text}.conllu", "--name", "mine", "--force"]) == 0
    found = shown("data=mine")["data"]
    assert (found["title"], found["train"]) == (f"Added from {text}.conllu.", f"data/mine/{text}.conllu")
    assert Path(found["train"]).is_file()
    capsys.readouterr()
    assert main(["data", "list"]) == 0
    assert f"Added from {text}.conllu." in capsys.readouterr().out
    assert main(["prepare", "experiment=tagging", "judged_by=null", "data=mine", "--out", f"{text}/{text}"]) == 0
    assert (Path(text) / text / "spec.json").is_file() or (Path(text) / text / "fit" / "spec.json").is_file()


@pytest.mark.parametrize(
    "name",
    some_slow(
        ["2003", "true", "1e5", "null", "0x1f", "1_000", "yes", "nan", "2003-01-01", "2003-99-99", "0b1", "017"],
        "2003",
        "yes",
        "1e5",
    ),
)
def test_a_name_that_is_not_text_is_refused_when_it_is_made(
    name: str, small: Callable[..., Any], refused: Refused
) -> None:
    small("tagging", "bilstm")
    assert "add a letter" in refused("data", "add", "data/small/train.conllu", "--name", name)
    shutil.copy("data/small/train.conllu", f"{name}.conllu")
    assert "--name" in refused("data", "add", f"{name}.conllu")
    assert not Path(f"conf/data/{name}.yaml").exists()
    for group, source in {"data": "recall", "experiment": "tagging", "arch": "lstm", "study": "reach"}.items():
        shutil.copy(f"conf/{group}/{source}.yaml", f"conf/{group}/{name}.yaml")
    assert "add a letter" in refused("config", "experiment=tagging", f"data={name}")
    assert "add a letter" in refused("config", "experiment=tagging", f"arch={name}")
    assert "add a letter" in refused("config", f"experiment={name}")
    assert "add a letter" in refused("tune", f"study={name}")
