"""A corpus: its files, their splits, and how symbols are processed."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from unroll.data.fields import (
    DocumentStart,
    Field,
    Labels,
    Located,
    Probe,
    Record,
    References,
    Symbols,
    fault_of_record,
    line_of,
)
from unroll.data.readers.base import Reader
from unroll.data.spans import as_bio, is_of
from unroll.data.vocabulary import END
from unroll.errors import BadInput

SPLITS = ("train", "validation", "test")


class TooFewRecords(BadInput):
    """A file has fewer records than it is to be divided into splits."""


@dataclass(frozen=True)
class Corpus:
    """A corpus: files, splits, and the processing of symbols.

    Args:
        reader: reader of the files.
        files: file of each split; with ``cuts``, the single file under ``train``.
        cuts: sizes of train and validation in a single file, in file order, as fractions (at most 1) or numbers; the
            rest is test. Their unit is a symbol of running text, which may be cut anywhere, and a record otherwise.
            None if each split has a file.
        sentence_end: whether to append ``[EOS]`` to each sequence.
        lowercase: whether to convert words to lower case.
        normalize: whether to replace numerals with ``[NUM]`` and addresses with ``[URL]``.
        min_count: minimum count in the training split for a symbol to enter the vocabulary.
        vectors: file of pretrained vectors, whose words are added to the vocabulary; None for none.
        parted_by: field whose value decides the split of a record of a single file, by a hash, so that equal values are
            in one split; None for file order.
        held_out: field whose values in validation and test are left out of train; None to keep all records.
        shares: whether all fields of symbols have one vocabulary.
        asks: whether the files are questions, which may lack the answers.
    """

    reader: Reader
    files: dict[str, Path]
    cuts: tuple[float, float] | None
    sentence_end: bool
    lowercase: bool
    normalize: bool
    min_count: int
    vectors: Path | None
    parted_by: str | None = None
    held_out: str | None = None
    shares: bool = False
    asks: bool = False

    @property
    def fields(self) -> Mapping[str, Field]:
        """Fields of every record."""
        return self.reader.fields

    @property
    def origin(self) -> dict[str, str]:
        """Settings that affect the prepared train and validation splits.

        Files are identified by their names and those of their folders, since paths differ between machines. Options
        with default values are omitted, so that new options can be added to a reader.
        """
        reader = {field.name: getattr(self.reader, field.name) for field in fields(self.reader)  # type: ignore[arg-type]  # all are dataclasses
                  if getattr(self.reader, field.name) != field.default}  # fmt: skip
        paths = {"train": self.files["train"], "validation": self.files.get("validation"), "vectors": self.vectors}
        cuts = dict(zip(("split.train", "split.validation"), self.cuts or (), strict=False))
        plain = {"sentence_end": self.sentence_end, "lowercase": self.lowercase, "normalize": self.normalize,
                 "min_count": self.min_count}  # fmt: skip
        chosen = {"split.by": self.parted_by, "held_out": self.held_out, "shared_vocabulary": self.shares}
        return {
            "data.reader.name": self.reader.name,
            **{f"data.reader.{name}": str(value) for name, value in reader.items()},
            **{f"data.{name}": "/".join(path.parts[-2:]) for name, path in paths.items() if path},
            **{f"data.{name}": str(value) for name, value in (cuts | plain).items()},
            **{f"data.{name}": str(value) for name, value in chosen.items() if value},
        }

    def file(self, split: str) -> Path:
        """The file that contains a split."""
        return self.files.get(split, self.files["train"])

    @property
    def _text(self) -> str | None:
        """The field of symbols of running text, whose records can be cut between any two symbols."""
        if not self.reader.runs_on:
            return None
        found = [name for name, field in self.fields.items() if isinstance(field, Symbols)]
        aligned = all(isinstance(field, Symbols | Labels | Probe | DocumentStart) for field in self.fields.values())
        return found[0] if len(found) == 1 and aligned and not self._marked else None

    def records(self) -> Iterator[tuple[str, Record]]:
        """Yield each record with its split, in file order; running text is divided at a cut.

        Of a record with several right answers, train has one record each.
        """
        for split, record in self._assigned():
            if split != "train":
                yield split, record
            elif self.held_out is None or tuple(record[self.held_out]) not in self._left_out:
                yield from (("train", each) for each in self._one_each(record))

    @cached_property
    def _left_out(self) -> set[tuple[str, ...]]:
        """Values of the field ``held_out`` in validation and test, which train must not have."""
        assert self.held_out is not None
        return {tuple(record[self.held_out]) for split, record in self._assigned() if split != "train"}

    def _one_each(self, record: Record) -> Iterator[Record]:
        """A record for each of its right answers."""
        for name, field in self.fields.items():
            if isinstance(field, References):
                ends = [END] if self.sentence_end else []
                yield from (like(record, {**record, field.to: [*answer, *ends]}) for answer in record[name])
                return
        yield record

    def _assigned(self) -> Iterator[tuple[str, Record]]:
        """Yield each record of the files with its split."""
        if self.cuts is None:
            for split in SPLITS:
                if split in self.files:
                    yield from ((split, record) for record in self._read(split))
        elif self.parted_by is not None:
            for record in self._read("train"):
                share = _share(record[self.parted_by])
                yield SPLITS[(share >= self.cuts[0]) + (share >= sum(self.cuts))], record
        else:
            yield from self._divided()

    def _divided(self) -> Iterator[tuple[str, Record]]:
        """Yield the records of the single file between the cuts, and the parts of those across a cut."""
        borders = self._borders()
        position = 0
        for record in self._read("train"):
            start = position
            end = position + self._size(record)
            for split, first, last in zip(SPLITS, [0, *borders], [*borders, end], strict=True):
                low, high = max(start, first) - start, min(end, last) - start
                if low < high:
                    yield split, self._part(record, low, high)
            position = end

    def _borders(self) -> list[int]:
        assert self.cuts is not None
        first, second = self.cuts
        if first > 1:
            return [int(first), int(first + second)]
        total = sum(self._size(record) for record in self._read("train"))
        # 0.29 · 100 is slightly less than 29 in floating point, but must count as 29
        exact = [round(share * total, 6) for share in (first, first + second)]
        if self._text or not total:
            return [math.floor(cut) for cut in exact]
        splits = 3 if self.has_rest else 2
        if total < splits:
            number = f"{total} record{'s' * (total != 1)}"
            raise TooFewRecords(f"{self.files['train']} has {number}, which cannot be divided into {splits} splits; "
                                "add more, or name a file for validation with data.validation=FILE.")  # fmt: skip
        start, end = (math.ceil(cut - 0.5) for cut in exact)  # the nearest ones
        start = max(min(start, total - splits + 1), 1)  # no split is empty
        return [start, max(min(end, total - splits + 2), start + 1)]

    @property
    def has_rest(self) -> bool:
        """Whether the cuts leave something for the test split."""
        return self.cuts is not None and sum(self.cuts) != 1

    def _read(self, split: str) -> Iterator[Record]:
        fields = self.fields
        read = self.reader.questions if self.asks else self.reader.read
        for number, record in enumerate(read(self.files[split]), start=1):
            where = place(self.files[split], record, f"{split} record {number}")
            if missing := fields.keys() - record.keys():
                raise BadInput(f"{where}: it has no {min(missing)}, a field that data.reader.name={self.reader.name} "
                               "declares; correct the reader.")  # fmt: skip
            if reason := fault_of_record(fields, record):
                raise BadInput(f"{where}: {reason}; correct the record.")
            yield self.ended(self._in_bio(record, where) if self._marked else record)

    def _in_bio(self, record: Record, where: str) -> Record:
        """A record whose labels of spans are valid BIO, as networks need them, from a reader of any kind."""
        for name in self._marked:
            if strange := next((label for label in record[name] if not is_of(label, "bio")), ""):
                raise BadInput(f"{where}: {strange!r} of {name} is not a BIO label; correct the record, or declare the "
                               "field without a scheme.")  # fmt: skip
        return like(record, {**record, **{name: as_bio(record[name]) for name in self._marked}})

    @cached_property
    def _marked(self) -> list[str]:
        """The fields of labels of spans."""
        return [name for name, field in self.fields.items() if isinstance(field, Labels) and field.scheme]

    def ended(self, record: Record) -> Record:
        """Append ``[EOS]`` to the sequences of symbols of a record, if configured."""
        if not self.sentence_end:
            return record
        fields = self.fields
        ends = {name: [*value, END] for name, value in record.items() if isinstance(fields[name], Symbols)}
        return like(record, {**record, **ends})

    def _size(self, record: Record) -> int:
        """The size of a record in the unit of cuts: symbols, or records that cannot be divided."""
        return 1 if self._text is None else len(record[self._text])

    def _part(self, record: Record, low: int, high: int) -> Record:
        """Steps ``low`` to ``high`` of a record with one sequence; any other record is returned whole."""
        if self._text is None:
            return record
        part = {name: _cut(field, record[name], low, high) for name, field in self.fields.items()}
        is_whole = isinstance(record, Located) and len(record.lines) == 1
        return like(record, part, slice(None) if is_whole else slice(low, high))


def place(file: Path, record: Record, number: str, step: int = 0) -> str:
    """File and line of a step of a record, or the number of the record if its reader does not give lines."""
    line = line_of(record, step)
    return f"{file}, {number}" if line is None else f"{file}, line {line}"


def place_of(corpus: Corpus, split: str, field: str, values: Collection[str]) -> str:
    """File and line of the first step of a split at which a field has one of some values; the file if it has none."""
    records = (record for part, record in corpus.records() if part == split)
    for number, record in enumerate(records, start=1):
        for step, value in enumerate(record[field]):
            if value in values:
                return place(corpus.file(split), record, f"{split} record {number}", step)
    return str(corpus.file(split))


def like(record: Record, values: Record, steps: slice = slice(None)) -> Record:
    """Values at the place of a record, or of some of its steps."""
    return Located(values, record.lines[steps]) if isinstance(record, Located) else values


def _cut(field: Field, value: Any, low: int, high: int) -> Any:
    if isinstance(field, Probe):
        return [(at - low, group, contrast) for at, group, contrast in value if low <= at < high]
    return value and low == 0 if isinstance(field, DocumentStart) else value[low:high]


def _share(value: Sequence[str]) -> float:
    """A number in [0, 1) that depends on a value only, the same on every machine."""
    digest = hashlib.sha256("\n".join(value).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
