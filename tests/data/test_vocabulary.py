"""Tokens and labels as numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from unroll.data.vocabulary import END, PADDING, UNKNOWN, Vocabulary
from unroll.errors import BadInput

COUNTS = Counter({"b": 3, "a": 3, "C": 5, "rare": 1, "<unk>": 9})


def build(min_count: int = 1, lowercase: bool = False, unit: str = "words") -> Vocabulary:
    return Vocabulary.from_counts(COUNTS, ["NOUN", "VERB"], ["0", "10"], unit, lowercase, min_count)


def test_the_most_frequent_come_first_behind_the_special_ones_and_the_alphabet_breaks_ties() -> None:
    assert build().tokens == [PADDING, UNKNOWN, END, "C", "a", "b", "rare"]


def test_what_train_has_too_seldom_is_unknown() -> None:
    vocabulary = build(min_count=3)
    assert "rare" not in vocabulary.tokens
    assert vocabulary.encode(["rare", "never", "a"]).tolist() == [1, 1, vocabulary.index["a"]]


def test_lowercase_folds_words_before_they_are_looked_up() -> None:
    assert build(lowercase=True).encode(["A", "b"]).tolist() == build().encode(["a", "b"]).tolist()
    assert build().encode(["A"]).tolist() == [1]


def test_the_spec_has_the_sizes_of_the_data() -> None:
    spec = build().spec
    assert (spec.vocabulary_size, spec.label_count, spec.input_size) == (7, 2, 0)
    assert (spec.padding_index, spec.unknown_index, spec.groups, spec.unit) == (0, 1, ("0", "10"), "words")


@pytest.mark.parametrize(("unit", "text"), [("words", "a C b"), ("characters", "aC bb")])
def test_split_and_join_are_each_others_inverse(unit: str, text: str) -> None:
    vocabulary = Vocabulary.from_counts(Counter(["a", "b", "C", " "]), [], [], unit, False, 1)
    assert vocabulary.join(vocabulary.encode(vocabulary.split(text)).tolist()) == text


def test_the_end_of_a_sentence_is_a_line_break() -> None:
    vocabulary = build()
    assert vocabulary.join(vocabulary.encode(["a", END, "b", "C", END]).tolist()) == "a\nb C\n"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    original, path = build(lowercase=True), tmp_path / "vocabulary.json"
    path.write_text(original.dumps(), encoding="utf-8")
    again = Vocabulary.load(path)
    assert vars(again) == vars(original)
    assert again.digest == original.digest


def test_the_digest_tells_vocabularies_apart() -> None:
    variants = [build(), build(min_count=3), build(lowercase=True), build(unit="characters")]
    assert len({vocabulary.digest for vocabulary in variants}) == len(variants)


@pytest.mark.parametrize("content", [b"", b"[]", b"[1]", b'{"tokens": []}', b"{", b"\xff", b'{"other": 1}'])
def test_a_file_that_is_no_vocabulary_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is not a vocabulary") as caught:
        Vocabulary.load(path)
    assert str(path) in str(caught.value)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="missing") as caught:
        Vocabulary.load(tmp_path / "vocabulary.json")
    assert str(tmp_path) in str(caught.value)
