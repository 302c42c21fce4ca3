"""Names that become part of a path: one check, wherever they come from; and locks, which write to nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from processes import some_slow

from unroll.cli import main
from unroll.config import Config
from unroll.data.vocabularies import Vocabularies
from unroll.errors import BadInput
from unroll.locks import held
from unroll.names import LONGEST, RESERVED, fault, fault_of_file

Small = Callable[..., Config]
BAD = [
    "", ".", "..", "/../../dvc", "../dvc", "a/b", "a\\b", "/etc", "C:", "a b", "a ", " a", "-a", ".a", "a.",
    "a\0b", "a\nb", "a\x1bb", "a\u202eb", "a\u200bb", "CON", "nul.txt", "Lpt1", "x" * (LONGEST + 1), "é" * LONGEST,
    "e\u0301", "\u1100\u1161",
    "2003", "1e5", "0x1F", "1_000", "true", "No", "null", "nan", "inf", "2003-01-01", "~", "2003-99-99", "0b_", "0x_",
    "a*", "a$b", "a=b", "a,b", "{a}", "\ud800", "a.yaml", "a.YML", "_self_",
]  # fmt: skip
GOOD = ["a", "2003-a", "c2003", "gru-reset-before", "en_ewt", "v1.2", "_x", "été", "日本", "x" * LONGEST, "console"]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    capsys.readouterr()
    assert main(list(arguments)) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def files() -> set[tuple[str, int]]:
    """Every file and folder around the project, and how long it is."""
    found = Path("..").rglob("*")
    return {(str(path), path.stat().st_size if path.is_file() else -1) for path in found}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_a_name_has_a_reason(name: str) -> None:
    assert fault(name)
    assert fault_of_file(f"folder/{name}") or name == "a/b"


@pytest.mark.parametrize("name", ["2003", "true", "on", "1e5"])
def test_names_that_are_suggested_can_be_names(name: str) -> None:
    suggested = fault(name).partition("such as ")[2].split(" or ")
    assert [each for each in suggested if fault(each)] == []


@pytest.mark.parametrize("name", GOOD)
def test_what_can_be_a_name_has_none(name: str) -> None:
    assert fault(name) == ""
    assert fault_of_file(f"folder/{name}") == ""


def test_the_longest_names_make_files_that_a_system_takes(project: Path) -> None:
    name = "x" * LONGEST
    Path(f".{name}-{name}-{2**32}-{'0' * 12}.unroll-12345678").touch()  # the longest name that is made of them
    Path(f"{name}-{name}-{2**32}-{'0' * 8}-{'0' * 16}").touch()
    assert len(RESERVED) == 24


KEYS = ["experiment", "data.name", "arch.name", "data.generator", "arch.encoder.cell", "data.sources.0.file"]
NAMES = ["/../../dvc", "a\0b", "2003", "x" * 300]
SENT = [(key, name) for key in KEYS for name in NAMES]


@pytest.mark.parametrize("sent", some_slow(SENT, *zip(KEYS, NAMES * 2, strict=False)), ids=repr)
def test_a_config_that_was_sent_names_nothing_outside(
    sent: tuple[str, str], small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, name = sent
    Path("dvc.lock").write_text("lock", encoding="utf-8")
    content = small("tagging", "lstm").model_dump(mode="json")
    content["data"]["sources"] = [{"file": "a", "url": "http://127.0.0.1:9/a", "sha256": "0" * 64}]
    *sections, last = key.split(".")
    section = content
    for part in sections:
        section = section[int(part) if part.isdigit() else part]
    section[last] = name
    sent = Path("sent.yaml")
    sent.write_text(yaml.safe_dump(content, sort_keys=False, width=1000), encoding="utf-8")
    before = files()
    line = refused(capsys, "train", "--config", str(sent))
    written = yaml.safe_dump({last: name}, width=1000).splitlines()[0]
    number = next(n for n, text in enumerate(sent.read_text(encoding="utf-8").splitlines(), 1) if written in text)
    assert key.partition(".")[0] in line
    assert f"sent.yaml, line {number})" in line
    assert len(line) < 400
    assert files() == before


FAULTS: dict[str, dict[str, Any]] = {  # what else may be wrong with a file that was sent
    "an older format": {"format": 0}, "a newer format": {"format": 99}, "no format": {"format": None},
    "a misspelt key": {"sead": 1}, "a wrong value": {"seed": "x"}, "a part of conf": {"defaults": []},
    "another reader": {"data": {"reader": "conllu"}}, "a tracker": {"tracking": {"uri": "x"}},
}  # fmt: skip


@pytest.mark.parametrize("fault", some_slow(FAULTS, "an older format", "a misspelt key", "a part of conf"))
def test_an_unsafe_name_is_refused_for_what_it_is_whatever_else_is_wrong(
    fault: str, small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = small("tagging", "lstm").model_dump(mode="json")
    for key, value in FAULTS[fault].items():
        content[key] = {**content[key], **value} if isinstance(value, dict) else value
    content["data"]["name"] = "/../../dvc"
    Path("sent.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    Path("data.yaml").write_text(yaml.safe_dump(content["data"] | {"unit": "words"}), encoding="utf-8")
    study = {"study": {"name": "s"}, "bases": {"-": content}, **({"x": 1} if fault == "a misspelt key" else {})}
    Path("study.yaml").write_text(yaml.safe_dump(study), encoding="utf-8")
    before = files()
    for verb in (["train", "--config", "sent.yaml"], ["prepare", "--data", "data.yaml"]):
        line = refused(capsys, *verb)
        assert "name=/../../dvc: a name may contain only letters" in line
        assert f"{verb[-1]}, line " in line
    assert "data.name=/../../dvc: a name may contain only letters" in refused(capsys, "tune", "--config", "study.yaml")
    assert files() == before


def test_a_date_that_does_not_exist_is_not_a_number(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "seed=2003-99-99" in refused(capsys, "tune", "study=lstm-vs-gru", "seed=2003-99-99")


@pytest.mark.parametrize("verb", [["prepare", "--data"], ["tune", "--config"]])
def test_other_files_that_were_sent_name_nothing_outside(
    verb: list[str], small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from unroll.config import compose_study

    if verb[0] == "tune":
        content = yaml.safe_load(compose_study("reach").dump())
        content["study"]["name"] = "/../../dvc"
    else:
        content = small("tagging", "lstm").data.model_dump(mode="json") | {"name": "/../../dvc"}
    Path("sent.yaml").write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    before = files()
    assert "name=/../../dvc" in refused(capsys, *verb, "sent.yaml")
    assert files() == before


def test_a_run_that_was_sent_names_nothing_outside(
    small: Small, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path("run")
    run.mkdir()
    content = small("tagging", "lstm").model_dump(mode="json")
    content["experiment"] = "../../escaped"
    (run / "config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    facts = {"format": 1, "fingerprint": "a", "vocabulary": "b", "weights": "c", "parameters": 1, "tokens": 1,
             "best": {}, "order": {}}  # fmt: skip
    (run / "vocabulary.json").write_text(Vocabularies({}).dumps(), encoding="utf-8")
    (run / "run.json").write_text(json.dumps(facts), encoding="utf-8")
    (run / "weights.safetensors").write_text("{}", encoding="utf-8")
    for verb in (["certify", "run"], ["predict", "run", "a"]):
        assert "experiment=../../escaped" in refused(capsys, *verb)


@pytest.mark.parametrize("name", ["2003", "-x", "a\nb"])
def test_a_corpus_is_refused_by_its_name_when_it_is_added(
    name: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("corpus.txt").write_text("to be or not to be\n" * 20, encoding="utf-8")
    assert "--name" in refused(capsys, "data", "add", "corpus.txt", f"--name={name}")
    assert not Path("data").exists()


@pytest.mark.parametrize(("given", "words"), [
    ("experiments: [true]", "true in experiments"), ("experiments: [2003]", "2003 in experiments"),
    ("experiments: ['../x']", "../x in experiments"), ("archs: ['a/b']", "a/b in archs"),
    ("seeds: [true]", "true in seeds"), ("seeds: [-1]", "-1 in seeds"),
    ("seeds: [a]", "a in seeds"), ("archs: [1e5.]", "1e5. in archs"),
])  # fmt: skip
def test_a_course_names_nothing_that_cannot_be_a_path(
    given: str, words: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    grid = {"experiments": ["adding"], "archs": ["lstm"], "seeds": [0]} | yaml.safe_load(given)
    Path("course.yaml").write_text(yaml.safe_dump({"first": grid}), encoding="utf-8")
    line = refused(capsys, "config", "--course", "course.yaml")
    assert words in line
    assert "course.yaml, line 1" in line


def test_an_experiment_is_refused_by_the_name_of_its_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("2003", "true", "x y"):
        shutil.copy("conf/experiment/adding.yaml", f"conf/experiment/{name}.yaml")
        assert "experiment" in refused(capsys, "config", f"experiment={name}")


def test_a_file_of_data_has_one_line(small: Small, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("train", "validation", "test", "vectors"):
        for path in ("a\0b", "a\n", ""):
            content = small("tagging", "lstm").data.model_dump(mode="json") | {key: path}
            Path("sent.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
            assert key in refused(capsys, "prepare", "--data", "sent.yaml")


def test_a_generator_replaces_nobodys_corpus(small: Small, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = Path("data/mine")
    own.mkdir(parents=True)
    (own / "train.series").write_text("0.5\t0.2,1\n", encoding="utf-8")
    content = small("adding", "lstm").data.model_dump(mode="json") | {"name": "mine", "generator": "adding"}
    content |= {split: f"data/mine/{split}.series" for split in ("train", "validation", "test")}
    Path("sent.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert "data/mine/train.series" in refused(capsys, "prepare", "--data", "sent.yaml")
    assert (own / "train.series").read_text(encoding="utf-8") == "0.5\t0.2,1\n"
    assert [path.name for path in own.iterdir()] == ["train.series"]


@pytest.mark.parametrize("folder", some_slow(["src/unroll", "../data/evil", "/tmp"], "../data/evil"))
def test_a_corpus_is_fetched_into_its_own_folder_alone(
    folder: str, project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import hashlib

    Path("mirror/evil").mkdir(parents=True)
    Path("mirror/evil/Makefile").write_text("evil", encoding="utf-8")
    monkeypatch.setenv("UNROLL_MIRROR", "mirror")
    digest = hashlib.sha256(b"evil").hexdigest()
    source = {"file": "Makefile", "url": "http://127.0.0.1:9/", "sha256": digest}
    content = {"name": "evil", "title": "Evil.", "reader": {"name": "text"}, "split": {"train": 0.8, "validation": 0.1},
               "train": f"{folder}/a.txt", "sources": [source]}  # fmt: skip
    Path("conf/data/evil.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    before = files()
    assert "data.train" in refused(capsys, "data", "fetch", "evil")
    assert files() == before


def test_a_lock_file_keeps_what_it_has(project: Path) -> None:
    path = Path("dvc.lock")
    path.write_text("content", encoding="utf-8")
    with held(path) as first, held(path, wait=False) as second:
        assert (first, second) == (True, False)
    with held(path, wait=False) as free:
        assert free
    assert path.read_text(encoding="utf-8") == "content"


def test_a_lock_file_is_not_followed_elsewhere(small: Small, project: Path) -> None:
    Path("lock").symlink_to("elsewhere")
    with pytest.raises(BadInput, match="symbolic link"), held(Path("lock")):
        pass
    assert not Path("elsewhere").exists()
