"""What tables of pairs hold: a header."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unroll.data.readers.base import is_blank, numbered_lines
from unroll.data.readers.pairs import Pairs
from unroll.own_corpus.columns import HEADS
from unroll.own_corpus.settings import refuse_other_header

NAMES = HEADS | {  # of columns of pairs, which a person may also give in the form source_text or Word 1
    "source", "target", "src", "tgt", "trg", "input", "output", "question", "answer", "query", "response", "original",
    "translation", "summary", "headline", "pronunciation", "phonemes", "phoneme", "phones", "graphemes", "grapheme",
    "ipa", "transcription", "spelling", "inflection", "features", "sentences", "left", "right", "in", "out",
    "english", "german", "french", "spanish", "italian", "dutch", "portuguese", "russian", "chinese", "japanese",
    "en", "eng", "de", "deu", "ger", "fr", "fra", "es", "spa", "ita", "nl", "pt", "ru", "zh", "ja", "lang", "language",
}  # fmt: skip


def header(reader: Pairs, files: Sequence[Path], typed: Sequence[str]) -> dict[str, Any]:
    """The option ``header``, if it was not typed: the line with which a file begins, and which is no pair.

    Its cells are names of columns, or all of several files begin with it, and they occur nowhere else in their columns.
    """
    firsts = {file: next(_rows(file), []) for file in files}
    if "header" in typed:
        refuse_other_header(reader.header, firsts)
        return {}
    columns = (reader.source_column, reader.target_column)
    heads = [first for first in firsts.values() if len(first) > max(columns)]
    named = [head for head in heads if _are_names([head[column] for column in columns])]
    if not named and len(files) > 1 and len(heads) == len(files) and all(head == heads[0] for head in heads):
        named = heads
    if not named or _occurs_later(named[0], columns, files):
        return {}
    return {"header": named[0]}


def _occurs_later(head: Sequence[str], columns: Sequence[int], files: Sequence[Path]) -> bool:
    """Whether a cell of a line occurs in its column beside the first lines that are equal to it."""
    begins = sum(next(_rows(file), []) == head for file in files)
    counts = {column: sum(row[column : column + 1] == [head[column]] for file in files for row in _rows(file))
              for column in columns}  # fmt: skip
    return any(count > begins for count in counts.values())


def _rows(file: Path) -> Iterator[list[str]]:
    """Cells of each line of a table."""
    lines = (line for _, line in numbered_lines(file) if not is_blank(line))
    return ([cell.strip() for cell in line.split("\t")] for line in lines)


def _are_names(cells: Sequence[str]) -> bool:
    """Whether different cells are all names of columns."""
    parts = [re.findall(r"[^\W\d_]+", cell.lower()) for cell in cells]
    return len({*cells}) == len(cells) and all(words and NAMES.issuperset(words) for words in parts)
