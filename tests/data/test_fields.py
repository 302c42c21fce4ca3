"""Every kind of field: from records to numbers on disk, and side by side in a batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, get_args

import numpy as np
import pytest

from unroll.data.buckets import Buckets
from unroll.data.corpus import Corpus
from unroll.data.fields import (
    Category,
    DocumentStart,
    Field,
    Frames,
    Groups,
    Labels,
    Number,
    Picture,
    Probe,
    Record,
    References,
    Symbols,
)
from unroll.data.prepare import prepare
from unroll.data.prepared import open_split, open_vocabularies
from unroll.data.readers import Reader
from unroll.data.scoring import ReferenceVocabulary
from unroll.errors import BadInput

FIELDS: dict[str, Field] = {
    "source": Symbols("words"), "target": Symbols("characters"), "sound": Frames(), "tags": Labels("source"),
    "marked": Probe("source"), "topic": Category(), "score": Number(), "image": Picture(), "opens": DocumentStart(),
    "right": References("target", "characters"), "groups": Groups(2),
}  # fmt: skip


def record(words: str, text: str, topic: str = "news") -> dict[str, Any]:
    """One value of every kind."""
    source = words.split()
    return {
        "source": source, "target": text, "sound": [[len(text), 0.5]] * 3, "tags": [word[0] for word in source],
        "marked": [(0, "first", source[-1])], "topic": topic, "score": len(words) / 4,
        "image": np.full((1, 2, 2), len(text), np.uint8), "opens": len(source) > 1,
        "right": [text], "groups": [topic, "" if len(source) > 1 else "short"],
    }  # fmt: skip


@dataclass(frozen=True)
class Made(Reader):
    """Records that were made here."""

    name: ClassVar[str] = "made"
    records: tuple[Record, ...]

    @property
    def fields(self) -> Mapping[str, Field]:
        return FIELDS

    def read(self, path: Path) -> Iterator[Record]:
        yield from self.records


RECORDS = (record("ein Haus", "house"), record("der alte Mann", "old man", "story"), record("ja", "y"))


def prepared(folder: Path, *records: Record) -> Path:
    files = {split: folder / split for split in ("train", "validation", "test")}
    prepare(Corpus(Made(records), files, None, False, False, False, 1, None), folder / "out")
    return folder / "out"


def test_every_kind_of_field_is_covered_here() -> None:
    assert {type(field) for field in FIELDS.values()} == set(get_args(Field))


def test_every_field_comes_back_as_it_was(tmp_path: Path) -> None:
    out = prepared(tmp_path, *RECORDS)
    known, split = open_vocabularies(out), open_split(out / "fit" / "train")
    assert set(split.fields) == {*FIELDS, "spelling"}
    for name in ("source", "target"):
        begins, ends = split[name].begins, split[name].begins + split[name].lengths
        symbols = known.symbols(name).symbols
        texts = [[symbols[number] for number in split[name].values[b:e]] for b, e in zip(begins, ends, strict=True)]
        assert texts == [list(made[name]) for made in RECORDS]
    assert [known["tags"].spec.names[number] for number in split["tags"].values] == list("eHdaMj")
    assert [known["topic"].spec.names[number] for number in split["topic"].values] == ["news", "story", "news"]
    assert split["score"].values.tolist() == [made["score"] for made in RECORDS]
    assert split["opens"].values.tolist() == [True, True, False]
    assert np.array_equal(split["image"].values, [made["image"] for made in RECORDS])
    assert split["sound"].values.shape == (9, 2)
    assert split["tags"].offsets is split["source"].offsets  # aligned fields share them
    right = known["right"]
    assert isinstance(right, ReferenceVocabulary)
    begins, ends = split["right"].begins, split["right"].begins + split["right"].lengths
    texts = [right.decode(split["right"].values[b:e]) for b, e in zip(begins, ends, strict=True)]
    assert texts == [[made["target"]] for made in RECORDS]
    names = [*known["groups"].spec.names, ""]  # the last one for −1
    assert [[names[number] for number in row] for row in split["groups"].values] == [made["groups"] for made in RECORDS]


def test_a_batch_has_every_field_of_its_records(tmp_path: Path) -> None:
    out = prepared(tmp_path, *RECORDS)
    spec, split = open_vocabularies(out).spec, open_split(out / "fit" / "train").without("marked", "spelling")
    (batch,) = Buckets(split, spec, ["source", "target"], 8, None)
    assert batch.sequence("source").lengths.tolist() == [1, 2, 3]
    assert batch.sequence("target").lengths.tolist() == [1, 5, 7]
    assert batch.sequence("target").values.shape == (3, 7)
    assert batch.sequence("sound").values.shape == (3, 3, 2)
    assert batch.sequence("tags").values[0, 1:].tolist() == [-1, -1]
    assert batch.single("topic").tolist() == [0, 0, 1]
    assert batch.single("image").shape == (3, 1, 2, 2)
    assert batch.single("score").tolist() == [0.5, 2.0, 3.25]
    assert batch.single("groups").shape == (3, 2)
    right = batch.sequence("right")
    assert [bytes(row[:n].tolist()).decode() for row, n in zip(right.values, right.lengths, strict=True)] == [
        "y", "house", "old man",
    ]  # fmt: skip


def test_a_category_that_train_does_not_have_is_minus_one(tmp_path: Path) -> None:
    class Other(Made):
        def read(self, path: Path) -> Iterator[Record]:
            yield record("ja", "y", "sports" if path.name == "test" else "news")

    files = {split: tmp_path / split for split in ("train", "validation", "test")}
    prepare(Corpus(Other(()), files, None, False, False, False, 1, None), tmp_path / "out")
    assert open_split(tmp_path / "out" / "test" / "test")["topic"].values.tolist() == [-1]


@pytest.mark.parametrize(("name", "value", "reason"), [
    ("tags", ["x"], "1 values of tags, but 2 of source"),
    ("sound", [[1.0]], "steps of 1 numbers after steps of 2"),
    ("sound", [[1.0, 1e39]], "a number is not finite in single precision"),
    ("score", -1e300, "a number is not finite in single precision"),
    ("image", np.zeros((1, 2, 3), np.uint8), "after pictures of (1, 2, 2)"),
    ("source", ["a", ""], "a word has no characters"),
    ("right", [], "right has no value of target"),
    ("right", ["a\nb"], "a right answer has a line break"),
    ("groups", ["x"], "1 values of groups, but 2 are declared"),
])  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_with_its_record(
    name: str, value: Any, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(BadInput) as caught:
        prepared(tmp_path, RECORDS[0], {**record("zwei Worte", "two"), name: value})
    assert reason in str(caught.value)
    assert f"{tmp_path / 'train'}, train record 2" in str(caught.value)
    assert " 2: " in str(caught.value)
    assert not (tmp_path / "out").exists()
