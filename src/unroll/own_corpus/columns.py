"""What the columns of files hold: a header, span labels, word numbers, and comments that look like words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from unroll.data.fields import GAPS
from unroll.data.readers.columns import Columns
from unroll.data.readers.conllu import WIDTH as CONLLU
from unroll.data.spans import PREFIXES, is_of

HEADS = {  # names of columns, for a single file, where no other file confirms that the first line is a header
    "id", "index", "token", "tokens", "word", "words", "form", "text", "sentence", "tag", "tags", "pos", "upos", "xpos",
    "lemma", "label", "labels", "ner", "ner_tag", "ner_tags", "iob", "entity", "chunk", "category", "class",
}  # fmt: skip
SPAN = re.compile("[BI][-_:|/.].")
FEW = 5  # labels, as many as a small sample has in any case
SAMPLE = 20_000  # lines from which columns are suggested


def detected(reader: Columns, files: Sequence[Path], typed: Sequence[str]) -> dict[str, Any]:
    """Options that the content of files suggests, beside those that were typed."""
    found: dict[str, Any] = {}
    if "header" not in typed and (header := _header(reader, files)):
        found["header"] = header
    if "scheme" not in typed and (scheme := _scheme(replace(reader, **found), files)):
        found["scheme"] = scheme
    return found


def _header(reader: Columns, files: Sequence[Path]) -> list[str]:
    """The line with which each file begins, if its cells beside the word occur nowhere else in their columns."""
    firsts = [next(reader.rows(file), (0, []))[1] for file in files]
    head = firsts[0]
    label = _cell(head, reader.label_column)
    if label is None or any(first != head for first in firsts) or any(is_of(label, scheme) for scheme in PREFIXES):
        return []
    if len(files) == 1 and not _names_columns(head):
        return []
    word = reader.token_column % len(head)
    others = [(column, cell) for column, cell in enumerate(head) if column != word]
    again = Counter(column for file in files for _, row in reader.rows(file)
                    for column, cell in others if _cell(row, column) == cell.strip())  # fmt: skip
    return [cell.strip() for cell in head] if all(again[column] == len(files) for column, _ in others) else []


def _scheme(reader: Columns, files: Sequence[Path]) -> str | None:
    """The scheme of spans that nearly all labels follow; the reader then refuses the line of any other."""
    counts = _labels(reader, files)
    spans = {label: count for label, count in counts.items() if label not in ("O", *GAPS)}
    for scheme in PREFIXES:
        others = sum(count for label, count in spans.items() if not is_of(label, scheme))
        if counts["O"] and spans and others <= 0.01 * sum(spans.values()):
            return scheme
    return None


def _like_spans(reader: Columns, files: Sequence[Path]) -> Iterator[str]:
    """The doubt about labels that look like those of spans, but follow no scheme."""
    counts = _labels(reader, files)
    spans = {label: count for label, count in counts.items() if label not in ("O", *GAPS)}
    alike = sum(count for label, count in spans.items() if SPAN.match(label))
    if reader.scheme or not counts["O"] or alike <= 0.9 * sum(spans.values()):
        return
    others = min(([label for label in spans if not is_of(label, scheme)] for scheme in PREFIXES), key=len)
    if others:
        odd = max(others, key=spans.__getitem__)
        yield (f"most labels look like those of spans, but {odd} is not a label of {', '.join(PREFIXES).upper()}, so "
               "spans would not be scored; write O and labels such as B-PER and I-PER")  # fmt: skip


def _labels(reader: Columns, files: Sequence[Path]) -> Counter[str]:
    cells = (_cell(row, reader.label_column) for file in files for _, row in reader.rows(file))
    return Counter(cell for cell in cells if cell is not None)


def _cell(row: Sequence[str], column: int) -> str | None:
    return row[column].strip() if -len(row) <= column < len(row) else None


def numbered(reader: Columns, file: Path) -> str:
    """The doubt about a file whose tokens are the numbers of words, with columns that may hold words and labels."""
    values: dict[int, Counter[str]] = defaultdict(Counter)
    for _, row in islice(reader.rows(file), SAMPLE):
        for column, cell in enumerate(row):
            values[column][cell] += 1
    first = reader.token_column % len(values) + 1
    words = next((column for column in range(first, len(values)) if not _is_of_numbers(values[column])), first)
    labels = [column for column in range(words + 1, len(values)) if _is_of_labels(values[column], values[words])]
    remedy = (f"for example data.reader.token_column={words} data.reader.label_column={labels[0]}" if labels
              else "or add a column of labels, since no other one looks like it")  # fmt: skip
    other = ", or data.reader.name=conllu if it is CoNLL-U" if len(values) == CONLLU else ""
    return (f"the words of train are 1, 2, 3 and so on, so column {reader.token_column} numbers the words; choose "
            f"other columns, counted from 0, {remedy}{other}")  # fmt: skip


def _is_of_numbers(cells: Counter[str]) -> bool:
    return sum(count for cell, count in cells.items() if cell.isdecimal()) > 0.9 * cells.total()


def _is_of_labels(cells: Counter[str], words: Counter[str]) -> bool:
    """Whether a column has several values, far fewer than there are words."""
    return 1 < len(cells) <= max(FEW, len(words) // 2) and not _is_of_numbers(cells)


def oddities(reader: Columns, files: Mapping[str, Path]) -> Iterator[str]:
    """Doubts about lines that are no words, and about files with other columns than train.

    Args:
        reader: with the options that were detected.
        files: file of each split.
    """
    yield from _like_spans(reader, list(files.values()))
    widths = {file: len(next(reader.rows(file), (0, []))[1]) for file in files.values()}
    for file, width in widths.items():
        if width != widths[files["train"]]:
            yield (f"{file} has {width} columns and {files['train']} has {widths[files['train']]}; give all files the "
                   "same columns, in the same order")  # fmt: skip
        labels = _labels(reader, [file])
        for position, (number, row) in enumerate(reader.rows(file)):
            label = _cell(row, reader.label_column)
            if label is None or labels[label] > 1:
                continue
            if position == 0 and _names_columns(row):
                yield (f"{file}, line {number}: the line names the columns, but not every file begins with it; remove "
                       "it, or begin all files with it")  # fmt: skip
            elif row[0].strip() == "#":
                yield (f"{file}, line {number}: '#' is read as a word, with a label that occurs only there; if the "
                       "line is a comment, remove it, or write '# name = value' before the sentence")  # fmt: skip
                break


def _names_columns(row: Sequence[str]) -> bool:
    return any(cell.strip("# ").lower() in HEADS for cell in row)
