"""Pairs in a table: a source and its target per line, in columns that tabs separate."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field as Option

from unroll.data.fields import NOT_GIVEN, Field, Groups, Located, Record, References
from unroll.data.readers.base import Reader, is_blank, whole_lines
from unroll.data.subwords import LEAST
from unroll.data.units import Unit, split, symbols_of
from unroll.errors import BadInput

Column = Annotated[int, Option(ge=0)]


@dataclass(frozen=True)
class Pairs(Reader):
    """Lines of a table, of which one column is the source and one the target; others are ignored.

    Features, such as ``V;PST``, are symbols ``<V>`` and ``<PST>`` behind those of the source. A plain line has them
    behind a tab. Groups are names by which accuracy is reported, such as the number of digits.
    """

    name: ClassVar[str] = "pairs"
    fills: ClassVar[str] = "target"
    source_column: Annotated[Column, Option(description="Column of the source, from 0.")] = 0
    target_column: Annotated[Column, Option(description="Column of the target, likewise.")] = 1
    feature_column: Annotated[
        Column | None,
        Option(description="Column of features, separated by semicolons, which are read after the source."),
    ] = None
    group_columns: Annotated[
        tuple[Column, ...], Option(description="Columns of groups of lines, by which accuracy is reported.")
    ] = ()
    source_unit: Annotated[Unit, Option(description="Unit of the source; tokens are words and marks.")] = "words"
    target_unit: Annotated[Unit, Option(description="Unit of the target, likewise.")] = "words"
    subword_size: Annotated[
        int, Option(ge=LEAST, description="Greatest number of symbols of each side whose unit is subwords.")
    ] = 8_000
    header: Annotated[
        tuple[str, ...], Option(description="Names of the columns; a first line of a file with them is skipped.")
    ] = ()

    @property
    def fields(self) -> Mapping[str, Field]:
        groups: dict[str, Field] = {"groups": Groups(len(self.group_columns))} if self.group_columns else {}
        return {
            "source": symbols_of(self.source_unit, self.subword_size),
            "target": symbols_of(self.target_unit, self.subword_size),
            "references": References("target", self.target_unit),
            **groups,
        }

    @property
    def grouped_by(self) -> tuple[str, ...]:
        return tuple(self.header[column] for column in self.group_columns if column < len(self.header))

    def symbols(self, field: str, line: str) -> Sequence[str]:
        if field != "source":
            return split(line, self.target_unit)
        text, _, features = line.partition("\t") if self.feature_column is not None else (line, "", "")
        return self._source(text, features)

    def read(self, path: Path) -> Iterator[Record]:
        return self._pairs(path, asks=False)

    def questions(self, path: Path) -> Iterator[Record]:
        return self._pairs(path, asks=True)

    def _pairs(self, path: Path, asks: bool) -> Iterator[Record]:
        for number, _, line, _ in self._lines(path):
            cells = self._cells(self._completed(line) if asks else line, f"{path}, line {number}")
            features = "" if self.feature_column is None else cells[self.feature_column]
            target = split(cells[self.target_column], self.target_unit)
            record = {"source": self._source(cells[self.source_column], features), "target": target,
                      "references": [target]}  # fmt: skip
            if self.group_columns:
                record["groups"] = [cells[column].strip() for column in self.group_columns]
            yield Located(record, [number])

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        numbers = {number for number, _, _, _ in self._lines(path)}
        for number, mark, line, end in whole_lines(path):
            if number in numbers or (self.header and self._is_header(line)):
                cells = self._completed(line).split("\t")
                cells[self.target_column] = next(values) if number in numbers else self.header[self.target_column]
                line = "\t".join(cells)
            yield f"{mark}{line}{end}".encode()

    def _lines(self, path: Path) -> Iterator[tuple[int, str, str, str]]:
        """Number, byte-order mark, content and end of each line with a pair."""
        is_first = bool(self.header)
        for number, mark, line, end in whole_lines(path):
            if is_blank(line):
                continue
            if not (is_first and self._is_header(line)):
                yield number, mark, line, end
            is_first = False

    def _is_header(self, line: str) -> bool:
        """Whether a line has the names of the columns, of all or of those before the target."""
        names = [cell.strip() for cell in line.split("\t")]
        return names == [*self.header] or (len(self.header) == self.target_column + 1 and names == [*self.header[:-1]])

    def _completed(self, line: str) -> str:
        """A line whose target is marked as not given if its column, the last one, is missing or empty."""
        cells = line.split("\t")
        if self.source_column < self.target_column == len(cells):
            cells.append(NOT_GIVEN)
        elif self.target_column < len(cells) and is_blank(cells[self.target_column]):
            cells[self.target_column] = NOT_GIVEN
        return "\t".join(cells)

    def _cells(self, line: str, place: str) -> list[str]:
        """The columns of a line, all of which that are needed are there."""
        cells = line.split("\t")
        needed = {"source_column": self.source_column, "target_column": self.target_column}
        if self.source_column == self.target_column:
            raise BadInput(f"{place}: data.reader.source_column and data.reader.target_column are both "
                           f"{self.source_column}; set different ones.")  # fmt: skip
        others = {"feature_column": self.feature_column, **{f"group_columns {at}": at for at in self.group_columns}}
        for name, column in (needed | others).items():
            if column is not None and column >= len(cells):
                raise BadInput(f"{place}: {len(cells)} column{'s' * (len(cells) != 1)}, separated by tabs, "
                               f"so column {column} ({name}, counted from 0) is missing; correct the line, or set "
                               f"other columns (data.reader.{name.partition(' ')[0]}=…).")  # fmt: skip
        for name, column in needed.items():
            if is_blank(cells[column]):
                raise BadInput(f"{place}: the {name.partition('_')[0]} is empty (column {column}, counted from 0); "
                               "write it, or remove the line.")  # fmt: skip
        return cells

    def _source(self, text: str, features: str) -> Sequence[str]:
        """The symbols of a source, with its features."""
        symbols = split(text, self.source_unit)
        if self.feature_column is None:
            return symbols
        return [*symbols, *(f"<{feature}>" for feature in features.strip().split(";") if feature)]
