"""Units of text: tokens are those by which BLEU is counted."""

from __future__ import annotations

import random

import pytest
from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

from unroll.data.units import joined, split

LINES = [
    "Two young, White males are outside near many bushes.", "a well-known 3.5-inch U.S. disk (of 1,000) costs $5?!",
    "e-mail: a@b.c; it's \"so\" {odd} [x]/y_z ~ ^ % 12-3 -4 5- ... ,5 6, .", "", "  a  b ",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_tokens_are_those_of_mteval_13a(line: str) -> None:
    assert split(line, "tokens") == Tokenizer13a()(line).split()


def test_tokens_of_any_ascii_text_are_those_of_mteval_13a() -> None:
    draw = random.Random(3)
    letters = [chr(code) for code in range(32, 127) if chr(code) not in "&<"] + list("..,,--1122  ab")
    for _ in range(3_000):
        line = "".join(draw.choice(letters) for _ in range(draw.randint(0, 12)))
        assert split(line, "tokens") == Tokenizer13a()(line).split(), line


@pytest.mark.parametrize("line", LINES)
def test_the_text_of_tokens_has_the_same_tokens_to_bleu(line: str) -> None:
    assert Tokenizer13a()(joined(split(line, "tokens"), "tokens")).split() == Tokenizer13a()(line).split()


def test_marks_beyond_ascii_are_apart_too() -> None:
    assert split("¿Qué? „So“ – «x»… it’s", "tokens") == [
        "¿", "Qué", "?", "„", "So", "“", "–", "«", "x", "»", "…", "it’s",
    ]  # fmt: skip


def test_characters_and_words_do_not_count_blanks_at_the_ends() -> None:
    assert split(" a b ", "characters") == "a b"
    assert split(" a  b ", "words") == ["a", "b"]
