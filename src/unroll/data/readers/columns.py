"""CoNLL columns: one token per line, columns separated by tabs or spaces, and an empty line after each sentence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Option

from unroll.data.fields import GAPS, DocumentStart, Field, Labels, Located, Record, Symbols
from unroll.data.readers.base import Reader, is_blank, whole_lines
from unroll.data.spans import PREFIXES, as_bio, from_bio, is_of
from unroll.errors import BadInput

COMMENT = re.compile(r"# [^\t=]+ = [^\t]*")  # as in CoNLL-U: "# name = value"; "#" alone may be a token


@dataclass(frozen=True)
class Columns(Reader):
    """Sentences of a file in CoNLL columns; comments ``# name = value`` before a sentence are skipped.

    A line ``-DOCSTART-`` starts a document. With a scheme, labels must belong to it, and are read as BIO: an ``I-X``
    that does not continue a span is read as ``B-X``, as in the scorers of shared tasks. Predictions are written in the
    scheme of the file.
    """

    name: ClassVar[str] = "columns"
    suffixes: ClassVar[tuple[str, ...]] = (".conll", ".bio", ".tsv", ".iob", ".iob2")
    fills: ClassVar[str] = "labels"
    token_column: Annotated[int, Option(description="Column of the token, from 0; negative from the last.")] = 0
    label_column: Annotated[int, Option(description="Column of the label, likewise.")] = -1
    scheme: Annotated[
        Literal["bio", "bioes", "bilou", "bmes"] | None,
        Option(description="Label scheme of spans: bio requires O, B-… or I-…, or B or I alone; adds span metrics."),
    ] = None
    header: Annotated[
        tuple[str, ...], Option(description="Names of the columns; a first line of a file with them is skipped.")
    ] = ()

    @property
    def fields(self) -> Mapping[str, Field]:
        scheme = "bio" if self.scheme else None
        labels = Labels("tokens", scheme, f"data.reader.label_column={self.label_column}", self.scheme is not None)
        return {"tokens": Symbols("words"), "labels": labels, "document": DocumentStart()}

    def read(self, path: Path) -> Iterator[Record]:
        return self._sentences(path, asks=False)

    def questions(self, path: Path) -> Iterator[Record]:
        return self._sentences(path, asks=True)

    def _sentences(self, path: Path, asks: bool) -> Iterator[Record]:
        tokens: list[str] = []
        labels: list[str] = []
        lines: list[int] = []
        kinds: dict[bool, int] = {}  # first line of a span with a type, and without
        width = 0
        is_first = False
        for has_token, number, _, line, _ in self._lines(path):
            if has_token:
                cells = cells_of(line)
                width = width or len(cells)
                if len(cells) != width:
                    raise self._odd_line(path, number, width)
                token, label = self._word(cells, f"{path}, line {number}", asks)
                if self.scheme and label not in ("O", *GAPS) and kinds.setdefault(len(label) > 1, number) == number:
                    _refuse_mixed(path, kinds)
                tokens.append(token)
                labels.append(label)
                lines.append(number)
            elif _is_between(line):
                if tokens:
                    yield self._record(tokens, labels, lines, is_first)
                    is_first = False
                is_first = is_first or line.startswith("-DOCSTART-")
                tokens, labels, lines = [], [], []
        if tokens:
            yield self._record(tokens, labels, lines, is_first)

    def written(self, field: str, value: Sequence[str]) -> Sequence[str]:
        return from_bio(value, self.scheme) if field == "labels" else value

    def rows(self, path: Path) -> Iterator[tuple[int, list[str]]]:
        """Number and cells of each line with a token."""
        return ((number, cells_of(line)) for has_token, number, _, line, _ in self._lines(path) if has_token)

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        sentence: list[tuple[str, str, str]] = []
        for has_token, _, mark, line, end in self._lines(path):
            if has_token:
                sentence.append((mark, line, end))
                continue
            yield from self._filled_sentence(sentence, values)
            sentence = []
            is_header = bool(self.header) and [cell.strip() for cell in cells_of(line)] == self._short_header
            yield f"{mark}{_with_cell(line, self.header[-1]) if is_header else line}{end}".encode()
        yield from self._filled_sentence(sentence, values)

    def _lines(self, path: Path) -> Iterator[tuple[bool, int, str, str, str]]:
        """Whether each line has a token, its number, byte-order mark, content and end."""
        is_inside = False
        is_first = bool(self.header)
        for number, mark, line, end in whole_lines(path):
            is_inside = not _is_between(line) and (is_inside or not COMMENT.fullmatch(line))
            if is_inside and is_first:
                is_first = False
                cells = [cell.strip() for cell in cells_of(line)]
                is_inside = cells not in ([*self.header], self._short_header)
            yield is_inside, number, mark, line, end

    def _record(self, tokens: list[str], labels: list[str], lines: list[int], is_first: bool) -> Record:
        labels = as_bio(labels) if self.scheme else labels
        return Located({"tokens": tokens, "labels": labels, "document": is_first}, lines)

    def _filled_sentence(self, sentence: list[tuple[str, str, str]], values: Iterator[str]) -> Iterator[bytes]:
        labels = self.written("labels", [next(values) for _ in sentence])
        for (mark, line, end), label in zip(sentence, labels, strict=True):
            yield f"{mark}{self._filled(line, label)}{end}".encode()

    def _filled(self, line: str, label: str) -> str:
        """A line of a token with another label, blanks around it as they were."""
        if self._lacks_labels(len(cells_of(line))):
            return _with_cell(line, label)
        cell = [*re.finditer(r"(?:^|(?<=\t))[^\t]*" if "\t" in line else r"[^ ]+", line)][self.label_column]
        former = cell[0].strip()
        begin = cell.start() + cell[0].index(former)
        return f"{line[:begin]}{label}{line[begin + len(former) :]}"

    def _odd_line(self, path: Path, number: int, width: int) -> BadInput:
        """The error about the first line whose number of columns is not that of most lines of the file."""
        widths = {number: width + 1}
        if path.is_file():  # a pipe cannot be read again
            widths = {each: len(cells) for each, cells in self.rows(path)}
            (width, _), *_ = Counter(widths.values()).most_common(1)
            number = next(each for each, found in widths.items() if found != width)
        return BadInput(
            f"{path}, line {number}: {widths[number]} columns, but most lines have {width}, separated by tabs or "
            "spaces; correct the line. A comment has the form '# name = value', before a sentence."
        )

    @property
    def _short_header(self) -> list[str]:
        """The header of a file without labels; that of another one if labels are not in the last column."""
        return [*(self.header[:-1] if self._lacks_labels(len(self.header) - 1) else self.header)]

    def _lacks_labels(self, width: int) -> bool:
        """Whether the column of labels, the last one, is missing in a file of a width."""
        is_last = self.label_column == width or (self.label_column == -1 and self.token_column == width - 1)
        return is_last and -width <= self.token_column < width

    def _word(self, cells: list[str], place: str, asks: bool) -> tuple[str, str]:
        """Token and label of a line; no label, as "", if a question lacks it."""
        lacks = asks and self._lacks_labels(len(cells))
        token, label = (cells[self.token_column].strip(), "") if lacks else self._asked(cells, place, asks)
        if is_blank(token):
            raise BadInput(f"{place}: the word is empty (column {self.token_column % len(cells)}, counted from 0); "
                           "write it, or remove the line.")  # fmt: skip
        return token, label

    def _asked(self, cells: list[str], place: str, asks: bool) -> tuple[str, str]:
        """The cells of token and label."""
        width = len(cells)
        asked = (self.token_column, self.label_column)
        if not -width <= min(asked) <= max(asked) < width:
            remedy = ("write all columns that the run was trained on, with _ for what is not given" if asks
                      else "set others (data.reader.token_column=…)")  # fmt: skip
            raise BadInput(f"{place}: {width} column{'s' * (width != 1)}, but token_column {self.token_column} and "
                           f"label_column {self.label_column} are set; {remedy}.")  # fmt: skip
        if self.token_column % width == self.label_column % width:
            raise BadInput(f"{place}: {self._one_column(width)}.")
        token, label = (cells[column].strip() for column in asked)
        if self.scheme and not is_of(label, self.scheme):
            forms = " or ".join(f"{prefix}-TYPE" for prefix in PREFIXES[self.scheme])
            alone = ", ".join(PREFIXES[self.scheme])
            remedy = (f"put _ into column {self.label_column}, or add it if the file lacks it" if asks
                      else f"write O, {forms}, or, for spans without types, {alone} alone")  # fmt: skip
            raise BadInput(f"{place}: {label!r} is not a label of the scheme {self.scheme.upper()}; {remedy}.")
        return token, label

    def _one_column(self, width: int) -> str:
        """The error if tokens and labels are in the same column."""
        if width == 1:
            return ("there is only one column, so the words have no labels; separate words and labels with tabs or "
                    "spaces, or read text without labels from a .txt file (data.reader={name: text})")  # fmt: skip
        return (f"data.reader.token_column={self.token_column} and data.reader.label_column={self.label_column} are "
                f"the same column of {width}; set different ones")  # fmt: skip


def _refuse_mixed(path: Path, kinds: Mapping[bool, int]) -> None:
    """Refuse spans of which some have a type and some have none."""
    if len(kinds) > 1:
        raise BadInput(f"{path}: the label of line {kinds[True]} has a type, and that of line {kinds[False]} has none; "
                       "write all labels of spans in one way, such as B-PER, or B alone.")  # fmt: skip


def cells_of(line: str) -> list[str]:
    """The columns of a line; a no-break space belongs to a word."""
    return line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]


def _with_cell(line: str, cell: str) -> str:
    """A line with one more column."""
    by_blanks = "\t" not in line and len(cells_of(line)) > 1
    return f"{line} {cell}" if by_blanks else f"{line}\t{cell}"


def _is_between(line: str) -> bool:
    """Whether a line ends a sentence: an empty one, or the beginning of a document."""
    return is_blank(line) or line.startswith("-DOCSTART-")
