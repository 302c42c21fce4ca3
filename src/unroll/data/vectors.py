"""Pretrained word vectors in the text format of GloVe (Pennington, Socher and Manning, EMNLP 2014)."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, islice
from os import SEEK_CUR
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from unroll.data.readers.base import numbered_lines
from unroll.errors import BadInput

SAMPLE = 100  # lines whose usual width is that of the file
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


class Table(NamedTuple):
    """The table written from a file of vectors.

    Args:
        tokens: token of each row: the given ones, then further words of the file.
        size: size E of a vector.
        found: whether each given token has a vector.
    """

    tokens: list[str]
    size: int
    found: np.ndarray


def read_vectors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the words and vectors of a file, whose lines have a word and E numbers separated by single spaces.

    A first line of two integers is the header of word2vec's text format, V and E; the file must match it. Otherwise E
    is that of most of the first lines. A word may have spaces, as ``. . .`` in GloVe 840B: it is what precedes the
    last E numbers.

    Args:
        path: a UTF-8 file.

    Shapes:
        each vector: [E] float32

    Raises:
        BadInput: the file is missing, empty, packed, not UTF-8 or does not match its header, or a line has too few or
            too many numbers, or an invalid one.
    """
    lines = numbered_lines(path)
    first = list(islice(lines, SAMPLE))
    announced, width = _header(first)
    width = width or _usual_width(first)
    words = 0
    for number, line in chain(first[1:] if announced else first, lines):
        cells = line.rstrip(" ").split(" ")
        word = " ".join(cells[:-width])
        if not width or len(cells) <= width or word != word.strip(" ") or not word or _has_number_at_end(word):
            source = "as line 1 says" if announced else "as in most lines"
            raise _odd_line(f"{path}, line {number}", len(cells), width, source)
        yield word, _numbers(path, number, cells[-width:])
        words += 1
    if not words or words != (announced or words):
        raise BadInput(f"{path} has {words} vectors, but expected {announced or 'at least one'}; fetch the file again.")


def _odd_line(place: str, columns: int, width: int, source: str) -> BadInput:
    """The error about a line that has other columns than a word and E numbers."""
    remedy = "correct or remove the line" if width else "convert the file if it has tabs or commas between them"
    return BadInput(f"{place}: {columns} column{'s' * (columns != 1)}, but expected a word and {width or 'some'} "
                    f"numbers, separated by single spaces, {source}; {remedy}.")  # fmt: skip


def _header(lines: Sequence[tuple[int, str]]) -> tuple[int, int]:
    """Number and size of the vectors if the first line gives them; otherwise 0."""
    cells = lines[0][1].rstrip(" ").split(" ") if lines else []
    is_header = len(cells) == 2 and all(cell.isdecimal() for cell in cells)
    return (int(cells[0]), int(cells[1])) if is_header else (0, 0)


def _usual_width(lines: Sequence[tuple[int, str]]) -> int:
    """Size of the vectors in most lines, the first if several are equally frequent."""
    sizes = Counter(line.rstrip(" ").count(" ") for _, line in lines)
    return sizes.most_common(1)[0][0] if sizes else 0


def _has_number_at_end(word: str) -> bool:
    """Whether a word with spaces ends in a number, which is rather part of a vector that is too long."""
    before, _, last = word.rpartition(" ")
    return bool(before) and NUMBER.fullmatch(last) is not None


def _numbers(path: Path, number: int, cells: Sequence[str]) -> np.ndarray:
    """Parse the numbers of a line, which must be finite in single precision."""
    try:
        if "_" in "".join(cells):  # Python would read 1_0 as 10
            raise ValueError("a number has no _")
        with np.errstate(over="ignore"):
            vector = np.array([float(cell) for cell in cells]).astype(np.float32)
    except ValueError as error:
        raise BadInput(f"{path}, line {number}: {error}; correct or remove the line.") from None
    if not np.isfinite(vector).all():
        cell = cells[int(np.isfinite(vector).argmin())]
        raise BadInput(f"{path}, line {number}: {cell!r} is not a finite number; correct or remove the line.")
    return vector


def write_table(source: Path, tokens: Sequence[str], out: Path) -> Table:
    """Write the vectors of ``tokens`` and all further words of a file as one array, in one pass over the file.

    A token gets the vector of the identical word, else of its lower case, else a row of NaN. For duplicate words the
    first vector counts.

    Args:
        source: file of vectors.
        tokens: tokens of the first rows, in order.
        out: output array, ``vectors.npy``.

    Shapes:
        out: [V, E] float32

    Raises:
        BadInput: as for :func:`read_vectors`.

    The rows of ``tokens`` are kept in memory until the end; all others are written in the order of the file as they are
    read, so a file of vectors may be larger than memory.
    """
    vectors = read_vectors(source)
    first = next(vectors)
    rows = {token: row for row, token in enumerate(tokens)}
    size = len(first[1])
    head = np.full((len(tokens), size), np.nan, np.float32)
    exact = np.zeros(len(tokens), bool)
    by_lower_case = defaultdict(list)
    for token, row in rows.items():
        by_lower_case[token.lower()].append(row)
    with out.open("wb") as file:
        _write_header(file, 0, size)
        file.seek(head.nbytes, SEEK_CUR)
        for word, vector in chain([first], vectors):
            known = rows.get(word)
            if known is None:
                rows[word] = len(rows)
                file.write(vector.tobytes())
            elif known < len(tokens) and not exact[known]:
                head[known], exact[known] = vector, True
            for row in by_lower_case.get(word, ()):
                if np.isnan(head[row, 0]):
                    head[row] = vector
        file.seek(0)
        _write_header(file, len(rows), size)  # the same length as before: numpy reserves space for more digits
        file.write(head.tobytes())
    return Table(list(rows), size, ~np.isnan(head[:, 0]))


def _write_header(file: IO[bytes], rows: int, size: int) -> None:
    header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": (rows, size)}
    np.lib.format.write_array_header_1_0(file, header)


def load_vectors(fit: Path) -> np.ndarray:
    """Load the vectors of a prepared corpus.

    Args:
        fit: the folder ``fit`` of the prepared corpus.

    Shapes:
        result: [V, E] float32, with NaN rows for tokens without a vector

    Raises:
        BadInput: the folder has no vectors.
    """
    try:
        vectors: np.ndarray = np.load(fit / "vectors.npy")
    except FileNotFoundError:
        raise BadInput(f"{fit} has no vectors.npy; prepare the data again, with data.vectors.") from None
    return vectors


def coverage(counts: Counter[str], kept: Sequence[str], table: Table) -> dict[str, int]:
    """Coverage of the training split by vectors.

    Args:
        counts: counts of normalised words in train.
        kept: tokens for which the table was written.
        table: the table.
    """
    known = set(table.tokens[len(kept) :])
    known.update(token for token, found in zip(kept, table.found, strict=True) if found)
    covered = [word for word in counts if word in known or word.lower() in known]
    return {
        "types": len(counts), "types_with_vector": len(covered),
        "tokens": counts.total(), "tokens_with_vector": sum(counts[word] for word in covered),
    }  # fmt: skip
