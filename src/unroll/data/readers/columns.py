"""CoNLL columns: one token per line, columns separated by tabs or spaces, and an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Option

from unroll.data.fields import DocumentStart, Field, Labels, Record, Symbols
from unroll.data.readers.base import Reader, numbered_lines, whole_lines
from unroll.errors import BadInput

COMMENT = re.compile(r"# [^\t=]+ = [^\t]*")  # as in CoNLL-U: "# name = value"; "#" alone may be a token


@dataclass(frozen=True)
class Columns(Reader):
    """Sentences of a file in CoNLL columns; comments ``# name = value`` before a sentence are skipped.

    A line ``-DOCSTART-`` starts a document. With the scheme ``bio`` labels must be ``O``, ``B-…`` or ``I-…``; an
    ``I-X`` that does not continue a span is read as ``B-X``, as in the scorers of shared tasks.
    """

    name: ClassVar[str] = "columns"
    suffixes: ClassVar[tuple[str, ...]] = (".conll", ".bio", ".tsv")
    fills: ClassVar[str] = "labels"
    token_column: Annotated[int, Option(description="Column of the token, from 0; negative from the last.")] = 0
    label_column: Annotated[int, Option(description="Column of the label, likewise.")] = -1
    scheme: Annotated[
        Literal["bio"] | None,
        Option(description="Label scheme: bio requires O, B-… or I-…, and adds span metrics."),
    ] = None

    @property
    def fields(self) -> Mapping[str, Field]:
        labels = Labels("tokens", self.scheme, f"data.reader.label_column={self.label_column}")
        return {"tokens": Symbols("words"), "labels": labels, "document": DocumentStart()}

    def read(self, path: Path) -> Iterator[Record]:
        tokens: list[str] = []
        labels: list[str] = []
        width = 0
        is_first = False
        for number, line in numbered_lines(path):
            if _is_between(line):
                if tokens:
                    yield {"tokens": tokens, "labels": labels, "document": is_first}
                    is_first = False
                is_first = is_first or line.startswith("-DOCSTART-")
                tokens, labels = [], []
            elif tokens or not COMMENT.fullmatch(line):
                cells = line.split("\t") if "\t" in line else line.split()
                width = width or len(cells)
                self._check(cells, width, f"{path}, line {number}")
                labels.append(self._label(cells, labels, f"{path}, line {number}"))
                tokens.append(cells[self.token_column].strip())
        if tokens:
            yield {"tokens": tokens, "labels": labels, "document": is_first}

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        is_inside = False
        for mark, line, end in whole_lines(path):
            is_inside = not _is_between(line) and (is_inside or not COMMENT.fullmatch(line))
            filled = self._filled(line, next(values)) if is_inside else line
            yield f"{mark}{filled}{end}".encode()

    def _filled(self, line: str, label: str) -> str:
        """A line of a token with another label, blanks around it as they were."""
        cell = [*re.finditer(r"(?:^|(?<=\t))[^\t]*" if "\t" in line else r"\S+", line)][self.label_column]
        former = cell[0].strip()
        begin = cell.start() + cell[0].index(former)
        return f"{line[:begin]}{label}{line[begin + len(former) :]}"

    def _check(self, cells: list[str], width: int, place: str) -> None:
        asked = (self.token_column, self.label_column)
        if len(cells) != width or not -width <= min(asked) <= max(asked) < width:
            raise BadInput(
                f"{place}: {len(cells)} columns, but the first line has {width} and token_column "
                f"{self.token_column}, label_column {self.label_column} are set; correct the line or the settings."
            )
        if self.token_column % width == self.label_column % width:
            raise BadInput(f"{place}: {self._one_column(width)}.")

    def _one_column(self, width: int) -> str:
        """The error if tokens and labels are in the same column."""
        if width == 1:
            return ("there is only one column, so the words have no labels; separate words and labels with tabs or "
                    "spaces, or read text without labels from a .txt file (data.reader={name: text})")  # fmt: skip
        return (f"data.reader.token_column={self.token_column} and data.reader.label_column={self.label_column} are "
                f"the same column of {width}; set different ones")  # fmt: skip

    def _label(self, cells: list[str], before: list[str], place: str) -> str:
        label = cells[self.label_column].strip()
        if self.scheme != "bio" or label == "O":
            return label
        if not re.fullmatch(r"[BI]-.+", label):
            raise BadInput(f"{place}: {label!r} is not a BIO label; write O, B-TYPE or I-TYPE.")
        begins = label[0] == "I" and not (before and before[-1] in (f"B-{label[2:]}", label))
        return f"B-{label[2:]}" if begins else label


def _is_between(line: str) -> bool:
    """Whether a line ends a sentence: an empty one, or the beginning of a document."""
    return not line.strip() or line.startswith("-DOCSTART-")
