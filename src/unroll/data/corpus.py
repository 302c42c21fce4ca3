"""A corpus as it is read: its files, and where they are cut into splits."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from unroll.data.fields import DocumentStart, Field, Labels, Probe, Record, Symbols
from unroll.data.readers.base import Reader
from unroll.data.vocabulary import END
from unroll.errors import BadInput

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """A corpus as it is read: files, where to cut them, and what becomes of a symbol.

    Args:
        reader: of the files.
        files: file of each split; with ``cuts``, the one file of all of them under ``train``.
        cuts: where one file is cut, in file order: train and validation as shares (at most 1) or numbers of
            symbols, or of records where there is not one sequence of symbols; the rest is test. None if each split
            has a file.
        sentence_end: whether ``[EOS]`` follows each sequence.
        lowercase: whether words are folded to lower case.
        normalize: whether numerals become ``[NUM]`` and addresses ``[URL]``.
        min_count: how often the training split must have a symbol for it to be in the vocabulary.
        vectors: file of pretrained vectors, all of whose words are in the vocabulary too; None for none.
    """

    reader: Reader
    files: dict[str, Path]
    cuts: tuple[float, float] | None
    sentence_end: bool
    lowercase: bool
    normalize: bool
    min_count: int
    vectors: Path | None

    @property
    def fields(self) -> Mapping[str, Field]:
        """What every record has."""
        return self.reader.fields

    @property
    def origin(self) -> dict[str, str]:
        """What the numbers of train and validation depend on, under the names of settings.

        Of a file its name and that of its folder count, since a corpus may lie elsewhere on another machine. An option
        that has its default is left out, so that a reader may get further ones.
        """
        reader = {field.name: getattr(self.reader, field.name) for field in fields(self.reader)  # type: ignore[arg-type]  # all are dataclasses
                  if getattr(self.reader, field.name) != field.default}  # fmt: skip
        paths = {"train": self.files["train"], "validation": self.files.get("validation"), "vectors": self.vectors}
        cuts = dict(zip(("split.train", "split.validation"), self.cuts or (), strict=False))
        plain = {"sentence_end": self.sentence_end, "lowercase": self.lowercase, "normalize": self.normalize,
                 "min_count": self.min_count}  # fmt: skip
        return {
            "data.reader.name": self.reader.name,
            **{f"data.reader.{name}": str(value) for name, value in reader.items()},
            **{f"data.{name}": "/".join(path.parts[-2:]) for name, path in paths.items() if path},
            **{f"data.{name}": str(value) for name, value in (cuts | plain).items()},
        }

    def file(self, split: str) -> Path:
        """The file that has a split."""
        return self.files.get(split, self.files["train"])

    @property
    def _text(self) -> str | None:
        """The field of symbols if there is one such sequence, which may be cut between any two of them."""
        found = [name for name, field in self.fields.items() if isinstance(field, Symbols)]
        aligned = all(isinstance(field, Symbols | Labels | Probe | DocumentStart) for field in self.fields.values())
        return found[0] if len(found) == 1 and aligned else None

    def records(self) -> Iterator[tuple[str, Record]]:
        """Every record with its split, in file order; a sequence that spans a cut is cut."""
        if self.cuts is None:
            for split in SPLITS:
                if split in self.files:
                    yield from ((split, record) for record in self._read(split))
            return
        borders, position = self._borders(), 0
        for record in self._read("train"):
            start, end = position, position + self._size(record)
            for split, first, last in zip(SPLITS, [0, *borders], [*borders, end], strict=True):
                low, high = max(start, first) - start, min(end, last) - start
                if low < high:
                    yield split, self._part(record, low, high)
            position = end

    def _borders(self) -> list[int]:
        assert self.cuts is not None
        first, second = self.cuts
        if first <= 1:
            total = sum(self._size(record) for record in self._read("train"))
            # 0.29 · 100 is a little less than 29 in binary fractions, and must not lose one for it
            return [math.floor(round(share * total, 6)) for share in (first, first + second)]
        return [int(first), int(first + second)]

    def _read(self, split: str) -> Iterator[Record]:
        for number, record in enumerate(self.reader.read(self.files[split]), start=1):
            if reason := misaligned(self.fields, record):
                raise BadInput(f"{self.files[split]}, {split} record {number}: {reason}; correct the record.")
            yield self.ended(record)

    def ended(self, record: Record) -> Record:
        """A record whose sequences of symbols end with ``[EOS]``, where that is asked for."""
        if not self.sentence_end:
            return record
        ends = {name: [*value, END] for name, value in record.items() if isinstance(self.fields[name], Symbols)}
        return {**record, **ends}

    def _size(self, record: Record) -> int:
        """What cuts count: symbols, or whole records that cannot be cut."""
        return 1 if self._text is None else len(record[self._text])

    def _part(self, record: Record, low: int, high: int) -> Record:
        """Steps ``low`` to ``high`` of a record of one sequence; any other record is one whole."""
        return (
            record
            if self._text is None
            else {name: _cut(field, record[name], low, high) for name, field in self.fields.items()}
        )


def misaligned(fields: Mapping[str, Field], record: Record) -> str:
    """What is wrong where labels and the steps that they belong to are not as many; empty if nothing is."""
    for name, field in fields.items():
        if isinstance(field, Labels) and len(record[name]) != len(record[field.of]):
            return f"{len(record[name])} values of {name}, but {len(record[field.of])} of {field.of}"
    return ""


def _cut(field: Field, value: Any, low: int, high: int) -> Any:
    if isinstance(field, Probe):
        return [(at - low, group, contrast) for at, group, contrast in value if low <= at < high]
    return value and low == 0 if isinstance(field, DocumentStart) else value[low:high]
