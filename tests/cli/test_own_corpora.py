"""Corpora of one's own, from the files to the figures: what cannot be understood is refused with file, line, remedy."""

from __future__ import annotations

import gzip
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from unroll import config, preparation
from unroll.cli import main

Refused = Callable[..., str]

WORDS = (("the", "DET"), ("dog", "NOUN"), ("barks", "VERB"), (".", "PUNCT"))
SMALL = ["experiment=tagging", "arch=lstm", "judged_by=null", "tracking=none", "training.tokens=400",
         "training.batch_size=4", "training.validations=1", "arch.encoder.hidden_size=4", "arch.inputs.size=4",
         "~data.reader.probe", "data=own"]  # fmt: skip


def conllu(sentences: int, tag: str | None = None) -> str:
    """Sentences in CoNLL-U, all with one tag if it is given."""
    rows = [f"{n}\t{form}\t_\t{tag or own}\t_\t_\t_\t_\t_\t_\n" for n, (form, own) in enumerate(WORDS, start=1)]
    return ("".join(rows) + "\n") * sentences


def table(sentences: int, *columns: str, separator: str = "\t", between: str = "\n") -> str:
    """Sentences of four different words each; a column is a format of the number, the word and its tag."""
    rows = [separator.join(columns).format(n=n, word=f"{form}{s}" if form == "dog" else form, tag=tag) + "\n"
            for s in range(sentences) for n, (form, tag) in enumerate(WORDS, start=1)]  # fmt: skip
    return "".join("".join(rows[at : at + 4]) + between for at in range(0, len(rows), 4))


def written(name: str, **contents: str | bytes) -> str:
    """A folder with a file of each split, whose names end alike."""
    for split, content in contents.items():
        path = Path("own", f"{split}{name}")
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return "own"


PLAIN = ("{word}", "{tag}")
X = ("{n}", "{word}", "{word}", "{tag}", "{tag}", "_", "0", "dep", "_", "_")  # CoNLL-X
BIO = ("{word}", "B-{tag}")
TSV = dict.fromkeys(("train", "dev", "test"), table(30, *PLAIN))
CONLLU = {"train": conllu(30), "dev": conllu(5), "test": conllu(5)}
UNIT = "1\t0.5,1 0.25,0\n"

# what is added → (how the names of its files end, contents, settings, what is said beside the file)
REFUSED: dict[str, tuple[str, dict[str, str | bytes], list[str], list[str]]] = {
    "sentences without an empty line between them": (
        ".conllu", CONLLU | {"train": conllu(1) + conllu(1).strip() + "\n" + conllu(2)}, [],
        ["train.conllu, line 10", "number 1", "insert an empty line"],
    ),
    "words that are withheld": (
        ".conllu", {split: text.replace("the", "_").replace("dog", "_").replace("barks", "_")
                    for split, text in CONLLU.items()}, [],
        ["train.conllu, line 1", "words of the train split are not given", "merge the texts"],
    ),
    "columns of withheld words": (
        ".tsv", dict.fromkeys(TSV, table(9, "_", "{tag}")), [], ["train.tsv, line 1", "are not given"],
    ),
    "an empty word": (
        ".conllu", CONLLU | {"test": conllu(2) + conllu(1).replace("barks", "")}, [], ["test.conllu, line 13", "FORM"],
    ),
    "an empty word in columns": (".tsv", TSV | {"dev": "a\tX\n\tX\n"}, [], ["dev.tsv, line 2", "word is empty"]),
    "a first line of another width": (
        ".tsv", TSV | {"train": "made\tby\tus\n" + TSV["train"]}, [], ["train.tsv, line 1", "most lines have 2"],
    ),
    "a line of another width in the middle": (
        ".tsv", TSV | {"train": TSV["train"] + "a\tb\tX\n"}, [], ["train.tsv, line 151", "3 columns"],
    ),
    "a number that single precision cannot hold": (
        ".series", dict.fromkeys(TSV, UNIT * 9 + "1\t1e39,0 0,0\n"), [], ["train.series, line 10", "3.4e+38"],
    ),
    "a pair without a target": (
        ".tsv", TSV | {"dev": "a\tb\nc\n"}, ["data.reader.name=pairs"],
        ["dev.tsv, line 2", "column 1 (target_column, counted from 0) is missing", "data.reader.target_column="],
    ),
    "a pair with an empty target": (
        ".tsv", TSV | {"test": "a\tb\nc\t \n"}, ["data.reader.name=pairs"], ["test.tsv, line 2", "target is empty"],
    ),
    "a word without a pronunciation": (
        ".dict", dict.fromkeys(TSV, "A  AH\nB\n"), [], ["train.dict, line 2", "'B' has no pronunciation"],
    ),
    "one vocabulary for two units": (
        ".tsv", TSV, ["data.reader.name=pairs", "data.reader.source_unit=characters", "data.shared_vocabulary=true"],
        ["data.shared_vocabulary needs several fields of one unit", "source and target (characters, words)"],
    ),
    "one vocabulary for one field": (
        ".tsv", TSV, ["data.shared_vocabulary=true"], ["needs several fields", "has tokens (words)"],
    ),
    "vectors for two fields": (
        ".tsv", TSV, ["data.reader.name=pairs", "data.vectors=v.txt"], ["single field of words", "source and target"],
    ),
    "a field by which nothing can be held out": (
        ".tsv", TSV, ["data.reader.name=pairs", "data.held_out=targets"], ["data.held_out=targets", "source|target"],
    ),
    "an empty split": (".tsv", TSV | {"dev": ""}, [], ["validation split is empty", "dev.tsv"]),
    "a packed file": (".txt", {"train": gzip.compress(b"a b\n"), "dev": "a b\n"}, [], ["train.txt", "gzip -dk"]),
    "a file of another encoding": (
        ".txt", {"train": "caf\u00e9\n".encode("latin-1"), "dev": "a b\n"}, [],
        ["train.txt, line 1", "iconv -f LATIN1"],
    ),
    "line ends that were converted twice": (
        ".tsv", TSV | {"dev": TSV["dev"].replace("\n", "\r\r\n")}, [], ["dev.tsv, line 1", "CR CR LF", "tr -d '\\r'"],
    ),
    "a date in place of a number": (
        ".series", dict.fromkeys(TSV, UNIT * 9 + "2003_01\t0.5,1\n"), [], ["train.series, line 10", "numbers"],
    ),
    "a step with a date": (".series", TSV | dict.fromkeys(TSV, UNIT + "1\t1_0,1\n"), [], ["train.series, line 2"]),
    "an empty line inside a sentence": (
        ".conllu", CONLLU | {"train": conllu(2).replace("\n2\t", "\n\n2\t", 1)}, [],
        ["train.conllu, line 3", "remove the empty line"],
    ),
    "one BIO label misspelt": (
        ".tsv", dict.fromkeys(TSV, table(60, *BIO, between="end\tO\n\n") + "a\tB_DET\n"), [],
        ["train.tsv, line 361", "'B_DET'", "B-TYPE"],
    ),
    "one label of a span without its type": (
        ".tsv", dict.fromkeys(TSV, "a O\nb B-X\nc I-X\n\n" * 90 + "a B\n"), [],
        ["train.tsv", "label of line 2 has a type, and that of line 361 has none", "in one way"],
    ),
    "a setting that does not exist": (".tsv", TSV, ["data.reader.colum=1"], ["data.reader", "'colum'"]),
    "a setting of another section": (".tsv", TSV, ["data.name=x"], ["--name"]),
}  # fmt: skip

DOUBTED: dict[str, tuple[str, dict[str, str | bytes], list[str], list[str]]] = {
    "sentences with one label each": (
        ".tsv", dict.fromkeys(TSV, "".join(f"a film of {n} minutes\t{n % 2}\n" for n in range(200))), [],
        ["contain blanks", "a film of", "one word per line"],
    ),
    "sentences with labels, and empty lines": (
        ".tsv", dict.fromkeys(TSV, "".join(f"a film of {n} minutes\t{n % 2}\n\n" for n in range(50))), [],
        ["contain blanks", "one word per line"],
    ),
    "pairs of words": (
        ".tsv", {split: "".join(f"{at}word{n}\t{at}Wort{n}\n" for n in range(99)) for at, split in enumerate(TSV)}, [],
        ["99 different labels for 99 different words", "data.reader.name=pairs", "data.reader.label_column"],
    ),
    "labels of spans that follow no scheme": (
        ".tsv", dict.fromkeys(TSV, table(30, "{word}", "B_{tag}", between="end\tO\n\n")), [],
        ["look like those of spans", "B_DET", "B-PER"],
    ),
    "labels of spans, many of which are misspelt": (
        ".tsv", dict.fromkeys(TSV, "a O\nb B-X\nc I-X\nd B-X\n\n" * 9 + "a IX\n\n" * 2), [], ["spans", "IX"],
    ),
    **{
        f"labels of spans that follow no scheme: {labels}": (
            ".tsv",
            dict.fromkeys(TSV, ("\n".join(f"w{n} {label}" for n, label in enumerate(labels.split())) + "\n\n") * 9),
            [], ["look like those of spans", said],
        )
        for labels, said in {
            "o b-x i-x": "o is", "0 B-X I-X": "0 is", "o b i": "such as B and I", "O PER-B PER-I": "PER-B",
            "O B- I-": "B- is", "O B-X E-X X-Y " + 9 * "S-X ": "X-Y is", "_ B-X I-X": "data.reader.scheme=bio",
            "b m e s": "such as B and I",
        }.items()
    },
    "numbers of words as labels": (
        ".tsv", dict.fromkeys(TSV, table(30, *PLAIN, "{n}")), [], ["labels of train are 1, 2, 3", "label_column"],
    ),
    "numbers of words between signs": (
        ".tsv", dict.fromkeys(TSV, table(30, "7-{n}.", *PLAIN)), [], ["column 0 numbers the words", "token_column=1"],
    ),
    "words in quotation marks": (
        ".tsv", dict.fromkeys(TSV, table(30, '"{word}"', '"{tag}"')), [], ["stand in quotation marks"],
    ),
    "an empty line after each word": (
        ".tsv", dict.fromkeys(TSV, table(30, *PLAIN).replace("\n", "\n\n")), [], ["one word", "remove them"],
    ),
    "a header of other words in train and dev only": (
        ".tsv", TSV | {split: f"Wort\tWortart\n{TSV[split]}" for split in ("train", "dev")}, [],
        ["train.tsv, line 1", "'Wortart'", "dev.tsv, line 1", "remove it"],
    ),
    "a header in the middle of joined files": (
        ".tsv", TSV | {"test": 2 * f"Word\tTag\n{TSV['test']}"}, [], ["test.tsv, line 1", "remove it"],
    ),
    "JSON in a text": (
        ".txt", dict.fromkeys(TSV, '{"text": "a b", "label": "c"}\n' * 9), [], ["train.txt look like JSON", "per line"],
    ),
    "XML in a text": (".txt", dict.fromkeys(TSV, "<s>a b</s>\n" * 9), [], ["train.txt look like XML", "per line"]),
    "labels before sentences of a text": (
        ".txt", dict.fromkeys(TSV, "__label__good a film\n" * 9), [], ["begin with a label", "remove the labels"],
    ),
    "tags behind the words of a text": (
        ".txt", dict.fromkeys(TSV, "the/DT dog/NN barks/VBZ ./.\n" * 9), [], ['"the/DT"', "a tab and its tag"],
    ),
    "numbers of words in the first column": (
        ".conll", dict.fromkeys(TSV, table(30, *X)), [],
        ["column 0 numbers the words", "data.reader.token_column=1 data.reader.label_column=3"],
    ),
    "numbers of words from 0": (
        ".conll", dict.fromkeys(TSV, "0 a X\n1 b Y\n2 a Z\n\n" * 30), [],
        ["column 0 numbers the words", "data.reader.token_column=1 data.reader.label_column=2"],
    ),
    "numbers only": (
        ".txt", dict.fromkeys(TSV, "".join(f"{n}.5 {n},25 1e{n}\n" for n in range(50))), [], ["numbers", ".series"],
    ),
    "vectors in place of a text": (
        ".txt", dict.fromkeys(TSV, "".join(f"w{n}{12 * ' 0.5'}\n" for n in range(50))), [], ["data.vectors"],
    ),
    "one label only": (
        ".tsv", dict.fromkeys(TSV, table(30, "{word}", "X")), [], ['every label of train is "X"', "label_column"],
    ),
    "one word only": (".tsv", dict.fromkeys(TSV, table(30, "x", "{tag}")), [], ['every word of train is "x"']),
    "labels that are withheld everywhere": (
        ".conllu", {split: conllu(9, "_") for split in TSV}, [],
        ["train.conllu, line 1", "not given", "language models"],
    ),
    "columns of labels that are withheld everywhere": (
        ".tsv", dict.fromkeys(TSV, table(9, "{word}", "_")), [], ["train.tsv, line 1", "not given"],
    ),
    "an empty label beside the label _": (
        ".tsv", TSV | {"train": TSV["train"].replace("PUNCT", "_") + "dog\t\n"}, [],
        ["train.tsv, line 151", "not given"],
    ),
    "a label that is withheld from validation": (
        ".conllu", CONLLU | {"dev": conllu(2) + conllu(1, "_")}, [], ["dev.conllu, line 11", "not given"],
    ),
    "labels of validation that train has not": (
        ".tsv", TSV | {"dev": table(9, "{word}", "new{tag}")}, [], ["100% of validation (own/dev.tsv)", "same labels"],
    ),
    "another language": (
        ".tsv", TSV | {"dev": table(9, "x{word}", "{tag}")}, [], ["100% of validation (own/dev.tsv)", "one language"],
    ),
    "a test split that stands in train": (
        ".txt", {"train": "".join(f"{8 * 'w '}{n}\n" for n in range(90)), "dev": "w x y z\n" * 9,
                 "test": "".join(f"{8 * 'w '}{n}\n" for n in range(30, 99))}, [],
        ["87% of test (own/test.txt)", "remove them from train"],
    ),
    "no empty line": (
        ".tsv", dict.fromkeys(TSV, table(30, *PLAIN, between="")), [], ["120 words in train", "empty line"],
    ),
    "columns in a text": (
        ".txt", dict.fromkeys(TSV, table(30, *PLAIN, separator=" ")), [], ["2 words", "data.reader.name=columns"],
    ),
    "columns with tabs in a text": (".txt", dict.fromkeys(TSV, TSV["train"]), [], ["tabs", "data.reader.name=columns"]),
    "numbers of words, and no labels": (
        ".conll", dict.fromkeys(TSV, table(30, "{n}", "{word}")), [], ["column 0 numbers", "add a column of labels"],
    ),
    "a header in train only": (
        ".tsv", TSV | {"train": "Word\tTag\n" + TSV["train"]}, [],
        ["train.tsv, line 1", "names the columns", "remove it"],
    ),
    "a test split with a column less": (
        ".tsv", dict.fromkeys(TSV, table(30, "{word}", "x", "{tag}")) | {"test": table(30, "{word}", "x")}, [],
        ["test.tsv has 2 columns", "same columns"],
    ),
    "a test split whose labels are withheld by another mark": (
        ".tsv", TSV | {"test": table(30, "{word}", "NOUN")}, [],
        ['every label of test (own/test.tsv) is "NOUN"', "by _"],
    ),
    "words that all differ": (
        ".tsv", dict.fromkeys(TSV, "".join(f"{n}th\tL{n % 5}\n\n" for n in range(99))), [], ["occurs only once"],
    ),
    "a remark that looks like a word": (
        ".tsv", TSV | {"train": "# remark\n" + table(30, *PLAIN, separator=" ")}, [],
        ["train.tsv, line 1", "'# name = value'"],
    ),
}  # fmt: skip

UNDERSTOOD: dict[str, tuple[str, dict[str, str | bytes], list[str], list[str]]] = {
    "lone carriage returns": (
        ".tsv", {split: text.replace("\n", "\r") for split, text in TSV.items()}, [],
        ["train.tsv, 30 records", "DET 30"],
    ),
    "files that were joined with their byte-order marks": (
        ".tsv", {split: 2 * f"\ufeff{text}" for split, text in TSV.items()}, [],
        ["train.tsv, 60 records", '["the", "dog0"'],
    ),
    "BIO labels": (
        ".tsv", dict.fromkeys(TSV, table(30, *BIO, between="end\tO\n\n")), [], ['scheme="bio"', "B-DET 30"],
    ),
    "IOB1 labels": (
        ".tsv", dict.fromkeys(TSV, "a O\nb I-X\nc I-X\n\n" * 9), [],
        ['scheme="bio"', "B-X 9", "I-X 9", "read as BIO: 27 labels", "I-X as B-X at own/train.tsv, line 2"],
    ),
    "damaged BIOES labels": (
        ".tsv", dict.fromkeys(TSV, "a O\nb B-X\nc I-X\n\n" + "a O\nb B-X\nc E-X\n\n" * 9), [],
        ['scheme="bioes"', "E-X 10", "read as BIOES: 3 labels", "I-X as E-X at own/train.tsv, line 3"],
    ),
    "BIOES labels": (".tsv", dict.fromkeys(TSV, "a O\nb B-X\nc E-X\nd S-X\n\n" * 9), [], ['scheme="bioes"', "S-X 9"]),
    "BILOU labels": (".tsv", dict.fromkeys(TSV, "a O\nb B-X\nc L-X\nd U-X\n\n" * 9), [], ['scheme="bilou"', "U-X 9"]),
    "BMES labels": (".tsv", dict.fromkeys(TSV, "a O\nb B-X\nc M-X\nd E-X\n\n" * 9), [], ['scheme="bmes"', "M-X 9"]),
    "labels of word segmentation": (
        ".tsv", dict.fromkeys(TSV, "a B\nb M\nc E\nd S\n\n" * 9), [],
        ['scheme="bmes"', "B 9, M 9, E 9, S 9", '["B", "M", "E", "S"]'],
    ),
    "labels of segmentation, without an end": (
        ".tsv", dict.fromkeys(TSV, "a B\nb I\nc B\n\n" * 9), [], ['scheme="bio"', "B 18, I 9"],
    ),
    "labels of spans without types": (
        ".tsv", dict.fromkeys(TSV, "a O\nb B\nc I\n\n" * 9), [], ['scheme="bio"', "O 9, B 9, I 9"],
    ),
    "BIO labels, of which none are asked for": (
        ".tsv", dict.fromkeys(TSV, "a O\nb I-X\nc I-X\n\n" * 9), ["data.reader.scheme=null"], ["I-X 18"],
    ),
    "a header": (
        ".tsv", {split: "word\ttag\n" + text for split, text in TSV.items()}, [],
        ['header=["word", "tag"]', "30 records"],
    ),
    "no header, although all files begin with one line": (
        ".tsv", dict.fromkeys(TSV, "EU B-ORG\nis O\n\nAl B-PER\nis O\n\n" + "Al B-PER\nis O\n\n" * 9), [],
        ["columns (scheme", "11 records", "B-ORG 1"],
    ),
    "a header of many columns": (
        ".tsv", dict.fromkeys(TSV, "ID\tFORM\tUPOS\n" + table(30, "s{n}", *PLAIN)), ["data.reader.token_column=1"],
        ['header=["ID", "FORM", "UPOS"]', "30 records", "DET 30"],
    ),
    "numbers in the first column, with the settings": (
        ".conll", dict.fromkeys(TSV, table(30, *X)), ["data.reader.token_column=1", "data.reader.label_column=3"],
        ["token_column=1", "DET 30", '["the", "dog0", "barks", "."]'],
    ),
    "no-break spaces in words": (
        ".conll", dict.fromkeys(TSV, "10\u00a0000 CD\nmen NNS\n\u00a0\n" * 9), [], ["9 records", "\\u00a0000"],
    ),
    "no test split": (".txt", {"train": "a b\n" * 9, "dev": "a b\n" * 9}, [], ["test        there is none"]),
    "a text without labels": (".txt", {"train": "a b c\n" * 9, "dev": "a d\n" * 9}, [], ["unknown words 50.0%"]),
    "words with blanks": (".tsv", dict.fromkeys(TSV, TSV["train"] + "New York\tX\n"), [], ["31 records"]),
    "_ as one of the labels": (
        ".tsv", dict.fromkeys(TSV, TSV["train"].replace("PUNCT", "_")), [], ["DET 30, NOUN 30, VERB 30, _ 30"],
    ),
    "another column": (
        ".tsv", dict.fromkeys(TSV, table(9, "{tag}", "{n}", "{word}")),
        ["data.reader={name: columns, token_column: 2, label_column: 0}"], ["DET 9"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_read_is_refused_when_it_is_added(what: str, project: Path, refused: Refused) -> None:
    name, contents, settings, said = REFUSED[what]
    message = refused("data", "add", written(name, **contents), *settings)
    assert all(part in message for part in said), message
    assert not Path("data/own").exists()
    assert not Path("conf/data/own.yaml").exists()


@pytest.mark.parametrize("what", DOUBTED)
def test_what_is_implausible_is_added_only_with_force(
    what: str, project: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    name, contents, settings, said = DOUBTED[what]
    folder = written(name, **contents)
    assert main(["data", "add", folder, *settings]) == 2
    printed = capsys.readouterr()
    doubts = [line for line in printed.out.splitlines() if line.startswith("doubtful: ")]
    assert all(any(part in doubt for doubt in doubts) for part in said), printed.out
    last = printed.err.splitlines()[-1]
    assert last.endswith("or add it as it is with --force.")
    assert "contain blanks" in last or not any("contain blanks" in doubt for doubt in doubts)
    assert not Path("data/own").exists()
    assert not Path("conf/data/own.yaml").exists()
    assert main(["data", "add", "--force", folder, *settings]) == 0
    assert doubts == [line for line in capsys.readouterr().out.splitlines() if line.startswith("doubtful: ")]
    assert Path("conf/data/own.yaml").exists()


@pytest.mark.parametrize("what", UNDERSTOOD)
def test_what_is_understood_is_shown_and_prepared(what: str, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, contents, settings, said = UNDERSTOOD[what]
    assert main(["data", "add", written(name, **contents), *settings]) == 0
    printed = capsys.readouterr()
    assert all(part in printed.out for part in said), printed.out
    assert "doubtful" not in printed.out
    assert printed.err == "" or "data.reader.scheme=null" in settings
    own = config.complete_data(config.read(Path("conf/data/own.yaml")), "own.yaml")
    assert (preparation.prepared(own, Path("prepared")) / "fit" / "train").is_dir()


def test_a_message_about_a_word_of_any_length_can_be_read(project: Path, refused: Refused) -> None:
    content = CONLLU["train"].replace("2\t", f"{5000 * '9'}\t", 1)
    message = refused("data", "add", written(".conllu", train=content, dev=content))
    assert len(message) < 1000
    assert "train.conllu, line 2" in message
    assert "first column" in message


def test_the_first_two_records_and_all_labels_are_shown_field_by_field(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"w{n % 99}\tL{n % 30:02}\n\n" for n in range(300)).replace("\n\nw2\tL29", "\nw2\tL29")
    assert main(["data", "add", written(".tsv", train="esc\x1b[2J\u2028x\tL00\n\n" + rows, dev=rows)]) == 0
    printed = capsys.readouterr().out
    assert 'the record at own/train.tsv, line 1:\n  tokens      ["esc\\u001b[2J\\u2028x"]\n' in printed
    assert 'the record at own/train.tsv, line 3:\n  tokens      ["w0"]\n  labels      ["L00"]\n' in printed
    assert "labels of train: L00 11, L01 10, " in printed
    assert ", and 10 more\n" in printed


@pytest.mark.parametrize(("names", "settings", "said"), [
    (["latest_train.txt", "dev.txt"], [], ["latest_train.txt", "dev.txt", "there is none"]),
    (["TRAIN.txt", "Valid.txt", "myTest.txt"], [], ["TRAIN.txt", "Valid.txt", "myTest.txt"]),
    (["x-trn.txt", "x-devel.txt", "x-tst.txt"], [], ["x-trn.txt", "x-devel.txt", "x-tst.txt"]),
    (["contest.txt", "train.txt", "val.txt"], [], ["there is none", "left aside: contest.txt"]),
    (["train.txt", "dev.txt", "dev-test.txt"], [], ["there is none", "left aside: dev-test.txt"]),
    (["wnut17train.tsv", "a.dev.tsv", "a.test.annotated"], [], ["a.test.annotated"]),
    (["train.tsv", "dev.tsv", "test.log"], [], ["there is none", "left aside: test.log"]),
    (["train.txt", "dev.txt", "test.annotated"], [], ["there is none", "left aside: test.annotated"]),
    (["eng.train", "eng.testa", "eng.testb"], ["data.reader.name=text"], ["eng.train", "eng.testa", "eng.testb"]),
    (["train.txt", "validate.txt"], [], ["validate.txt", "there is none"]),
    (["train/a.txt", "dev/a.txt", "test/b.txt", "README.md"], [], ["left aside: README.md"]),
    (["Train/a.txt", "Train/LICENSE.md", "validation/b.txt"], [], ["there is none"]),
    (["train.txt", "a.txt"], ["data.validation=own/a.txt"], ["a.txt"]),
    (["a.txt", "b.txt", "c.txt"], ["data.train=own/a.txt", "data.validation=own/b.txt"], ["left aside: c.txt"]),
    (["train.txt", "dev.txt", "README.md", "stats.xml"], [], ["left aside: README.md, stats.xml"]),
])  # fmt: skip
def test_splits_are_found_by_whole_words_of_names_and_each_file_serves_one(
    names: list[str], settings: list[str], said: list[str], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in names:
        Path("own", name).parent.mkdir(parents=True, exist_ok=True)
        Path("own", name).write_text("a b\n\nc d\n" * 9, encoding="utf-8")
    assert main(["data", "add", "own", *settings]) == 0
    printed = capsys.readouterr().out
    assert all(part in printed for part in said), printed
    content = yaml.safe_load(Path("conf/data/own.yaml").read_text(encoding="utf-8"))
    files = [content[split] for split in ("train", "validation", "test") if split in content]
    assert len(set(files)) == len(files) == 3 - ("there is none" in printed)
    assert all(Path(file).is_file() for file in files)


@pytest.mark.parametrize(("names", "settings", "said"), [
    (["train.txt", "dev.txt", "val.txt"], [], ["2 files for validation (dev.txt, val.txt)", "data.validation="]),
    (["train.txt", "test.txt"], [], ["no file for validation", "unroll data add own/train.txt"]),
    (["dev.txt", "test.txt"], [], ["no file for train"]),
    (["train-dev.txt", "dev.txt"], [], ["no file for train"]),
    (["train.csv", "dev.csv"], [], ["neither commas nor JSON", "< own/train.csv > own/train.tsv", "> own/dev.tsv"]),
    (["a.tsv", "b.tsv"], [], ["data.train=FILE data.validation=FILE data.test=FILE"]),
    (["train.tsv", "mydev.tsv"], [], ["no file for validation", "data.validation=FILE"]),
    (["train.de", "train.en", "dev.de"], ["data.reader.name=text"], ["train.de"]),
    (["train.tsv", "dev.tsv", "train.conllu", "dev.conllu"], [], ["train.tsv", "train.conllu", "data.reader.name="]),
])  # fmt: skip
def test_splits_that_are_not_clear_are_refused_by_name(
    names: list[str], settings: list[str], said: list[str], project: Path, refused: Refused
) -> None:
    if "train.de" in names:
        names = [*names, "dev.en"]
    Path("own").mkdir()
    for name in names:
        Path("own", name).write_text("a b\n" * 9, encoding="utf-8")
    message = refused("data", "add", "own", *settings)
    assert all(part in message for part in said), message


def test_the_header_of_a_single_file_is_known_by_its_names(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for head, count in (("Token\tPOS\n", 50), ("Ann\tNNP\n", 51)):
        Path("own.tsv").write_text(head + "\n" + "a\tX\nb\tY\n\n" * 50, encoding="utf-8")
        assert main(["data", "add", "own.tsv", "--name", f"own{count}"]) == 0
        assert ("header=" in capsys.readouterr().out) == (count == 50)


def test_a_treebank_is_added_as_it_is_cloned(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for split, text in CONLLU.items():
        written(f"-ud-{split}.conllu", en=text)
        Path("own", f"en-ud-{split}.txt").write_text("the dog barks .\n", encoding="utf-8")
    for name in ("LICENSE.txt", "README.md", "eval.log", "stats.xml", ".gitignore"):
        Path("own", name).write_text("x", encoding="utf-8")
    assert main(["data", "add", "own"]) == 0
    printed = capsys.readouterr().out
    texts = ", ".join(f"en-ud-{split}.txt" for split in ("dev", "test", "train"))
    assert "en-ud-train.conllu, 30 records" in printed
    assert f"left aside: LICENSE.txt, README.md, {texts}, eval.log, stats.xml" in printed
    assert sorted(path.name for path in Path("data/own").iterdir()) == [
        "en-ud-dev.conllu", "en-ud-test.conllu", "en-ud-train.conllu"]  # fmt: skip


def test_settings_are_stored_and_read_as_for_training(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("own.txt").write_text("a b c d\n" * 20, encoding="utf-8")
    settings = ["data.split.train=0.5", "data.split.validation=0.5", "data.min_count=2", "data.lowercase=true"]
    assert main(["data", "add", *settings[:2], "own.txt", "--name", "mine", *settings[2:]]) == 0
    assert "there is none" in capsys.readouterr().out
    content = yaml.safe_load(Path("conf/data/mine.yaml").read_text(encoding="utf-8"))
    assert content == {
        "name": "mine", "title": "Added from own.txt.", "reader": {"name": "text"}, "train": "data/mine/own.txt",
        "split": {"train": 0.5, "validation": 0.5}, "min_count": 2, "lowercase": True,
    }  # fmt: skip


@pytest.mark.parametrize(("name", "content", "said"), [
    ("a.conllu", conllu(1), ["a.conllu has 1 record", "divided into 3 splits"]),
    ("a.tsv", table(2, *PLAIN), ["a.tsv has 2 records", "divided into 3 splits", "data.validation="]),
    ("a.series", 2 * UNIT, ["a.series has 2 records", "divided into 3 splits"]),
    ("a.tsv", table(30, *PLAIN, between=""), ["120 words in train (a.tsv)", "empty line after each sentence"]),
    ("a.tsv", "".join(f"a film of {n} minutes\t{n % 2}\n" for n in range(99)), ["contain blanks", "a film of"]),
], ids=["CoNLL-U", "columns", "series", "no empty line", "sentences with labels"])  # fmt: skip
def test_a_single_file_that_cannot_be_divided_is_refused_with_the_strongest_reason(
    name: str, content: str, said: list[str], project: Path, refused: Refused
) -> None:
    Path(name).write_text(content, encoding="utf-8")
    message = refused("data", "add", name)
    assert all(part in message for part in said), message
    assert not Path("conf/data/a.yaml").exists()


def test_files_of_one_name_in_several_folders_are_kept_apart(project: Path) -> None:
    for split in ("train", "dev"):
        Path("own", split).mkdir(parents=True)
        Path("own", split, "seq.in").write_text(f"a {split}\n" * 9, encoding="utf-8")
    files = ["data.train=own/train/seq.in", "data.validation=own/dev/seq.in"]
    assert main(["data", "add", "own", "data.reader.name=text", *files]) == 0
    content = yaml.safe_load(Path("conf/data/own.yaml").read_text(encoding="utf-8"))
    assert [Path(content[split]).read_text(encoding="utf-8")[2:5] for split in ("train", "validation")] == [
        "tra",
        "dev",
    ]


def test_spans_are_named_in_a_corpus_written_by_hand(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written(".tsv", **dict.fromkeys(("train", "dev"), "a O\nb B-X\nc L-X\n\n" * 9))
    files = "train: own/train.tsv\nvalidation: own/dev.tsv\n"
    Path("conf/data/own.yaml").write_text(f"name: own\ntitle: x\nreader: {{name: columns}}\n{files}", encoding="utf-8")
    preparation.prepared(config.complete_data(config.read(Path("conf/data/own.yaml")), "own.yaml"))
    message = capsys.readouterr().err
    assert "own/train.tsv" in message
    assert "data.reader.scheme=bilou" in message


def test_a_corpus_written_by_hand_is_understood_in_the_same_way(project: Path, refused: Refused) -> None:
    written(".conllu", **CONLLU | {"dev": conllu(3).strip() + "\n" + conllu(1)})
    files = "".join(f"{split}: own/{name}.conllu\n" for split, name in
                    (("train", "train"), ("validation", "dev"), ("test", "test")))  # fmt: skip
    Path("conf/data/own.yaml").write_text(f"name: own\ntitle: x\nreader: {{name: conllu}}\n{files}", encoding="utf-8")
    for verb in (["prepare"], ["train", "--out", "run"]):
        message = refused(verb[0], *SMALL, *verb[1:])
        assert "own/dev.conllu, line 15" in message
        assert "insert an empty line" in message


def test_labels_that_are_withheld_from_the_test_split_give_no_figures(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = written(".conllu", train=conllu(20), dev=conllu(5), test=conllu(5, "_"))
    assert main(["data", "add", folder]) == 0
    added = capsys.readouterr()
    assert "no label of the test split (own/test.conllu) is given" in added.err
    assert main(["prepare", *SMALL]) == 0
    assert "no label of the test split (data/own/test.conllu) is given" in capsys.readouterr().err
    assert main(["train", *SMALL, "--out", "run"]) == 0
    capsys.readouterr()
    assert main(["evaluate", "run", "--out", "figures.json"]) == 0
    printed = capsys.readouterr()
    assert "no value of labels in the test split of data=own is given" in printed.err
    assert "nan" not in (printed.out + Path("figures.json").read_text(encoding="utf-8")).lower()
    (entry,) = json.loads(Path("figures.json").read_text(encoding="utf-8")).values()
    assert entry["split"] == "validation"
    assert entry["test"]["accuracy"] is not None
    assert main(["compare", "figures.json"]) == 0
    printed = capsys.readouterr()
    assert "validation accuracy" in printed.out
    assert "nan" not in printed.out.lower()


def test_labels_that_are_missing_here_and_there_are_left_out_of_the_figures_of_test_only(
    project: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    marked = conllu(1).replace("dog\t_\tNOUN\t_\t_\t_\t_\t_\t_", "dog\t_\tNOUN\t_\t_\t_\t_\t_\tMark=1")
    gap = marked.replace("\tNOUN\t", "\t_\t")
    written(".conllu", train=20 * marked, dev=5 * marked, test=5 * marked + gap)
    assert main(["data", "add", "own", "data.reader.probe=Mark"]) == 0
    assert main(["train", *[word for word in SMALL if not word.startswith("~")], "--out", "run"]) == 0
    assert main(["evaluate", "run", "--out", "figures.json"]) == 0
    (entry,) = json.loads(Path("figures.json").read_text(encoding="utf-8")).values()
    assert entry["items"]["accuracy"] == entry["items"]["loss"] == 23  # of 24
    assert entry["items"]["accuracy/1"] == 5  # of 6
    for split in ("train", "dev"):
        path = Path("data/own", f"{split}.conllu")
        path.write_text(conllu(20) + gap, encoding="utf-8")
        message = refused("train", *SMALL, "--out", "other")
        assert f"{path}, line 102" in message
        assert "give it" in message
        path.write_text(conllu(20), encoding="utf-8")
    assert main(["prepare", "experiment=grammar", "data=own", "~data.reader.probe", "~data.reader.contrast"]) == 0


SIDES = {"train.en": "a b\nc\n" * 9, "train.de": "x\ny z\n" * 9, "dev.en": "b a\n", "dev.de": "z\n"}
ALIGNED = ["data.reader.name=aligned", "data.reader.source=.en", "data.reader.target=.de"]


def laid_out(files: dict[str, str]) -> str:
    """A folder with files."""
    for name, content in files.items():
        path = Path("own", name)
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return "own"


@pytest.mark.parametrize(("files", "named"), [
    ({"train.de": "x\n"}, ["own/train.en has 18 lines and own/train.de has 1 lines", "not aligned"]),
    ({"dev.de": "\n"}, ["own/dev.de, line 1 is empty", "own/dev.en is not"]),
    ({"dev.en": "  \n"}, ["own/dev.en, line 1 is empty", "own/dev.de is not"]),
    ({"train.en": "caf\u00e9\n", "train.de": "x\n" * 2}, ["own/train.en has 1 lines"]),
], ids=["lines", "target", "source", "one line"])  # fmt: skip
def test_files_that_are_not_aligned_are_refused_with_both_numbers_or_the_line(
    files: dict[str, str], named: list[str], project: Path, refused: Refused
) -> None:
    message = refused("data", "add", laid_out(SIDES | files), *ALIGNED)
    assert all(part in message for part in named), message
    assert not Path("conf/data/own.yaml").exists()
    assert not Path("data/own").exists()


@pytest.mark.parametrize("between", [".", "-"])
def test_a_folder_of_two_files_for_each_split_is_added_as_its_message_says(
    between: str, project: Path, refused: Refused, capsys: pytest.CaptureFixture[str]
) -> None:
    ending = "" if between == "." else ".txt"
    files = {f"{name.replace('.', between)}{ending}": content for name, content in SIDES.items()}
    message = refused("data", "add", laid_out(files))
    words = message.partition("end: ")[2].rstrip(".").split()
    assert words == [ALIGNED[0], f"data.reader.source={between}de{ending}", f"data.reader.target={between}en{ending}"]
    assert main(["data", "add", "own", *words]) == 0
    out = capsys.readouterr().out
    assert "left aside" not in out
    assert "train       " in out
    assert {file.name for file in Path("data/own").iterdir()} == set(files)
    content = yaml.safe_load(Path("conf/data/own.yaml").read_text(encoding="utf-8"))
    assert content["train"] == f"data/own/train{between}de{ending}"
    assert content["sentence_end"] is True


def test_the_prepared_data_depend_on_both_files_of_a_split(project: Path) -> None:
    assert main(["data", "add", laid_out(SIDES), *ALIGNED]) == 0
    data = config.corpora()["own"]
    before = preparation.prepared(data)
    assert preparation.prepared(data) == before
    Path("data/own/train.de").write_text("y\n" * 18, encoding="utf-8")
    assert preparation.prepared(data) != before


def test_pairs_in_a_table_are_added_with_the_reader_that_is_named(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{at}word{n}\t{at}Wort{n}\n" for at in range(3) for n in range(99)]
    laid_out({f"{split}.tsv": "".join(rows[99 * at : 99 * at + 99]) for at, split in enumerate(TSV)})
    words = ["data.reader.name=pairs", "data.reader.source_unit=characters", "data.reader.target_unit=characters"]
    assert main(["data", "add", "own", *words]) == 0
    out = capsys.readouterr().out
    assert "doubtful" not in out
    assert '  target      "0Wort0"' in out


@pytest.mark.parametrize(("head", "files", "heads", "is_header"), [
    ("source\ttarget", 1, 1, True), ("English sentence\tGerman_1", 1, 1, True), ("en\tde", 3, 1, True),
    ("source\ttarget", 3, 3, True), ("Wort\tBild", 3, 3, True),
    ("Wort\tBild", 1, 1, False),  # which may be a pair, since no other file confirms it
    ("de\tde", 1, 1, False), ("source\tb", 1, 1, False), ("Wort\tBild", 3, 1, False),
])  # fmt: skip
def test_a_line_of_names_before_pairs_is_their_header(
    head: str, files: int, heads: int, is_header: bool, project: Path
) -> None:
    splits = [*TSV][:files]
    laid_out({f"{split}.tsv": f"{head}\n" * (n < heads) + f"a{split}\tb\n" * 20 for n, split in enumerate(splits)})
    path = "own" if files > 1 else "own/train.tsv"
    assert main(["data", "add", path, "--name", "own", "--force", "data.reader.name=pairs"]) == 0
    data = config.corpora()["own"]
    assert len(list(data.build_reader().read(Path(data.train)))) == 20 + (not is_header)


@pytest.mark.parametrize("settings", [[], ["data.reader.name=pairs"]], ids=["columns", "pairs"])
@pytest.mark.parametrize(("header", "said"), [
    ("true", ["data.reader.header=true", "data.reader.header=[word,tag]"]),
    ("word", ["data.reader.header=word", "data.reader.header=[word,tag]"]),
    ("[a,b]", ["own/train.tsv begins with Wort, Art", "data.reader.header has a, b"]),
])  # fmt: skip
def test_a_header_is_given_by_its_names(
    header: str, said: list[str], settings: list[str], project: Path, refused: Refused
) -> None:
    written(".tsv", **{split: f"Wort\tArt\n{text}" for split, text in TSV.items()})
    message = refused("data", "add", "own", *settings, f"data.reader.header={header}")
    assert all(part in message for part in said), message
    assert main(["data", "add", "own", "--force", *settings, "data.reader.header=[Wort,Art]"]) == 0


def test_aligned_files_need_no_more_than_the_name_of_their_reader(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "add", laid_out(SIDES), ALIGNED[0]]) == 0
    out = capsys.readouterr().out
    assert 'source=".de", target=".en"' in out
    words = next(line for line in out.splitlines() if "other direction" in line).split()[-2:]
    assert main(["data", "add", "own", "--name", "turned", ALIGNED[0], *words]) == 0
    assert main(["data", "add", "own", "--name", "half", ALIGNED[0], "data.reader.source=.en"]) == 0
    assert [config.corpora()[name].option("target") for name in ("own", "turned", "half")] == [".en", ".de", ".de"]


def test_all_packed_files_are_named_at_once(project: Path, refused: Refused) -> None:
    written(".conllu.gz", **{split: gzip.compress(text.encode()) for split, text in CONLLU.items()})
    for settings in ([], ["data.reader.name=conllu"]):
        message = refused("data", "add", "own", *settings)
        assert all(f"gzip -dk own/{split}.conllu.gz" in message for split in CONLLU)
    subprocess.run(message.partition("unpack them: ")[2], shell=True, check=True)
    assert main(["data", "add", "own"]) == 0


LISTS = {"id": 1, "tokens": ["a", "b c"], "tags": ["X", "Y"]}


@pytest.mark.parametrize(("name", "content", "tabs"), [
    ("it's.csv", 'word,tag\n"a, ""b""",X\n\n"new\nline",Y\n', 'word\ttag\na, "b"\tX\n\nnew line\tY\n'),
    ("a.csv", "\ufeffa;X,1\nb;Y\n", "a\tX,1\nb\tY\n"),
    ("a.jsonl", '{"text": "a\\tb é", "label": 1}\n\n{"text": "c", "label": 0}\n', "a b é\t1\nc\t0\n"),
    ("a.jsonl", 2 * f"{json.dumps(LISTS)}\n", 2 * "a\tX\nb c\tY\n\n"),
    ("a.json", json.dumps([LISTS, LISTS], indent=1), 2 * "a\tX\nb c\tY\n\n"),
    ("a.json", json.dumps([{"a": "b"}]), "b\n"),
], ids=["commas", "semicolons", "lines", "lines of lists", "JSON", "flat JSON"])  # fmt: skip
def test_the_command_that_writes_tabs_works_when_it_is_typed(
    name: str, content: str, tabs: str, project: Path, refused: Refused
) -> None:
    Path(name).write_text(content, encoding="utf-8")
    command = refused("data", "add", name, "--name", "own").partition("between tabs: ")[2]
    for reader in ("columns", "pairs") if name.endswith(".csv") else ():
        assert command in refused("data", "add", name, "--name", "own", f"data.reader.name={reader}")
    subprocess.run(command, shell=True, check=True)
    assert Path(name).with_suffix(".tsv").read_text(encoding="utf-8") == tabs
