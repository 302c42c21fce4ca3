"""Pretrained vectors: who gets which row, in one pass over the file, and every bad file is one sentence."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from unroll.data.vectors import coverage, load_vectors, read_vectors, write_table
from unroll.errors import BadInput

GLOVE = Path("glove-6b-50d-subset") / "glove.6B.50d-relativized.txt.gz"


def written(folder: Path, content: str | bytes, name: str = "vectors.txt") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_words_come_with_their_vectors_in_the_order_of_the_file(tmp_path: Path) -> None:
    found = list(read_vectors(written(tmp_path, "the 0.5 -1e-2\n, 3 4\nüber 5 6\n\u00a0x\u2028 7 8")))
    assert [word for word, _ in found] == ["the", ",", "über", "\u00a0x\u2028"]  # only a blank parts columns
    assert [vector.tolist() for _, vector in found[1:]] == [[3, 4], [5, 6], [7, 8]]
    assert found[0][1].dtype == np.float32
    assert found[0][1].tolist() == [0.5, np.float32(-0.01)]


def test_a_word_with_spaces_is_what_precedes_a_vector_of_the_usual_width(tmp_path: Path) -> None:
    content = ". . . 0 1\nat name@domain.com 2 3\na 4 5\n1 6 7\nb 8 9\n"
    for header in ("", "5 2\n"):
        found = list(read_vectors(written(tmp_path, header + content)))
        assert [word for word, _ in found] == [". . .", "at name@domain.com", "a", "1", "b"]
        assert [vector.tolist() for _, vector in found] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]]


def test_the_header_of_word2vec_and_blanks_at_the_end_of_its_lines_are_passed_over(tmp_path: Path) -> None:
    found = list(read_vectors(written(tmp_path, "2 3\na 1 2 3 \n1990 4 5 6 \n")))
    assert [(word, vector.tolist()) for word, vector in found] == [("a", [1, 2, 3]), ("1990", [4, 5, 6])]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a 1 2\nb 1\n", "line 2: 2 columns"),
        (b"a 1 2\nb 1 2 3\n", "line 2: 4 columns"),
        (b"a 1 2\nb c 3 1 2\nd 1 2\n", "line 2: 5 columns"),
        (b"a 1 2 3\nb 1 2\nc 1 2\n", "line 1: 4 columns"),
        (b"\x1f\x8b\x08\x00", "packed with gzip; unpack it: mv .*gzip -dk"),
        (b"a 1 2\n\nb 1 2\n", "line 2: 1 column"),
        (b"a 1 2\nb\t1\t2\n", "line 2: 1 column"),
        (b"a 1 2\nb  1 2\n", "line 2: 4 columns"),
        (b"a 1 2\n 1 2\n", "line 2: 3 columns, but expected a word"),
        (b"a\n", "line 1: 1 column"),
        (b"2 3\na 1 2\nb 1 2\n", "line 2: 3 columns"),
        (b"2 0\na\nb\n", "line 2: 1 column"),
        (b"a 1 2\nb 1 x\n", "line 2: .*'x'"),
        (b"a 1 2\nb 1 nan\n", "line 2: 'nan' is not a finite number"),
        (b"a 1 2\nb -inf 1\n", "line 2: '-inf' is not a finite number"),
        (b"a 1 2\nb 1 1e39\n", "line 2: '1e39' is not a finite number"),
        (b"a 1 2\nb\xff 1 2\n", "line 2: byte 7 is not UTF-8"),
        (b"", "0 vectors"),
        (b"2 3\n", "0 vectors, but expected 2"),
        (b"3 2\na 1 2\nb 1 2\n", "2 vectors, but expected 3"),
        (b"1 2\na 1 2\nb 1 2\n", "2 vectors, but expected 1"),
    ],
)
def test_a_bad_file_is_one_sentence_that_names_the_file_and_the_line(content: bytes, said: str, tmp_path: Path) -> None:
    path = written(tmp_path, content)
    with pytest.raises(BadInput, match=said) as caught:
        list(read_vectors(path))
    assert str(path) in str(caught.value)
    assert any(remedy in str(caught.value) for remedy in ("correct", "fetch", "convert", "unpack"))


def test_a_missing_file_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="does not exist"):
        list(read_vectors(tmp_path / "none.txt"))


def rows(folder: Path, content: str, tokens: list[str]) -> dict[str, list[float]]:
    """Row of every token of the table; NaN is shown as nothing."""
    table = write_table(written(folder, content), tokens, folder / "vectors.npy")
    made = load_vectors(folder)
    assert made.shape == (len(table.tokens), table.size)
    assert made.dtype == np.float32
    assert table.tokens[: len(tokens)] == tokens
    assert table.found.tolist() == (~np.isnan(made[: len(tokens), 0])).tolist()
    return {token: [] if np.isnan(row).all() else row.tolist() for token, row in zip(table.tokens, made, strict=True)}


def test_every_token_and_every_other_word_of_the_file_has_a_row(tmp_path: Path) -> None:
    assert rows(tmp_path, "b 1 2\nz 3 4\na 5 6\n", ["a", "b", "c"]) == {
        "a": [5, 6], "b": [1, 2], "c": [], "z": [3, 4],
    }  # fmt: skip


@pytest.mark.parametrize("content", ["The 1 2\nthe 3 4\n", "the 3 4\nThe 1 2\n"])
def test_a_word_is_looked_up_as_it_is_and_then_in_lower_case(content: str, tmp_path: Path) -> None:
    found = rows(tmp_path, content, ["The", "THE", "the", "Dog"])
    assert found == {"The": [1, 2], "THE": [3, 4], "the": [3, 4], "Dog": []}


def test_lower_case_does_not_find_upper_case(tmp_path: Path) -> None:
    assert rows(tmp_path, "The 1 2\n", ["the"]) == {"the": [], "The": [1, 2]}


@pytest.mark.parametrize("tokens", [["a", "A"], ["A"], []])
def test_of_a_word_that_comes_twice_the_first_counts(tokens: list[str], tmp_path: Path) -> None:
    found = rows(tmp_path, "a 1 2\nb 3 4\na 5 6\nb 7 8\na 9 9\n", tokens)
    assert found == {token: [1, 2] for token in [*tokens, "a"]} | {"b": [3, 4]}


def test_the_table_is_that_of_a_reader_with_the_whole_file_in_memory(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    words = ["".join(draw.choice(list("abAB"), draw.integers(1, 4))) for _ in range(200)]
    vectors = draw.standard_normal((200, 5)).round(3)
    content = "".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, vectors, strict=True))
    first: dict[str, list[float]] = {}
    for word, row in zip(words, vectors.astype(np.float32).tolist(), strict=True):
        first.setdefault(word, row)
    tokens = ["[PAD]", *sorted({"".join(draw.choice(list("abAB"), draw.integers(1, 5))) for _ in range(100)})]
    expected = {token: first.get(token, first.get(token.lower(), [])) for token in tokens}
    found = rows(tmp_path, content, tokens)
    assert found == expected | first
    assert list(found) == [*tokens, *(word for word in first if word not in tokens)]
    assert {len(row) for row in expected.values()} == {0, 5}  # both kinds are there


def test_the_file_is_never_in_memory(tmp_path: Path) -> None:
    line = " ".join(["0.25"] * 500)
    path = tmp_path / "vectors.txt"
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"w{n} {line}\n" for n in range(3_000))
    tracemalloc.start()
    table = write_table(path, ["w7", "none"], tmp_path / "vectors.npy")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (tmp_path / "vectors.npy").stat().st_size > 3_000 * 500 * 4
    assert len(table.tokens) == 3_001
    assert peak < 3_000 * 500 * 4 / 4  # a quarter of the table, most of it the words


def test_coverage_counts_distinct_words_and_running_words(tmp_path: Path) -> None:
    counts = Counter({"the": 5, "Dog": 2, "Rare": 1, "seldom": 1, "none": 3, "NONE": 1})
    kept = ["[PAD]", "[UNK]", "the", "none", "Dog"]  # the others are too seldom for the vocabulary
    table = write_table(written(tmp_path, "the 1\ndog 2\nrare 3\nelse 4\n"), kept, tmp_path / "vectors.npy")
    assert coverage(counts, kept, table) == {
        "types": 6, "types_with_vector": 3, "tokens": 13, "tokens_with_vector": 8,
    }  # fmt: skip


def test_a_folder_without_vectors_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"has no vectors\.npy"):
        load_vectors(tmp_path)


def test_a_real_cut_of_glove_is_read_whole(tmp_path: Path) -> None:
    packed = Path(os.environ.get("UNROLL_MIRROR", "")) / GLOVE
    if not packed.is_file():
        pytest.skip(f"UNROLL_MIRROR names no folder with {GLOVE}")
    lines = gzip.decompress(packed.read_bytes()).decode().splitlines()
    path = written(tmp_path, "\n".join(lines) + "\n")
    table = write_table(path, ["[PAD]", "The", "of"], tmp_path / "vectors.npy")
    made = load_vectors(tmp_path)
    assert (table.size, len(table.tokens)) == (50, 8_453 + 2)
    assert table.found.tolist() == [False, True, True]
    number = {token: row for row, token in enumerate(table.tokens)}
    for line in lines[:: len(lines) // 50]:
        word, *cells = line.split(" ")
        assert made[number[word]].tolist() == np.array(cells, np.float32).tolist()
    assert made[number["The"]].tolist() == made[number["the"]].tolist()

    def cosine(one: str, two: str) -> float:
        first, second = made[number[one]], made[number[two]]
        return float(first @ second / np.linalg.norm(first) / np.linalg.norm(second))

    assert cosine("monday", "tuesday") > 0.9 > cosine("monday", "of")


@pytest.mark.parametrize(("content", "said"), [
    ("the\t0.5\t0.25\n", ["line 1", "tabs or commas"]), ("the,0.5,0.25\n", ["line 1", "tabs or commas"]),
    ("1 3\nthe 0.5 0.25\n", ["line 2: 3 columns", "a word and 3 numbers", "as line 1 says"]),
    ("the 0.5 0.25\nof 1_0 0.5\n", ["line 2", "_"]),
], ids=["tabs", "commas", "another size in the header", "an underscore"])  # fmt: skip
def test_the_separator_the_header_or_the_number_that_is_wrong_is_named(
    content: str, said: list[str], tmp_path: Path
) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput) as caught:
        list(read_vectors(path))
    assert all(part in str(caught.value) for part in said), caught.value
