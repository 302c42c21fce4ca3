"""Numerals and addresses share a token each; nothing else does."""

from __future__ import annotations

import lzma
import os
import time
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from unroll.data.normalization import NUMBER, URL, normalized
from unroll.data.readers.conllu import Conllu

NUMERALS = [
    "0", "7", "1990", "007", "3.14", "3,14", ".5", ",5", "1,000", "1,000,000", "12,345.67", "1.000.000,5", "1'000",
    "1’000’000.25", "1 000 000", "1 000", "+3", "-3", "−3", "±0.5", "-.5", "-1,000.5", "50%", "12.5%", "-2%", "3‰",
    "٣", "٣.٥",  # decimal digits of any script
]  # fmt: skip
ADDRESSES = [
    "http://unroll.example/a?b=1#c", "https://example.org", "HTTP://EXAMPLE.ORG", "ftp://host/file", "git+ssh://x",
    "www.example.org", "WWW.Example.org/path", "mailto:ann@example.org", "ann@example.org",
    "a.b-c_d%e@mail.example.org", "t...@sonic.net", "<ann@example.org>", "<http://example.org>", "ann@bücher.example",
    "ann@例え.テスト",
]  # fmt: skip
WORDS = [
    "", "dog", "3rd", "1st", "1990s", "90s", "60's", "5:00", "7:30pm", "9/11", "1/2", "11/28/2000", "2000-11-28",
    "713-853-3989", "1-800-991-9019", "1.2.3", "192.168.0.1", "1,00,000", "1,000,00", "1,000,000,0", "1.", "5.",
    "-", "+", "%", ".", ",", "--1", "1%%", "+-1", "$5", "5$", "1e5", "0x1F", "AS400", "Q1", "CO2", "IV", "three", "1 2",
    "²", "½", "yahoo.com", "Compaq.com", "www.", "www", "http://", "mailto:", "@", "@ann", "ann@", "Rice@ENRON",
    "E@tG", "S@P", "a@b.c1", "ann@example.",
    "ann@@example.org", "ann bob@example.org", "e.g.", "U.S.", "[NUM]", "[URL]",
]  # fmt: skip


@pytest.mark.parametrize("word", NUMERALS)
def test_a_numeral_is_a_number(word: str) -> None:
    assert normalized(word) == NUMBER


@pytest.mark.parametrize("word", ADDRESSES)
def test_an_address_is_an_address(word: str) -> None:
    assert normalized(word) == URL


@pytest.mark.parametrize("word", WORDS)
def test_any_other_word_is_itself(word: str) -> None:
    assert normalized(word) == word


@pytest.mark.parametrize("part", ["1", "1,000", "a", "a@", "a.b-", "1.000", "http", "+"])
def test_a_very_long_word_takes_no_longer_than_its_length_asks(part: str) -> None:
    # A pattern that is tried again at every place would need minutes.
    start = time.perf_counter()
    normalized(part * 20_000 + "!")
    assert time.perf_counter() - start < 2


def test_each_class_is_one_part_of_speech_of_ud_english_ewt(tmp_path: Path) -> None:
    packed = Path(os.environ.get("UNROLL_MIRROR", "")) / "ud-english-ewt" / "en_ewt-ud-train.conllu.xz"
    if not packed.is_file():
        pytest.skip("UNROLL_MIRROR names no folder with ud-english-ewt/en_ewt-ud-train.conllu.xz")
    path = tmp_path / "train.conllu"
    path.write_bytes(lzma.decompress(packed.read_bytes()))
    found: dict[str, Counter[str]] = defaultdict(Counter)
    for record in Conllu().read(path):
        for word, label in zip(record["tokens"], record["labels"], strict=True):
            found[normalized(word)][label] += 1
    for token, label in ((NUMBER, "NUM"), (URL, "PROPN")):
        assert found[token].total() > 200
        assert found[token][label] / found[token].total() > 0.99, found[token]
