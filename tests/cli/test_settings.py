"""Settings on the command line: what may be written, and one sentence in our own words for what may not."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from unroll.cli import main

Refused = Callable[..., str]
HYDRA = re.compile("[Cc]ould not|No match|defaults list|merging|multirun|viable|extraneous|Interpolation|append")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("~data.reader.prob", ["~data.reader.prob", "did you mean probe?", "data.reader.probe"]),
        ("~data.roles.labels", ["~data.roles.labels", "data.roles", "empty"]),
        (
            "~arch.encoder.cell_arguments.forgt_bias",
            ["~arch.encoder.cell_arguments.forgt_bias", "arch.encoder.cell_arguments"],
        ),
        ("~data", ["~data", "data=NAME"]),
        ("~training", ["~training", "training=NAME"]),
        ("~arch", ["~arch", "arch=NAME"]),
        ("~arch=lstm", ["~arch=lstm", "write ~arch"]),
        ("~seed", ["~seed", "seed=…"]),
        ("~training.tokens", ["~training.tokens", "training.tokens=…"]),
        ("~training.tokns", ["training.tokns", "did you mean training.tokens?"]),
        ("~training.optimizer", ["~training.optimizer", "training.optimizer=…"]),
        ("~arch.encoder", ["~arch.encoder", "arch.encoder=…"]),
        ("~data.reader", ["~data.reader", "data.reader={name: …}"]),
        ("~data.reader.probe=Context", ["~data.reader.probe=Context", "write ~data.reader.probe without a value"]),
        ("~", ["'~'", "key=value"]),
        ("+x=1", ["'x'"]),
        ("++x=1", ["'x'"]),
        ("+trainin.tokens=1", ["did you mean training.tokens?"]),
        ("+=x", ["'+=x'", "key=value"]),
        ("=x", ["'=x'", "key=value"]),
        ("a.b.c=", ["'a.b.c'"]),
        ("training.tokens=", ["training.tokens=", "a whole number"]),
        ("training.tokens=[1,2", ["training.tokens=[1,2", "close it"]),
        ("training.tokens=1,2", ["training.tokens=1,2", "give one", "unroll tune"]),
        ("seed=choice(1,2)", ["seed=choice(1,2)", "give one"]),
        ("training=fast", ["training", "'fast'", "choose one of default"]),
        ("training={tokens: 5}", ["training={tokens: 5}", "training.tokens=…"]),
        ("training.optimizer=adam", ["training.optimizer=adam", "{key: value}", "training.optimizer.name=…"]),
        ("training.optimizer=[adamw]", ["training.optimizer=[adamw]", "{key: value}", "training.optimizer.name=…"]),
        ("arch.encoder=5", ["arch.encoder=5:", "{key: value}", "arch.encoder."]),
        ("data.roles=tokens", ["data.roles=tokens", "{key: value}"]),
        ("data.reader=conllu", ["data.reader=conllu", "{name: conllu}"]),
        ("data.reader=[conllu]", ["data.reader=", "{name: conllu}"]),
        ("data.reader=[]", ["data.reader=[]", "{name: …}"]),
        ("seed=${x}", ["seed", "write the value itself"]),
        ("task.tied=true", ["'tied'", "task.name=tagger"]),
        ("arch.encoder.order=3", ["arch.encoder.name=recurrent has no option 'order'", "it has cell, "]),
    ],
)
def test_a_bad_word_is_refused_in_our_own_words(word: str, told: list[str], project: Path, refused: Refused) -> None:
    message = refused("config", "experiment=tagging", word)
    assert [part for part in told if part not in message] == []
    assert not HYDRA.search(message), message


@pytest.mark.parametrize(
    "word",
    ["data.roles={inputs: tokens}", "data.roles={inputs:tokens}", "data.roles.inputs=tokens",
     "++data.roles.inputs=tokens"],
)  # fmt: skip
def test_roles_may_be_given_in_every_form_that_messages_recommend(
    word: str, project: Path, shown: Callable[..., dict[str, Any]], refused: Refused
) -> None:
    assert "data.roles=tokens: expected {key: value}" in refused("config", "experiment=tagging", "data.roles=tokens")
    assert shown("experiment=tagging", word)["data"]["roles"] == {"inputs": "tokens"}


@pytest.mark.parametrize(
    ("words", "place", "expected"),
    [
        (["arch.encoder={hidden_size: 5}"], ["arch", "encoder", "hidden_size"], 5),
        (["training.optimizer={learning_rate: 0.5}"], ["training", "optimizer", "learning_rate"], 0.5),
        (["arch.encoder.cell_arguments={forget_bias: 2.0}"], ["arch", "encoder", "cell_arguments", "forget_bias"], 2.0),
        (["arch.output={name: crf}"], ["arch", "output"], {"name": "crf"}),
        (["+training.tokens=5"], ["training", "tokens"], 5),
        (["++training.tokens=5"], ["training", "tokens"], 5),
        (["data.reader={name: columns}", "data.reader.label_column=2", "judged_by=null"],
         ["data", "reader", "label_column"], 2),
        (["~data.reader.probe", "judged_by=null"], ["data", "reader", "probe"], None),
        (["data.reader.probe=A", "~data.reader.probe", "data.reader.probe=B", "judged_by=null"],
         ["data", "reader", "probe"], "B"),
        (["~data.roles"], ["data", "roles"], {}),
        (["data.title='a, b'"], ["data", "title"], "a, b"),
    ],
)  # fmt: skip
def test_a_word_sets_what_it_says(
    words: list[str], place: list[str], expected: Any, project: Path, shown: Callable[..., dict[str, Any]]
) -> None:
    found: Any = shown("experiment=tagging", *words)
    for name in place:
        found = found[name]
    assert found == expected


def test_settings_are_taken_away_on_both_sides_of_an_option(project: Path, refused: Refused) -> None:
    words = ["train", "--out", "a", "experiment=tagging", "~data.reader.probe", "arch=lstmm", "--prepared", "b"]
    assert "lstmm" in refused(*words)
    assert "lstmm" in refused("train", "experiment=tagging", "--out", "a", "~data.reader.probe", "arch=lstmm")


@pytest.mark.parametrize("option", ["prob=Context", "prob=null"])
def test_a_mistake_of_ones_own_is_corrected_and_not_taken_away(option: str, project: Path, refused: Refused) -> None:
    message = refused("config", "experiment=tagging", f"data.reader.{option}")
    assert "did you mean probe?" in message
    assert "~" not in message
    message = refused("config", "experiment=tagging", "data.reader={name: conllu, prob: x}")
    assert "did you mean probe?" in message
    assert "~" not in message


def test_what_the_experiment_sets_can_be_taken_away_as_the_message_says(project: Path, refused: Refused) -> None:
    words = ["experiment=tagging", "data.reader.name=columns", "judged_by=null"]
    message = refused("config", *words)
    (advice,) = re.findall(r"remove it with (~[\w.]*\w)", message)
    assert "conf/experiment/tagging.yaml, line " in message
    assert main(["config", *words, advice]) == 0


@pytest.mark.parametrize(
    ("words", "is_named"),
    [
        (["training.tokens=abc"], False),
        (["data.reader.prob=x"], False),
        (["arch.encoder.dropout=2"], False),
        (["seed=${x}"], False),
        (["training.optimizer.momentum=0.5"], False),
        (["training.clip_value=1.0"], True),  # beside which the architecture has a clip_norm of its own
    ],
)
def test_settings_of_the_architecture_are_named_where_they_are_at_fault(
    words: list[str], is_named: bool, project: Path, refused: Refused
) -> None:
    path = Path("conf/experiment/adding.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["archs"] = {"irnn": {"training": {"clip_norm": 0.5}}}
    path.write_text(f"# @package _global_\n{yaml.safe_dump(content, sort_keys=False)}", encoding="utf-8")
    message = refused("config", "experiment=adding", "arch=irnn", *words)
    lines = path.read_text(encoding="utf-8").splitlines()
    own = lines.index("      clip_norm: 0.5") + 1
    assert (f"{path}, line {own}" in message) == is_named
    assert is_named or str(path) not in message
    assert "experiment=adding arch=irnn" in message


@pytest.mark.parametrize("value", ["[conllu]", "conllu", "[{name: conllu}]"])
@pytest.mark.parametrize("file", ["data/grammar", "experiment/tagging"])
def test_a_file_with_a_value_in_place_of_a_section_is_named(
    file: str, value: str, project: Path, refused: Refused
) -> None:
    path = Path("conf", f"{file}.yaml")
    text = path.read_text(encoding="utf-8")
    if file == "data/grammar":
        lines = [f"reader: {value}" if line.startswith("reader:") else line for line in text.splitlines()]
    else:
        lines = [line for line in text.splitlines() if not line.startswith("data:")] + [f"data: {{reader: {value}}}"]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    message = refused("config", "experiment=tagging")
    line = next(number for number, text in enumerate(lines, start=1) if "reader: " in text)
    assert f"{path}, line {line}" in message
    assert "{name: " in message
    assert not HYDRA.search(message), message


@pytest.mark.parametrize(
    ("old", "former", "renamed"),
    [
        ("recurrent:\n  layers: 1\n  hidden_size: 128\n", "recurrent.layers", "arch.encoder.layers"),
        ("recurrent: {inputs: embedding}\n", "recurrent.inputs", "arch.inputs.name"),
        ("arch: lstm\nrecurrent: {embedding_size: 64}\n", "recurrent.embedding_size", "arch.inputs.size"),
    ],
)
def test_a_key_of_an_older_version_in_the_defaults_of_a_project_names_its_present_name(
    old: str, former: str, renamed: str, project: Path, refused: Refused
) -> None:
    path = Path("conf/config.yaml")
    text = path.read_text(encoding="utf-8")
    begin, end = text.index("\narch:\n") + 1, text.index("  output: {name: softmax}\n")
    path.write_text(text[:begin] + old + text[end:].partition("\n")[2], encoding="utf-8")
    for words in (["config", "experiment=tagging"], ["data", "list"], ["tune", "study=reach"]):
        message = refused(*words)
        assert f"The setting {former!r} was renamed to {renamed} ({path}, line " in message
        assert "restore" not in message


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (["experiment=tagging", "data=tinyshakespeare", "~data.reader.probe", "judged_by=null"],
         ["task=tagger on data=tinyshakespeare: the role labels needs a field of kind labels, and the corpus has",
          "choose task=cloze or task=language_model, or other data"]),
        (["experiment=tagging", "data=adding", "~data.reader.probe", "judged_by=null"],
         ["task=tagger on data=adding: the role inputs needs a field of kind symbols", "choose task=regressor, or"]),
        (["experiment=tagging", "data.roles.labels=lables"],
         ["There is no field of task=tagger on data=grammar, for data.roles.labels, 'lables' (did you mean labels?)",
          "choose one of tokens, labels, document, probe"]),
        (["experiment=tagging", "data.roles.labels=tokens"],
         ["data.roles.labels=tokens is a field of kind symbols", "choose one with data.roles.labels=labels"]),
        (["experiment=tagging", "data.roles.label=labels"],
         ["There is no role of task=tagger on data=grammar", "'label' (did you mean labels?)", "inputs, labels"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_a_corpus_whose_fields_do_not_fill_the_roles_of_a_task_is_refused(
    verb: str, words: list[str], parts: list[str], project: Path, refused: Refused
) -> None:
    message = refused(verb, *words)
    assert [part for part in parts if part not in message] == []
    assert ". (" not in message
    assert not Path("outputs").exists()


def test_an_unknown_key_of_a_file_is_named_with_its_place(project: Path, refused: Refused) -> None:
    path = Path("conf/experiment/tagging.yaml")
    text = path.read_text(encoding="utf-8") + "tracking: {ury: x}\n"
    path.write_text(text, encoding="utf-8")
    message = refused("config", "experiment=tagging", "arch=gru")
    assert "'tracking.ury' (did you mean tracking.uri?)" in message
    assert f"{path}, line {len(text.splitlines())}" in message


@pytest.mark.parametrize("name", ["config.yaml", "experiment/tagging.yaml"])
@pytest.mark.parametrize(
    "entry", ["- null", "- {}", "- '': x", "- {data: true}", "- {data: x, arch: y}", "- [arch]", "- 5"]
)
def test_an_entry_of_the_defaults_that_hydra_cannot_read_is_named_with_its_file(
    entry: str, name: str, project: Path, refused: Refused
) -> None:
    path = Path("conf") / name
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("defaults:\n", f"defaults:\n  {entry}\n"), encoding="utf-8")
    message = refused("config", "experiment=tagging")
    assert f"{path}, line " in message
    assert "one of the defaults" in message


@pytest.mark.parametrize("value", ["null", "true", "x", "{a: b}"])
def test_defaults_that_are_not_a_list_are_refused(value: str, project: Path, refused: Refused) -> None:
    path = Path("conf/experiment/tagging.yaml")
    text = re.sub(r"defaults:\n( +-.*\n)+", f"defaults: {value}\n", path.read_text(encoding="utf-8"))
    path.write_text(text, encoding="utf-8")
    assert f"{path}, line 3: defaults must be a list" in refused("config", "experiment=tagging")


@pytest.mark.parametrize("section", ["arch", "data", "task", "training", "tracking"])
@pytest.mark.parametrize("value", ["lstm", "[1]", "null", "3"])
def test_a_section_of_an_experiment_that_has_no_keys_is_named_with_its_file(
    value: str, section: str, project: Path, refused: Refused
) -> None:
    path = Path("conf/experiment/tagging.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content[section] = yaml.safe_load(value)
    path.write_text(f"# @package _global_\n{yaml.safe_dump(content, sort_keys=False)}", encoding="utf-8")
    message = refused("config", "experiment=tagging")
    assert section in message
    assert "conf" in message


@pytest.mark.parametrize("key", ["experiments", "archs"])
@pytest.mark.parametrize("name", ["2003", "null", "1.5", "true"])
def test_a_name_in_a_course_that_is_not_text_is_refused(key: str, name: str, project: Path, refused: Refused) -> None:
    path = Path("conf/course.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["cells"][key] = [yaml.safe_load(name)]
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    assert refused("course")
