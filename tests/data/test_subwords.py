"""Subwords: learned from train alone, the same everywhere, and every text comes back as it was."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from unroll.data import subwords
from unroll.data.corpus import Corpus
from unroll.data.prepare import prepare
from unroll.data.prepared import open_split, open_vocabularies
from unroll.data.readers.pairs import Pairs
from unroll.data.seal import unknown_of
from unroll.data.subwords import BYTES, Subwords, learn, text_of
from unroll.data.units import joined, split
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import END, PADDING, UNKNOWN, SymbolVocabulary
from unroll.errors import BadInput

TEXT = "the newest hat is newer than the widest hat , and lower than the lowest table ; Größe 3.5 !"
ODD = ["", "the  hat", "naïve 日本語 🙂 [EOS] [PAD]", "e\u0301 \u00a0 x", "a\tb", "\u2028", "'[UNK]'", " \u200bz "]


def words(text: str) -> list[str]:
    return list(split(text, "subwords"))


@pytest.fixture(scope="module")
def model() -> Subwords:
    return Subwords(learn(Counter(words(TEXT) * 5), 300))


@pytest.fixture(scope="module")
def vocabulary(model: Subwords) -> SymbolVocabulary:
    content = learn(Counter(words(TEXT) * 5), 300)
    return SymbolVocabulary("subwords", False, False, 0, (PADDING, UNKNOWN, END, *model.pieces), content)


@pytest.mark.parametrize("text", [TEXT, *ODD])
def test_a_line_is_divided_into_parts_that_are_the_line_again(text: str) -> None:
    assert joined(words(text), "subwords") == text.strip()


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=300, deadline=None)
def test_every_text_comes_back_as_it_was(model: Subwords, text: str) -> None:
    parts = words(text)
    assert "".join(parts) == text.strip()
    numbers = model.encode(parts)
    assert text_of(model.pieces[number] for number in numbers) == text.strip()
    assert model.model.decode(numbers, skip_special_tokens=False) == text.strip()


@pytest.mark.parametrize("text", [TEXT, *ODD])
def test_a_vocabulary_encodes_and_joins_text_exactly(text: str, vocabulary: SymbolVocabulary) -> None:
    numbers = vocabulary.encode([*vocabulary.split(text), END]).tolist()
    assert numbers[-1] == vocabulary.index[END]
    assert min(numbers) > 1  # nothing is padding or unknown
    assert numbers.count(vocabulary.index[END]) == 1  # nor what looks like an end
    assert vocabulary.join(numbers) == f"{text.strip()}\n"
    assert vocabulary.join(numbers[:-1] + numbers) == f"{text.strip()}{text.strip()}\n"


def test_the_letters_of_bytes_are_those_of_the_library() -> None:
    assert {*BYTES} == {*tokenizers.pre_tokenizers.ByteLevel.alphabet()}
    assert sorted(BYTES.values()) == list(range(256))


def test_bytes_that_are_no_characters_are_replaced(model: Subwords) -> None:
    pieces = [model.pieces[number] for number in model.encode(["ß"])]
    assert len(pieces) == 2
    assert text_of(pieces[:1]) == "\ufffd"
    assert text_of(["a", "\u4e2d", "b"]) == "a\ufffdb"  # no piece


def test_frequent_pairs_are_merged_and_rare_ones_are_not(model: Subwords) -> None:
    assert len(model.pieces) == 300
    assert len(model.encode(["the"])) == len(model.encode([" hat"])) == 1
    assert len(model.encode([" xyz"])) == 4


def test_there_are_no_merges_of_what_occurs_once() -> None:
    assert len(Subwords(learn(Counter({"abcdef": 1}), 300)).pieces) == 256


def test_the_model_is_the_same_in_every_process_and_whatever_the_order() -> None:
    code = (
        "from collections import Counter; from unroll.data.subwords import learn; from unroll.data.units import split; "
        f"print(learn(Counter(list(split({TEXT!r}, 'subwords'))[::-1] * 5), 300))"
    )
    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, encoding="utf-8").stdout
    assert said.strip() == learn(Counter(words(TEXT) * 5), 300)


CONTENTS = {"train": "ab ab abc\tXY XY\n" * 5, "validation": "ab zz\tXY QQ\n", "test": "ab zz\tXY QQ\n"}


def prepared(folder: Path, reader: Pairs, lowercase: bool = False) -> Path:
    files = {split: folder / f"{split}.tsv" for split in CONTENTS}
    for part, path in files.items():
        path.write_text(CONTENTS[part], encoding="utf-8")
    prepare(Corpus(reader, files, None, True, lowercase, False, 1, None), folder / "out")
    return folder / "out"


def test_prepared_data_have_subwords_of_train_alone_and_their_model(tmp_path: Path) -> None:
    out = prepared(tmp_path, Pairs(source_unit="subwords", target_unit="words", subword_size=300))
    known = open_vocabularies(out)
    source = known.symbols("source")
    assert known["source"].spec.unit == "subwords"
    assert "ab" in source.symbols
    assert "zz" not in source.symbols
    assert json.loads(source.model)["model"]["type"] == "BPE"
    for part, name in (("fit", "train"), ("fit", "validation"), ("test", "test")):
        column = open_split(out / part / name)["source"]
        begins, ends = column.begins, column.begins + column.lengths
        texts = [source.join(column.values[b:e].tolist()) for b, e in zip(begins, ends, strict=True)]
        assert texts == [line.split("\t")[0] + "\n" for line in CONTENTS[name].splitlines()]
    unknown = unknown_of(out)
    assert (unknown["source"]["test"].unknown, unknown["target"]["test"].unknown) == (0, 1)
    assert unknown["source"]["test"].symbols == open_split(out / "test" / "test")["source"].steps - 1


def test_subwords_are_in_lower_case_where_that_is_asked(tmp_path: Path) -> None:
    out = prepared(tmp_path, Pairs(target_unit="subwords"), lowercase=True)
    target = open_vocabularies(out).symbols("target")
    assert target.join(target.encode(target.split("XY Xy")).tolist()) == "xy xy"


def test_preparing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    contents = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        out = prepared(tmp_path / name, Pairs(source_unit="subwords", target_unit="subwords"))
        contents.append((out / "fit" / "vocabulary.json").read_bytes())
    assert contents[0] == contents[1]


def test_a_model_is_read_back_and_one_of_other_symbols_is_refused(vocabulary: SymbolVocabulary, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(Vocabularies({"source": vocabulary}).dumps(), encoding="utf-8")
    again = Vocabularies.load(path).symbols("source")
    assert again == vocabulary
    assert again.encode(words(TEXT)).tolist() == vocabulary.encode(words(TEXT)).tolist()
    for wrong in (replace(vocabulary, symbols=vocabulary.symbols[:-1]), replace(vocabulary, model="{}")):
        with pytest.raises(BadInput, match="model of subwords"):
            wrong.encode(["a"])


def test_a_vocabulary_without_subwords_is_written_as_before_there_were_any() -> None:
    plain = SymbolVocabulary("words", False, False, 0, (PADDING, UNKNOWN, END, "a"))
    assert "model" not in json.loads(Vocabularies({"tokens": plain}).dumps())["fields"]["tokens"]


def test_without_the_library_one_sentence_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    for needs in (lambda: learn(Counter("a"), 300), lambda: subwords.Subwords("{}")):
        with pytest.raises(BadInput, match=r"pip install -e '\.\[subwords\]'"):
            needs()
