"""Tokens and labels as numbers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from unroll.data.scoring import GroupVocabulary, ProbeVocabulary, ReferenceVocabulary
from unroll.data.vocabularies import KINDS, Vocabularies
from unroll.data.vocabulary import (
    END,
    LONGEST,
    PADDING,
    UNKNOWN,
    CategoryVocabulary,
    CharacterVocabulary,
    DocumentVocabulary,
    FrameVocabulary,
    LabelVocabulary,
    NumberVocabulary,
    PictureVocabulary,
    SymbolVocabulary,
    ranked,
    shortened,
)
from unroll.errors import BadInput

COUNTS = Counter({"b": 3, "a": 3, "C": 5, "rare": 1, "[UNK]": 9})


def build(
    min_count: int = 1, lowercase: bool = False, unit: str = "words", normalize: bool = False, vector_size: int = 0,
    more: tuple[str, ...] = (),
) -> SymbolVocabulary:  # fmt: skip
    return SymbolVocabulary(unit, lowercase, normalize, vector_size, (*ranked(COUNTS, min_count), *more))


def spelling(characters: str) -> CharacterVocabulary:
    return CharacterVocabulary((PADDING, UNKNOWN, *characters))


def build_all(characters: str = "xyz", scheme: str | None = "bio", **more: Any) -> Vocabularies:
    """Of every kind of field one."""
    return Vocabularies({
        "tokens": build(**more), "spelling": spelling(characters), "labels": LabelVocabulary(scheme, ("NOUN", "VERB")),
        "topic": CategoryVocabulary(None, ("a", "b", "c")), "probe": ProbeVocabulary(("0", "10")),
        "frames": FrameVocabulary(3), "image": PictureVocabulary((3, 4, 5)), "number": NumberVocabulary(),
        "document": DocumentVocabulary(), "right": ReferenceVocabulary(), "groups": GroupVocabulary(("2", "10")),
    })  # fmt: skip


def test_the_most_frequent_come_first_behind_the_special_ones_and_the_alphabet_breaks_ties() -> None:
    assert build().symbols == (PADDING, UNKNOWN, END, "C", "a", "b", "rare")


def test_what_train_has_too_seldom_is_unknown() -> None:
    vocabulary = build(min_count=3)
    assert "rare" not in vocabulary.symbols
    assert vocabulary.encode(["rare", "never", "a"]).tolist() == [1, 1, vocabulary.index["a"]]


def test_lowercase_folds_words_before_they_are_looked_up() -> None:
    assert build(lowercase=True).encode(["A", "b"]).tolist() == build().encode(["a", "b"]).tolist()
    assert build().encode(["A"]).tolist() == [1]


def test_the_end_of_a_sentence_is_no_word_to_be_folded() -> None:
    # [EOS] in lower case is no token, and every sentence would end in an unknown word.
    for variant in (build(), build(lowercase=True), build(normalize=True), build(lowercase=True, vector_size=2)):
        assert variant.encode([END]).tolist() == [variant.symbols.index(END)]


@pytest.mark.parametrize("vector_size", [0, 2])
def test_a_word_spelled_like_the_padding_is_unknown(vector_size: int) -> None:
    assert build(vector_size=vector_size).encode([PADDING, UNKNOWN]).tolist() == [1, 1]


def test_numerals_and_addresses_are_looked_up_as_their_class_where_that_is_asked() -> None:
    tokens = ["3.14", "-7", "http://x.example/y", "ann@example.org", "3rd", "a"]
    names = ("[NUM]", "[URL]")
    asked, plain = build(normalize=True, more=names), build(more=names)
    number, url = (asked.index[name] for name in names)
    assert asked.encode(tokens).tolist() == [number, number, url, url, 1, asked.index["a"]]
    assert plain.encode(tokens).tolist() == [1, 1, 1, 1, 1, plain.index["a"]]
    assert build(normalize=True, lowercase=True, more=names).encode(tokens).tolist() == asked.encode(tokens).tolist()
    assert build(normalize=True).encode(tokens).tolist() == [1, 1, 1, 1, 1, plain.index["a"]]  # train has no number


def test_with_vectors_an_unknown_word_is_looked_up_in_lower_case_too() -> None:
    words = ["A", "Rare", "C", "c", "Never"]
    number = build().index
    assert build().encode(words).tolist() == [1, 1, number["C"], 1, 1]
    assert build(vector_size=3).encode(words).tolist() == [number["a"], number["rare"], number["C"], 1, 1]


def test_characters_are_those_of_the_word_as_it_is_written() -> None:
    vocabulary = spelling("1Da")
    assert vocabulary.encode("Da").tolist() == [3, 4]
    assert vocabulary.encode("1D1a").tolist() == [2, 3, 2, 4]
    assert vocabulary.encode("daß").tolist() == [1, 4, 1]
    assert vocabulary.encode("11").tolist() == [2, 2]


def test_a_label_that_train_does_not_have_is_minus_one() -> None:
    assert LabelVocabulary(None, ("NOUN", "VERB")).encode(["VERB", "ADJ", "NOUN"]).tolist() == [1, -1, 0]


@pytest.mark.parametrize("length", [1, LONGEST - 1, LONGEST])
def test_a_word_of_up_to_32_characters_is_read_whole(length: int) -> None:
    form = "".join(chr(97 + n) for n in range(length))
    assert shortened(form) == form


@pytest.mark.parametrize("length", [LONGEST + 1, LONGEST + 2, 500])
def test_of_a_longer_word_the_first_and_the_last_16_characters_are_read(length: int) -> None:
    form = "".join(chr(1000 + n) for n in range(length))
    assert LONGEST == 32
    assert shortened(form) == form[:16] + form[length - 16 :]
    spelled = spelling(form).encode(shortened(form))
    assert len(spelled) == LONGEST
    assert spelled.tolist() == [*range(2, 18), *range(2 + length - 16, 2 + length)]


def test_the_spec_has_the_sizes_of_every_field() -> None:
    spec = build_all(vector_size=50).spec
    tokens = spec["tokens"]
    assert (tokens.size, tokens.unit, tokens.vector_size, tokens.padding_index, tokens.unknown_index) == (
        7, "words", 50, 0, 1,
    )  # fmt: skip
    assert (spec["labels"].size, spec["labels"].names, spec["labels"].scheme) == (2, ("NOUN", "VERB"), "bio")
    assert spec["labels"].padding_index == -1
    assert {name: spec[name].size for name in ("spelling", "topic", "probe", "frames", "number")} == {
        "spelling": 5, "topic": 3, "probe": 2, "frames": 3, "number": 1,
    }  # fmt: skip
    assert spec["image"].shape == (3, 4, 5)


def test_the_special_symbols_are_numbered_as_the_spec_says() -> None:
    characters = spelling("x")
    for names, spec in ((build().symbols, build().spec), (characters.characters, characters.spec)):
        assert names[spec.padding_index] == PADDING == "[PAD]"
        assert names[spec.unknown_index] == UNKNOWN == "[UNK]"
    assert END == "[EOS]"


@pytest.mark.parametrize(("unit", "text"), [("words", "a C b"), ("characters", "aC bb")])
def test_split_and_join_are_each_others_inverse(unit: str, text: str) -> None:
    tokens = ranked(Counter(["a", "b", "C", " "]), 1)
    vocabulary = SymbolVocabulary(unit, False, False, 0, tuple(tokens))
    assert vocabulary.join(vocabulary.encode(vocabulary.split(text)).tolist()) == text


def test_the_end_of_a_sentence_is_a_line_break() -> None:
    vocabulary = build()
    assert vocabulary.join(vocabulary.encode(["a", END, "b", "C", END]).tolist()) == "a\nb C\n"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    original = build_all("üx", lowercase=True, normalize=True, vector_size=7)
    assert {vocabulary.kind for vocabulary in original.values()} == set(KINDS)
    path = tmp_path / "vocabulary.json"
    path.write_text(original.dumps(), encoding="utf-8")
    again = Vocabularies.load(path)
    assert dict(again) == dict(original)
    assert again.digest == original.digest


def test_the_digest_tells_vocabularies_apart() -> None:
    variants = [
        build_all(), build_all(min_count=3), build_all(lowercase=True), build_all(unit="characters"),
        build_all(normalize=True), build_all("x"), build_all("y"), build_all(scheme=None), build_all(vector_size=1),
    ]  # fmt: skip
    assert len({vocabulary.digest for vocabulary in variants}) == len(variants)


@pytest.mark.parametrize("content", [
    b"", b"[]", b"[1]", b"{", b"\xff", b'{"format": 1, "fields": []}',
    b'{"format": 1, "fields": {"a": []}}', b'{"format": 1, "fields": {"a": {"kind": "others"}}}',
    b'{"format": 1, "fields": {"a": {"kind": "labels", "scheme": null}}}',
    b'{"format": 1, "fields": {"a": {"kind": "labels", "scheme": null, "names": "ab"}}}',
    b'{"format": 1, "fields": {"a": {"kind": "labels", "scheme": 3, "names": []}}}',
    b'{"format": 1, "fields": {"a": {"kind": "labels", "scheme": null, "names": ["x", "x"]}}}',
    b'{"format": 1, "fields": {"a": {"kind": "labels", "scheme": null, "names": ["x"], "more": 1}}}',
    b'{"format": 1, "fields": {"a": {"kind": "frames", "width": true}}}',
    b'{"format": 1, "fields": {"a": {"kind": "frames", "width": 0}}}',
    b'{"format": 1, "fields": {"a": {"kind": "picture", "shape": [3, 4]}}}',
    b'{"format": 1, "fields": {"a": {"kind": "spelling", "characters": ["a"]}}}',
])  # fmt: skip
def test_a_file_that_is_not_a_vocabulary_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_bytes(content)
    with pytest.raises(BadInput, match="is not a vocabulary") as caught:
        Vocabularies.load(path)
    assert str(path) in str(caught.value)


def test_a_vocabulary_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text(build_all().dumps().replace('"format": 1', '"format": 2'), encoding="utf-8")
    with pytest.raises(BadInput, match="has format 2, and this version of unroll reads 1; install a newer version"):
        Vocabularies.load(path)


def test_a_vocabulary_without_a_format_is_of_an_older_version(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    path.write_text('{"tokens": []}', encoding="utf-8")
    with pytest.raises(BadInput, match=r"older version of unroll .*unroll upgrade"):
        Vocabularies.load(path)


def test_a_missing_vocabulary_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="missing") as caught:
        Vocabularies.load(tmp_path / "vocabulary.json")
    assert str(tmp_path) in str(caught.value)
