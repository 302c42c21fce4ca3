"""Pretrained word vectors in the text format of GloVe: Pennington, Socher and Manning, EMNLP 2014."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain
from os import SEEK_CUR
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from unroll.data.readers.base import numbered_lines
from unroll.errors import BadInput


class Table(NamedTuple):
    """What was written of a file of vectors.

    Args:
        tokens: every token in the order of its row: those given, then the words that only the file has.
        size: width E of a vector.
        found: whether each of the tokens given has a vector.
    """

    tokens: list[str]
    size: int
    found: np.ndarray


def read_vectors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Words with their vectors, line by line: the word and E numbers between single blanks.

    A first line of two whole numbers is the header of word2vec's text format, V and E; the file must keep to it.

    Args:
        path: a UTF-8 file.

    Shapes:
        each vector: [E] float32

    Raises:
        BadInput: the file is missing, empty, not UTF-8 or not what its header says, or a line has another number of
            columns than the first or a number that is none.
    """
    width, announced, words = 0, None, 0
    for number, line in numbered_lines(path):
        cells = line.rstrip(" ").split(" ")
        if number == 1 and len(cells) == 2 and all(cell.isdecimal() for cell in cells):
            announced, width = int(cells[0]), int(cells[1])
            continue
        width = width or len(cells) - 1
        if len(cells) != width + 1 or not width or not cells[0]:
            raise BadInput(
                f"{path}, line {number}: {len(cells)} columns, but a word without a blank in it and {width or 'some'} "
                "numbers are expected, as in the first line; correct or remove the line."
            )
        yield cells[0], _numbers(path, number, cells[1:])
        words += 1
    if not words or words != (announced or words):
        raise BadInput(
            f"{path} has {words} vectors, but {announced or 'at least one'} were expected; fetch the file again."
        )


def _numbers(path: Path, number: int, cells: Sequence[str]) -> np.ndarray:
    """The numbers of a line, all of which must be finite in single precision."""
    try:
        with np.errstate(over="ignore"):
            vector = np.array([float(cell) for cell in cells]).astype(np.float32)
    except ValueError as error:
        raise BadInput(f"{path}, line {number}: {error}; correct or remove the line.") from None
    if not np.isfinite(vector).all():
        cell = cells[int(np.isfinite(vector).argmin())]
        raise BadInput(f"{path}, line {number}: {cell!r} is no finite number; correct or remove the line.")
    return vector


def write_table(source: Path, tokens: Sequence[str], out: Path) -> Table:
    """Write the vectors of ``tokens``, and of every other word of a file, as one array, in one pass over the file.

    A token has the vector of the word spelled like it, else of its lower case, else a row of NaN. Of a word that comes
    twice, the first vector counts.

    Args:
        source: file of vectors.
        tokens: what must have a row, in the order of the rows.
        out: the array, ``vectors.npy``.

    Shapes:
        out: [V, E] float32

    Raises:
        BadInput: see :func:`read_vectors`.

    The rows of ``tokens`` are held in memory until the end; all others are known to come in the order of the file and
    go to disk as they are read, so that a file of vectors may be larger than memory.
    """
    vectors = read_vectors(source)
    first = next(vectors)
    rows, size = {token: row for row, token in enumerate(tokens)}, len(first[1])
    head, exact = np.full((len(tokens), size), np.nan, np.float32), np.zeros(len(tokens), bool)
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
        _write_header(file, len(rows), size)  # as long as before: numpy leaves room for more rows
        file.write(head.tobytes())
    return Table(list(rows), size, ~np.isnan(head[:, 0]))


def _write_header(file: IO[bytes], rows: int, size: int) -> None:
    header = {"descr": np.dtype(np.float32).str, "fortran_order": False, "shape": (rows, size)}
    np.lib.format.write_array_header_1_0(file, header)


def load_vectors(fit: Path) -> np.ndarray:
    """The vectors that were prepared with a corpus.

    Args:
        fit: the folder ``fit`` of the prepared corpus.

    Shapes:
        result: [V, E] float32, a row of NaN where the file had no vector

    Raises:
        BadInput: the folder has none.
    """
    try:
        vectors: np.ndarray = np.load(fit / "vectors.npy")
    except FileNotFoundError:
        raise BadInput(f"{fit} has no vectors.npy; prepare the data again, with data.vectors.") from None
    return vectors


def coverage(counts: Counter[str], kept: Sequence[str], table: Table) -> dict[str, int]:
    """How much of the training split has a vector.

    Args:
        counts: how often train has each word, as it is looked up.
        kept: the tokens that the table was written for.
        table: what was written.
    """
    known = set(table.tokens[len(kept) :])
    known.update(token for token, found in zip(kept, table.found, strict=True) if found)
    covered = [word for word in counts if word in known or word.lower() in known]
    return {
        "types": len(counts), "types_with_vector": len(covered),
        "tokens": counts.total(), "tokens_with_vector": sum(counts[word] for word in covered),
    }  # fmt: skip
