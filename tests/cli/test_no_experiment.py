"""Runs of a corpus and a task without an experiment, and an experiment as the template for another corpus."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from studying import write_study

from unroll.cli import main
from unroll.tuning import worker

Refused = Callable[..., str]
SENTENCE = "1\tdogs\t_\tNOUN\t_\t_\t_\t_\t_\t_\n2\tbark\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n"
CORPUS = ["data=ner", "task=tagger", "arch=bilstm-crf", "arch.encoder.hidden_size=4", "training.tokens=60",
          "tracking=none"]  # fmt: skip


@pytest.fixture
def ner(project: Path) -> Path:
    """A project with a corpus of its own, ``ner``, which has no marks."""
    Path("ner.conllu").write_text(SENTENCE * 20, encoding="utf-8")
    assert main(["data", "add", "ner.conllu", "--name", "ner"]) == 0
    return project


def test_a_run_of_a_corpus_and_a_task_needs_no_experiment_and_is_named_after_the_corpus(
    ner: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", *CORPUS]) == 0
    out = Path(capsys.readouterr().out.splitlines()[-1].split()[0])
    assert out.parent == Path("outputs/adhoc")
    assert out.name.startswith("ner-bilstm-crf-0-")
    assert main(["evaluate", str(out), "tracking=none", "--out", "ner.json"]) == 0
    assert main(["compare", "ner.json", "--out", "compared"]) == 0
    (row,) = json.loads(Path("compared/comparison.json").read_text(encoding="utf-8"))
    assert (row["experiment"], row["arch"], row["metric"]) == ("ner", "bilstm-crf", "accuracy")


def test_nothing_of_the_course_is_part_of_such_a_run(ner: Path, shown: Callable[..., dict[str, Any]]) -> None:
    found = shown(*CORPUS)
    assert (found["experiment"], found["solved"], found["judged_by"]) == ("ner", None, None)
    assert found["data"]["reader"] == {"name": "conllu", "probe": None, "contrast": None}
    assert shown("data=ner", "task=language_model")["arch"]["name"] == "lstm"


def test_its_data_are_prepared(ner: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "data=ner", "task=tagger"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith("outputs/cache/ner-")


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ["Which experiment?", "adding", "data=NAME and task=NAME"]),
        (["arch=gru"], ["Which experiment?", "data=NAME and task=NAME"]),
        (["data=ner"], ["Which task?", "task=NAME", "cloze, language_model, tagger."]),
        (["data=adding"], ["Which task?", "one of regressor."]),
        (["task=tagger"], ["Which corpus?", "data=NAME", "ner"]),
        (["data=ner", "task=tager"], ["did you mean tagger?"]),
        (["data=nr", "task=tagger"], ["did you mean ner?"]),
        (
            ["data=ner", "task=regressor"],
            ["task=regressor on data=ner", "or task=language_model or task=tagger"],
        ),
        (["data=ner", "task=tagger", "judged_by=accuracy/right"], ["judged_by='accuracy/right'", "data.reader.probe"]),
    ],
)
@pytest.mark.parametrize("verb", ["config", "prepare", "train"])
def test_what_lacks_for_a_run_is_named(
    verb: str, words: list[str], parts: list[str], ner: Path, refused: Refused
) -> None:
    message = refused(verb, *words)
    assert [part for part in parts if part not in message] == []


def test_a_study_of_a_corpus_needs_no_experiment(
    ner: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("unroll.tuning.tune._work", lambda job, study, workers: worker.work(job))
    settings = dict(word.split("=") for word in CORPUS) | {"training.tokens": 60}
    grid: Any = {"space": {"training.optimizer.learning_rate": [1e-2]}, "sampler": {"name": "grid"}, "trials": None}
    write_study("rates", experiment=None, settings={**settings, "arch.encoder.hidden_size": 4}, **grid)
    assert main(["tune", "study=rates", "--out", "out"]) == 0
    assert "· ner</p>" in Path("out/index.html").read_text(encoding="utf-8")
    path = Path("conf/study/rates.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace("  task: tagger\n", ""), encoding="utf-8")
    assert "Which task?" in refused("tune", "study=rates")


def test_marks_of_an_experiment_are_left_out_with_another_corpus(
    ner: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    plain = {"name": "conllu", "probe": None, "contrast": None}
    for words in ([], ["~data.reader.probe"], ["judged_by=null"]):
        found = shown("experiment=tagging", "data=ner", *words)
        assert (found["experiment"], found["data"]["reader"], found["judged_by"]) == ("tagging", plain, None)
    assert shown("experiment=grammar", "data=ner")["data"]["reader"] == plain
    for words in ["data.reader.probe=Mine"], ["data.reader={name: conllu, probe: Mine}"]:
        assert shown("experiment=tagging", "data=ner", *words)["data"]["reader"] == {**plain, "probe": "Mine"}
    assert shown("experiment=tagging", "data=grammar")["data"]["reader"]["probe"] == "Context"


def test_the_study_of_another_corpus_needs_no_removal(ner: Path, refused: Refused) -> None:
    assert "rate" in refused("tune", "study=tagging-rates", "data=ner", "training.optimizer.learning_rat=1")
    message = refused("tune", "study=tagging-rates", "data=ner", "task=regressor")
    assert "probe" not in message
    assert "task=regressor on data=ner" in message


def test_the_option_of_another_corpus_stays_with_its_reader(
    project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    Path("ner.tsv").write_text("dogs\tB-X\nbark\tO\n\n" * 20, encoding="utf-8")
    assert main(["data", "add", "ner.tsv", "--name", "ner"]) == 0
    path = Path("conf/data/ner.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["reader"] = {"name": "columns", "scheme": "bio"}
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    found = shown("experiment=tagging", "data=ner")["data"]["reader"]
    assert (found["name"], found["scheme"]) == ("columns", "bio")
    assert shown("experiment=tagging", "data=ner", "data.reader={name: columns}")["data"]["reader"]["scheme"] is None


def test_a_setting_of_an_experiment_that_another_builds_on_is_named_with_its_file(
    project: Path, refused: Refused
) -> None:
    path = Path("conf/experiment/adding.yaml")
    text = path.read_text(encoding="utf-8").replace("clip_norm: 0.1", "clip_norm: 0.1, clip_value: 0.1")
    path.write_text(text, encoding="utf-8")
    line = next(number for number, text in enumerate(text.splitlines(), 1) if "clip_value" in text)
    assert f"{path}, line {line}" in refused("config", "experiment=adding-long", "arch=lstm")
