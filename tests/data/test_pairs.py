"""Corpora of pairs: ends of both sides, right answers, groups, and which records a split has."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unroll.data.corpus import SPLITS, Corpus
from unroll.data.prepare import prepare
from unroll.data.prepared import Split, open_split, open_vocabularies
from unroll.data.readers import Reader
from unroll.data.readers.dictionary import Dictionary
from unroll.data.readers.pairs import Pairs
from unroll.data.scoring import ReferenceVocabulary
from unroll.data.seal import origin_of, unknown_of
from unroll.data.vocabulary import END

SPOKEN = "AB  X\nC  Y\nC(2)  Z Y\n"


def corpus(folder: Path, reader: Reader, *contents: str, **settings: Any) -> Corpus:
    """A corpus whose splits have ``contents``, in the order of train, validation and test."""
    files = {split: folder / f"{split}.tsv" for split, _ in zip(SPLITS, contents, strict=False)}
    for path, content in zip(files.values(), contents, strict=True):
        path.write_text(content, encoding="utf-8")
    cuts = settings.pop("cuts", None)
    return Corpus(reader, files, cuts, True, False, False, 1, None, **settings)


def sides(found: Corpus, split: str) -> list[tuple[str, str]]:
    """Source and target of each record of a split, without their ends."""
    return [(" ".join(record["source"][:-1]), " ".join(record["target"][:-1]))
            for part, record in found.records() if part == split]  # fmt: skip


def texts(out: Path, split: Split) -> list[list[str]]:
    """The right answers of each record."""
    known = open_vocabularies(out)["references"]
    assert isinstance(known, ReferenceVocabulary)
    bounds = zip(split["references"].begins, split["references"].lengths, strict=True)
    return [known.decode(split["references"].values[begin : begin + length]) for begin, length in bounds]


def test_train_has_a_record_for_each_right_answer_and_the_others_one_with_all(tmp_path: Path) -> None:
    found = corpus(tmp_path, Dictionary(), SPOKEN, SPOKEN, SPOKEN)
    assert sides(found, "train") == [("A B", "X"), ("C", "Y"), ("C", "Z Y")]
    for split in ("validation", "test"):
        assert sides(found, split) == [("A B", "X"), ("C", "Y")]
    prepare(found, tmp_path / "out")
    assert texts(tmp_path / "out", open_split(tmp_path / "out" / "test" / "test")) == [["X"], ["Y", "Z Y"]]
    assert texts(tmp_path / "out", open_split(tmp_path / "out" / "fit" / "train")) == [["X"], *2 * [["Y", "Z Y"]]]


def test_both_sides_of_every_record_end_in_eos_and_right_answers_do_not(tmp_path: Path) -> None:
    prepare(corpus(tmp_path, Dictionary(), SPOKEN, SPOKEN, SPOKEN), tmp_path / "out")
    known = open_vocabularies(tmp_path / "out")
    for part, name in (("fit", "train"), ("fit", "validation"), ("test", "test")):
        split = open_split(tmp_path / "out" / part / name)
        for side in ("source", "target"):
            end = known.symbols(side).index[END]
            assert (split[side].values[split[side].begins + split[side].lengths - 1] == end).all()
            assert (split[side].values == end).sum() == split.count
        assert all(END not in answer for answers in texts(tmp_path / "out", split) for answer in answers)


def test_each_side_has_a_vocabulary_of_its_own(tmp_path: Path) -> None:
    prepare(corpus(tmp_path, Pairs(), "a b\tb c\n", "a\tb\n", "a\tb\n"), tmp_path / "out")
    known = open_vocabularies(tmp_path / "out")
    assert (known.symbols("source").symbols[3:], known.symbols("target").symbols[3:]) == (("a", "b"), ("b", "c"))


@pytest.mark.parametrize("unit", ["words", "characters", "subwords"])
def test_both_sides_have_one_vocabulary_where_that_is_asked(unit: Any, tmp_path: Path) -> None:
    reader = Pairs(source_unit=unit, target_unit=unit, subword_size=300)
    prepare(corpus(tmp_path, reader, "ab b\tb cd\n" * 2, "a\tcd\n", "x\tb\n", shares=True), tmp_path / "out")
    known = open_vocabularies(tmp_path / "out")
    assert known["source"] == known["target"]
    symbols = known.symbols("source").symbols
    if unit == "words":
        assert symbols[3:] == ("b", "ab", "cd")  # by their counts on both sides
        assert unknown_of(tmp_path / "out")["source"]["test"].unknown == 1
        assert unknown_of(tmp_path / "out")["target"]["test"].unknown == 0
    assert origin_of(tmp_path / "out" / "fit")["data.shared_vocabulary"] == "True"


def test_a_right_answer_is_kept_even_if_its_symbols_are_unknown(tmp_path: Path) -> None:
    prepare(corpus(tmp_path, Pairs(), "a\tb\n", "a\tb\n", "a\tnever seen\n"), tmp_path / "out")
    split = open_split(tmp_path / "out" / "test" / "test")
    assert texts(tmp_path / "out", split) == [["never seen"]]
    assert split["target"].values.tolist()[:2] == [1, 1]


def test_groups_that_only_test_has_are_known_and_those_with_numbers_are_in_their_order(tmp_path: Path) -> None:
    reader = Pairs(group_columns=(2, 3))
    contents = ("a\tb\t2\t\n", "a\tb\t4-6\tfirst\n", "c\td\t10\tlast\nc\td\t\t\n")
    prepare(corpus(tmp_path, reader, *contents), tmp_path / "out")
    names = open_vocabularies(tmp_path / "out")["groups"].spec.names
    assert names == ("2", "4-6", "10", "first", "last")
    values = open_split(tmp_path / "out" / "test" / "test")["groups"].values
    assert values.dtype == np.int32
    assert values.tolist() == [[2, 4], [-1, -1]]


def test_what_groups_are_is_what_their_columns_are_named(tmp_path: Path) -> None:
    reader = Pairs(header=("en", "es", "length in words", "place of the date"), group_columns=(2, 3))
    assert reader.grouped_by == ("length in words", "place of the date")
    assert replace(reader, group_columns=(3,)).grouped_by == ("place of the date",)
    assert replace(reader, header=("en", "es")).grouped_by == ()
    assert Pairs(group_columns=(2,)).grouped_by == ()
    assert len(sides(corpus(tmp_path, reader, "a\tb\t2\tlast\n"), "train")) == 1  # the file has no line of names


def test_what_is_judged_is_left_out_of_train_where_that_is_asked(tmp_path: Path) -> None:
    contents = ("a\tx\nb\ty\na\tz\nc\tx\n", "a\tx\n", "c\tw\n")
    assert len(sides(corpus(tmp_path, Pairs(), *contents), "train")) == 4
    found = corpus(tmp_path, Pairs(), *contents, held_out="source")
    assert sides(found, "train") == [("b", "y")]
    assert [sides(found, split) for split in SPLITS[1:]] == [[("a", "x")], [("c", "w")]]
    prepare(found, tmp_path / "out")
    assert origin_of(tmp_path / "out" / "fit")["data.held_out"] == "source"


@pytest.fixture
def many(tmp_path: Path) -> Corpus:
    """A single file in which every target has three sources, in order."""
    content = "".join(f"s{n}\tt{n // 3}\n" for n in range(1_500))
    return corpus(tmp_path, Pairs(), content, cuts=(0.8, 0.1), parted_by="target")


def by_split(found: Corpus, field: str) -> dict[str, Sequence[str]]:
    return {split: [record[field][0] for part, record in found.records() if part == split] for split in SPLITS}


def test_a_field_parts_a_single_file_so_that_equal_values_are_in_one_split(many: Corpus) -> None:
    targets = by_split(many, "target")
    assert all(set(Counter(found).values()) == {3} for found in targets.values())
    assert len(set().union(*targets.values())) == sum(len(set(found)) for found in targets.values()) == 500
    shares = [len(targets[split]) / 1_500 for split in SPLITS]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.03)
    positions = [int(target[1:]) for target in targets["test"]]
    assert min(positions) < 50 < 450 < max(positions)  # from all of the file


def test_the_split_of_a_value_depends_on_it_alone(many: Corpus, tmp_path: Path) -> None:
    before = by_split(many, "source")
    lines = many.files["train"].read_text(encoding="utf-8").splitlines(keepends=True)
    many.files["train"].write_text("".join(reversed(lines)), encoding="utf-8")
    assert {split: sorted(found) for split, found in by_split(many, "source").items()} == {
        split: sorted(found) for split, found in before.items()
    }
    assert len(before["test"]) == 138  # the same on every machine


def test_each_word_is_cut_with_all_its_right_answers(tmp_path: Path) -> None:
    spoken = "".join(f"W{n}  A\nW{n}(2)  B\n" for n in range(10))
    found = corpus(tmp_path, Dictionary(), spoken, cuts=(0.5, 0.25))
    assert {split: len(sides(found, split)) for split in SPLITS} == {"train": 10, "validation": 2, "test": 3}
