"""Records as numbers, field by field: a split of a corpus on disk, or records to be predicted in memory."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from unroll.data.arrays import ArrayFile, ArrayInMemory
from unroll.data.fields import (
    DocumentStart,
    Field,
    Frames,
    Groups,
    Labels,
    Number,
    Picture,
    Probe,
    Record,
    References,
    Symbols,
)
from unroll.data.prepared import Split, split_of
from unroll.data.scoring import GroupVocabulary, ProbeVocabulary, ReferenceVocabulary
from unroll.data.units import joined
from unroll.data.vocabularies import Vocabularies
from unroll.data.vocabulary import (
    CategoryVocabulary,
    CharacterVocabulary,
    FrameVocabulary,
    LabelVocabulary,
    PictureVocabulary,
    SymbolVocabulary,
    shortened,
)


def encoded(
    records: Iterable[Record], fields: Mapping[str, Field], vocabularies: Vocabularies, spelled: str | None
) -> Split:
    """Records as the split of a prepared corpus would have them, in memory.

    Args:
        records: at least one.
        fields: of every record that are encoded; it may have others.
        vocabularies: of the fields.
        spelled: the field whose words are spelled; None for none.
    """
    with SplitWriter(None, fields, vocabularies, spelled) as writer:
        for record in records:
            writer.append(record)
    return split_of("", {name: part.arrays for name, part in writer.parts.items()}, alignment(fields, spelled))


def alignment(fields: Mapping[str, Field], spelled: str | None) -> dict[str, str | None]:
    """The field whose steps each field has a value for, and so has its offsets; None for one with its own."""
    found = {name: getattr(field, "of", None) for name, field in fields.items()}
    return found if spelled is None else found | {"spelling": spelled}


class SplitWriter:
    """Appends records to the arrays of one split.

    Args:
        folder: of the split, which gets a folder per field; None to keep the arrays in memory.
        fields: of every record.
        vocabularies: of the fields.
        spelled: the field whose words are spelled; None for none.
    """

    def __init__(
        self, folder: Path | None, fields: Mapping[str, Field], vocabularies: Vocabularies, spelled: str | None
    ) -> None:
        self.parts = {name: _writer(folder and folder / name, name, fields, vocabularies) for name in fields}
        if spelled is not None:
            characters = vocabularies["spelling"]
            assert isinstance(characters, CharacterVocabulary)
            self.parts["spelling"] = SpellingWriter(folder and folder / "spelling", spelled, characters)

    def append(self, record: Record) -> None:
        """Write one record."""
        for part in self.parts.values():
            part.append(record)

    def __enter__(self) -> SplitWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as stack:
            for part in self.parts.values():
                stack.enter_context(closing(part))
            for part in self.parts.values() if error is None else ():
                part.finish()


class FieldWriter(ABC):
    """Appends the values of one field.

    Args:
        folder: of the field; None to keep its arrays in memory.
        name: of the field of a record that it reads.
    """

    def __init__(self, folder: Path | None, name: str) -> None:
        if folder is not None:
            folder.mkdir(parents=True)
        self.folder, self.name = folder, name
        self.files = ExitStack()
        self.kept: dict[str, ArrayInMemory] = {}

    def open(self, name: str, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> ArrayFile | ArrayInMemory:
        """Open an array of this field."""
        if self.folder is None:
            return self.kept.setdefault(name, ArrayInMemory(dtype, shape))
        return self.files.enter_context(closing(ArrayFile(self.folder / f"{name}.npy", dtype, shape)))

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays that were kept in memory."""
        return {name: array.values for name, array in self.kept.items()}

    @abstractmethod
    def append(self, record: Record) -> None:
        """Write the value of one record."""

    def finish(self) -> None:  # noqa: B027  # most fields have nothing to add
        """Write what is known only after all records."""

    def close(self) -> None:
        """Close all arrays, even if one of them cannot be written."""
        self.files.close()


class SequenceWriter(FieldWriter):
    """Writes one row per step, and the start of each sequence."""

    def __init__(self, folder: Path | None, name: str, vocabulary: SymbolVocabulary | FrameVocabulary) -> None:
        super().__init__(folder, name)
        self.vocabulary, self.end = vocabulary, 0
        if isinstance(vocabulary, FrameVocabulary):
            self.values = self.open("values", np.float32, (vocabulary.width,))
        else:
            self.values = self.open("values", np.int32)
        self.offsets = self.open("offsets", np.int64)
        self.offsets.append([0])

    def append(self, record: Record) -> None:
        value = record[self.name]
        numbers = value if isinstance(self.vocabulary, FrameVocabulary) else self.vocabulary.encode(value)
        self.values.append(numbers)
        self.end += len(numbers)
        self.offsets.append([self.end])


class LabelWriter(FieldWriter):
    """Writes one number per step of another field."""

    def __init__(self, folder: Path | None, name: str, of: str, vocabulary: LabelVocabulary) -> None:
        super().__init__(folder, name)
        self.of = of
        self.vocabulary = vocabulary
        self.values = self.open("values", np.int32)

    def append(self, record: Record) -> None:
        labels = self.vocabulary.encode(record[self.name])
        missing = len(record[self.of]) - len(labels)  # [EOS] has no label
        self.values.append(np.pad(labels, (0, missing), constant_values=-1))


class ProbeWriter(FieldWriter):
    """Writes the group of each step of another field, and the symbol that its target must beat; −1 for none."""

    def __init__(
        self, folder: Path | None, name: str, of: str, groups: ProbeVocabulary, symbols: SymbolVocabulary
    ) -> None:
        super().__init__(folder, name)
        self.of, self.groups, self.symbols = of, groups, symbols
        self.values, self.contrasts = self.open("values", np.int32), self.open("contrasts", np.int32)

    def append(self, record: Record) -> None:
        groups, contrasts = (np.full(len(record[self.of]), -1) for _ in range(2))
        for at, group, contrast in record[self.name]:
            groups[at] = self.groups.index.get(group, -1)
            contrasts[at] = self.symbols.encode([contrast])[0] if contrast else -1
        self.values.append(groups)
        self.contrasts.append(contrasts)


class SingleWriter(FieldWriter):
    """Writes one value per record."""

    def __init__(self, folder: Path | None, name: str, dtype: type[np.generic], shape: tuple[int, ...] = ()) -> None:
        super().__init__(folder, name)
        self.values = self.open("values", dtype, shape)

    def append(self, record: Record) -> None:
        self.values.append(record[self.name])


class CategoryWriter(SingleWriter):
    """Writes the number of a category per record; −1 for unknown categories."""

    def __init__(self, folder: Path | None, name: str, vocabulary: CategoryVocabulary) -> None:
        super().__init__(folder, name, np.int32)
        self.vocabulary = vocabulary

    def append(self, record: Record) -> None:
        self.values.append(self.vocabulary.encode([record[self.name]]))


class ReferenceWriter(FieldWriter):
    """Writes the text of the right answers of each record, and the start of each record.

    Args:
        folder: of the field; None to keep the arrays in memory.
        name: of the field.
        written: the unit of the answers, by which they become text.
        vocabulary: of the field.
    """

    def __init__(self, folder: Path | None, name: str, written: str, vocabulary: ReferenceVocabulary) -> None:
        super().__init__(folder, name)
        self.written, self.vocabulary, self.end = written, vocabulary, 0
        self.values = self.open("values", np.uint8)
        self.offsets = self.open("offsets", np.int64)
        self.offsets.append([0])

    def append(self, record: Record) -> None:
        content = self.vocabulary.encode([joined(value, self.written) for value in record[self.name]])
        self.values.append(content)
        self.end += len(content)
        self.offsets.append([self.end])


class GroupWriter(FieldWriter):
    """Writes the numbers of the groups of each record; −1 for none, and for one that is unknown."""

    def __init__(self, folder: Path | None, name: str, count: int, vocabulary: GroupVocabulary) -> None:
        super().__init__(folder, name)
        self.vocabulary = vocabulary
        self.values = self.open("values", np.int32, (count,))

    def append(self, record: Record) -> None:
        self.values.append([[self.vocabulary.index.get(group, -1) for group in record[self.name]]])


class SpellingWriter(FieldWriter):
    """Writes the spelling of each distinct form, in order of first occurrence, and the form of each word."""

    def __init__(self, folder: Path | None, words: str, vocabulary: CharacterVocabulary) -> None:
        super().__init__(folder, words)
        self.vocabulary = vocabulary
        self.values = self.open("values", np.int32)
        self.forms: dict[str, int] = {}  # number of each distinct form

    def append(self, record: Record) -> None:
        self.values.append([self.forms.setdefault(form, len(self.forms)) for form in record[self.name]])

    def finish(self) -> None:
        """Write the spelling of all forms."""
        read = [shortened(form) for form in self.forms]
        self.open("form_offsets", np.int64).append(np.cumsum([0, *map(len, read)]))
        self.open("characters", np.int32).append(self.vocabulary.encode("".join(read)))


def _writer(folder: Path | None, name: str, fields: Mapping[str, Field], vocabularies: Vocabularies) -> FieldWriter:
    """Create the writer of a field."""
    field, vocabulary = fields[name], vocabularies[name]
    found: Any = None
    match field, vocabulary:
        case Symbols() | Frames(), SymbolVocabulary() | FrameVocabulary():
            found = SequenceWriter(folder, name, vocabulary)
        case Labels(), LabelVocabulary():
            found = LabelWriter(folder, name, field.of, vocabulary)
        case Probe(), ProbeVocabulary():
            found = ProbeWriter(folder, name, field.of, vocabulary, vocabularies.symbols(field.of))
        case References(), ReferenceVocabulary():
            found = ReferenceWriter(folder, name, field.written, vocabulary)
        case Groups(), GroupVocabulary():
            found = GroupWriter(folder, name, field.count, vocabulary)
        case _, CategoryVocabulary():
            found = CategoryWriter(folder, name, vocabulary)
        case Picture(), PictureVocabulary():
            found = SingleWriter(folder, name, np.uint8, vocabulary.shape)
        case Number(), _:
            found = SingleWriter(folder, name, np.float32)
        case DocumentStart(), _:
            found = SingleWriter(folder, name, np.bool_)
    assert isinstance(found, FieldWriter)
    return found
