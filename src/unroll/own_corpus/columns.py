"""What the columns of files hold: a header, span labels, word numbers, and comments that look like words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from unroll.data.corpus import place
from unroll.data.fields import GAPS
from unroll.data.readers.columns import Columns
from unroll.data.readers.conllu import WIDTH as CONLLU
from unroll.data.spans import PREFIXES, is_of, mark_spans
from unroll.own_corpus.settings import refuse_other_header
from unroll.terminal import printable

HEADS = {  # names of columns, for a single file, where no other file confirms that the first line is a header
    "id", "index", "token", "tokens", "word", "words", "form", "text", "sentence", "tag", "tags", "pos", "upos", "xpos",
    "lemma", "label", "labels", "ner", "ner_tag", "ner_tags", "iob", "entity", "chunk", "category", "class",
}  # fmt: skip
SPAN = re.compile("([BIESLUM])(?:[-_:|/.].*)?|.+[-_:|/.]([BIESLUM])", re.IGNORECASE)  # a position, and mostly a type
OUTSIDE = {"O", "o", "0", *GAPS}  # as words outside of spans are labelled
MANY = 50  # words, of which a label that only the first has is hardly one
FEW = 5  # labels, as many as a small sample has in any case
SAMPLE = 20_000  # lines from which columns are suggested


def detected(reader: Columns, files: Sequence[Path], typed: Sequence[str]) -> dict[str, Any]:
    """Options that the content of files suggests, beside those that were typed."""
    found: dict[str, Any] = {}
    if "header" in typed:
        bare = replace(reader, header=())
        firsts = {file: next(bare.rows(file), (0, []))[1] for file in files}
        refuse_other_header(reader.header, {file: [cell.strip() for cell in row] for file, row in firsts.items()})
    elif header := _header(reader, files):
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
        some = [label for label in counts if is_of(label, scheme)]
        others = sum(count for label, count in spans.items() if label not in some)
        if mark_spans(some) and others <= 0.01 * sum(spans.values()):
            return scheme
    return None


def _like_spans(reader: Columns, files: Sequence[Path]) -> Iterator[str]:
    """The doubt about labels that look like those of spans, but follow no scheme."""
    counts = _labels(reader, files)
    spans = {label: count for label, count in counts.items() if label not in OUTSIDE}
    alike = {label: found for label in spans if (found := SPAN.fullmatch(label))}
    positions = {(found[1] or found[2]).upper() for found in alike.values()}
    has_types = all(len(label) > 1 for label in alike)  # otherwise, single letters of one kind may mean anything
    if reader.scheme or not positions & {"B", "I"} or not (has_types or {"B"} < positions):
        return
    if sum(spans[label] for label in alike) <= 0.9 * sum(spans.values()):
        return
    strange = {scheme: [label for label in counts if not is_of(label, scheme)] for scheme in PREFIXES}
    scheme = min(PREFIXES, key=lambda scheme: len(strange[scheme]))
    if others := strange[scheme]:
        odd = max(others, key=counts.__getitem__)
        right = "B-PER and I-PER" if has_types else "B and I"
        yield (f"most labels look like those of spans, but {odd} is not a label of {', '.join(PREFIXES).upper()}, so "
               f"spans would not be scored; write O and labels such as {right}")  # fmt: skip
    elif not counts["O"]:
        yield (f"all labels look like those of spans, but no word has the label O; if they are, add "
               f"data.reader.scheme={scheme}, so that spans are scored")  # fmt: skip


def rewritten(reader: Columns, files: Sequence[Path]) -> Iterator[str]:
    """What is said about labels that do not follow their scheme, and are read as if they did; nothing if all do."""
    first, count = "", 0
    for file in files if reader.scheme else ():
        pairs = zip(replace(reader, scheme=None).read(file), reader.read(file), strict=True)
        for number, (one, other) in enumerate(pairs, start=1):
            labels = reader.written("labels", other["labels"])
            changed = [step for step, label in enumerate(one["labels"]) if label != labels[step]]
            if changed and not first:
                former, label = one["labels"][changed[0]], labels[changed[0]]
                where = place(file, one, f"record {number}", changed[0])
                first = printable(f"{former} as {label} at {where}")
            count += len(changed)
    if count:
        yield f"read as {str(reader.scheme).upper()}: {count:,} labels that do not follow it, such as {first}"


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
    firsts = {file: next(reader.rows(file), (0, []))[1] for file in files.values()}
    widths = {file: len(row) for file, row in firsts.items()}
    begins = Counter(_cell(row, reader.label_column) or "" for row in firsts.values())
    later = _labels(reader, list(files.values())) - begins
    for file, width in widths.items():
        if width != widths[files["train"]]:
            yield (f"{file} has {width} columns and {files['train']} has {widths[files['train']]}; give all files the "
                   "same columns, in the same order")  # fmt: skip
        labels = _labels(reader, [file])
        for position, (number, row) in enumerate(reader.rows(file)):
            label = _cell(row, reader.label_column)
            if label is None:
                continue
            is_first = position == 0 and labels[label] == 1
            if (is_first and _names_columns(row)) or _are_names(label, _cell(row, reader.token_column)):
                where = "but not every file begins with it" if position == 0 else "inside the file"
                yield f"{file}, line {number}: the line names the columns, {where}; {_without(row, position == 0)}"
                break
            if labels[label] > 1:
                continue
            if row[0].strip() == "#":
                yield (f"{file}, line {number}: '#' is read as a word, with a label that occurs only there; if the "
                       "line is a comment, remove it, or write '# name = value' before the sentence")  # fmt: skip
                break
            if is_first and label not in later and later.total() > MANY and _may_be_a_name(label):
                yield (f"{file}, line {number}: no other word has the label {label!r}; if the line names the columns, "
                       f"{_without(row, is_first)}")  # fmt: skip


def _without(row: Sequence[str], is_first: bool) -> str:
    """The remedy for a line that names the columns: to remove it, or to give the names of a first line."""
    names = ",".join(cell.strip() for cell in row)
    can_be_typed = is_first and re.fullmatch(r"[\w,]+", names)
    return f"remove it, or add data.reader.header=[{names}]" if can_be_typed else "remove it"


def _may_be_a_name(label: str) -> bool:
    """Whether a label is not written like most labels: in capitals, or with the position in a span."""
    return not label.isupper() and SPAN.fullmatch(label) is None


def _are_names(*cells: str | None) -> bool:
    """Whether each cell is the name of a column."""
    return all(cell is not None and _names_columns([cell]) for cell in cells)


def _names_columns(row: Sequence[str]) -> bool:
    return any(cell.strip("# ").lower() in HEADS for cell in row)
