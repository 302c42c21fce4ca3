"""Settings of a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from unroll.config.section import NEUTRAL, FileBelow, FilePath, Name, Named, Section, section_of
from unroll.data.corpus import Corpus
from unroll.data.fields import Field as FieldKind
from unroll.data.fields import Symbols, fault_of_fields
from unroll.data.readers import Reader, reader_named, readers
from unroll.data.roles import Role, fill, fits
from unroll.errors import BadInput
from unroll.tasks.description import Description
from unroll.tasks.registry import descriptions


def _is_unset(value: object) -> bool:
    return not value


class SourceFile(Section):
    """One file of a public corpus."""

    file: FileBelow = Field(description="Path of the file relative to the folder of the corpus.")
    url: str = Field(description="Download URL, pinned to a revision; may pack the file as .gz or .xz.")
    sha256: str = Field(description="SHA-256 of the uncompressed file.", pattern="^[0-9a-f]{64}$")
    member: FileBelow | None = Field(
        None,
        exclude_if=_is_unset,  # so that the settings of a corpus without it are as they were
        description="Name of the file in the zip archive at url; null if url is the file itself.",
    )


class Cuts(Section):
    """Sizes of the splits of a single file."""

    train: float = Field(
        gt=0, description="Training split: a fraction (at most 1), or a number of records (of tokens in running text)."
    )
    validation: float = Field(gt=0, description="Validation split: likewise; the rest is the test split.")
    by: str | None = Field(
        None,
        exclude_if=_is_unset,
        description="Field whose values decide the split, so that equal ones are in one; null for file order.",
    )


class ReaderConfig(Named):
    """The file format and its options."""

    @classmethod
    def kinds(cls) -> Mapping[str, type[Named]]:
        return {**{name: _section(kind) for name, kind in readers().items()}, "vectors": VectorsConfig}


class VectorsConfig(ReaderConfig):
    """A file of pretrained vectors for data.vectors instead of a corpus."""

    name: Literal["vectors"] = Field(description="Format of the files.")


@cache
def _section(kind: type[Reader]) -> type[Named]:
    """The settings of a reader: its name and its options."""
    return section_of(kind, ReaderConfig, kind.name, "Format of the files.")


def _roles() -> dict[str, Mapping[str, Role]]:
    """The roles of every task."""
    return {name: task.roles for name, task in descriptions().items()}


def tasks_for(reader: Any) -> list[str]:
    """Tasks whose roles the fields of a reader fill; none if its settings are invalid, which the full check reports."""
    try:
        options = {key: value for key, value in reader.items() if key != "name"}
        fields = reader_named(str(reader["name"]))(**options).fields
    except (AttributeError, KeyError, TypeError, ValueError):
        return []
    kinds = {name: field.kind for name, field in fields.items()}
    return [name for name, roles in _roles().items() if fits(roles, kinds)]


class DataConfig(Section):
    """The corpus and how to read it."""

    name: Name = Field(description="Name of the corpus and of its folder.")
    title: str = Field(description="One-sentence description.", json_schema_extra=NEUTRAL)
    generator: Name | None = Field(description="Generator of a synthetic corpus; null for any other corpus.")
    sources: tuple[SourceFile, ...] = Field(description="Files to download for a public corpus.")
    licence: str | None = Field(description="Licence, shown when the corpus is downloaded.", json_schema_extra=NEUTRAL)
    citation: str | None = Field(description="Reference to cite.", json_schema_extra=NEUTRAL)
    reader: SerializeAsAny[ReaderConfig] = Field(description="The file format and its options.")
    roles: dict[str, str] = Field(
        description="Mapping from roles of a task to fields of the corpus, where their names differ."
    )
    train: FilePath = Field(description="Training file; the only file if split is set.")
    validation: FilePath | None = Field(description="Validation file.")
    test: FilePath | None = Field(description="Test file; null if there is none.")
    split: Cuts | None = Field(description="How to split the training file if it is the only file.")
    held_out: str | None = Field(
        None,
        exclude_if=_is_unset,
        description="Field whose values in validation and test are left out of train; null to keep all records.",
    )
    sentence_end: bool = Field(description="Whether to append [EOS] to each sequence, for language models.")
    lowercase: bool = Field(description="Whether to convert words to lower case.")
    normalize: bool = Field(
        description="Whether to replace numerals with [NUM], and URLs and e-mail addresses with [URL]."
    )
    vectors: FilePath | None = Field(description="File of pretrained word vectors in GloVe text format; null for none.")
    min_count: int | None = Field(
        ge=1,
        description="Minimum count in the training split for a token to enter the vocabulary; null for 2 if the task "
        "predicts words, such as a language model, and 1 otherwise.",
    )

    shared_vocabulary: bool = Field(
        False,
        exclude_if=_is_unset,
        description="Whether source and target have one vocabulary, so that they can share an embedding.",
    )

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if isinstance(self.reader, VectorsConfig):
            return self
        if (self.split is None) == (self.validation is None):
            raise ValueError("set exactly one of data.validation and data.split")
        if self.split and self.split.train <= 1 and self.split.train + self.split.validation > 1 + 1e-9:
            raise ValueError("data.split: the shares of train and validation exceed 1")
        if not self.units and (self.sentence_end or self.lowercase):
            raise ValueError("data.sentence_end and data.lowercase apply to words and characters only, and "
                             f"data.reader.name={self.reader.name} reads neither")  # fmt: skip
        if "words" not in self.units and (self.normalize or self.vectors):
            raise ValueError("data.normalize and data.vectors apply to words only")
        self._check_fields()
        return self

    def _check_fields(self) -> None:
        """Check the names of fields by which records are parted."""
        parted_by = self.split.by if self.split else None
        symbols = [name for name, field in self.build_reader().fields.items() if isinstance(field, Symbols)]
        for key, field in (("data.held_out", self.held_out), ("data.split.by", parted_by)):
            if field is not None and field not in symbols:
                raise ValueError(f"{key}={field} is not a field of symbols of data.reader.name={self.reader.name}; "
                                 f"choose {'|'.join(symbols)}")  # fmt: skip
        if self.shared_vocabulary and (len(symbols) < 2 or len(self.units) > 1):
            there = f"{' and '.join(symbols)} ({', '.join(sorted(self.units))})"
            raise ValueError("data.shared_vocabulary needs several fields of one unit, and "
                             f"data.reader.name={self.reader.name} has {there}")  # fmt: skip
        if self.vectors and len(symbols) > 1:
            raise ValueError("data.vectors applies to a single field of words, and "
                             f"data.reader.name={self.reader.name} has {' and '.join(symbols)}")  # fmt: skip
        if parted_by and self.split and self.split.train > 1:
            raise ValueError("data.split.by needs shares; set data.split.train and data.split.validation below 1")

    @property
    def files(self) -> list[str]:
        """All files of the splits."""
        named = [file for file in (self.train, self.validation, self.test) if file]
        if isinstance(self.reader, VectorsConfig):
            return named
        reader = self.build_reader()
        return [str(each) for file in named for each in reader.files(Path(file))]

    @property
    def has_test(self) -> bool:
        """Whether there is a test split."""
        return self.test is not None or (self.split is not None and self.split.train + self.split.validation != 1)

    @property
    def units(self) -> set[str]:
        """Units of the symbols in the corpus: words, characters or none."""
        return {field.unit for field in self.build_reader().fields.values() if isinstance(field, Symbols)}

    def build_reader(self) -> Reader:
        """Build the reader with its options.

        Raises:
            BadInput: its fields are not those of a corpus.
        """
        reader = reader_named(self.reader.name)(**self.reader.model_dump(exclude={"name"}))
        if reason := fault_of_fields(reader.fields):
            raise BadInput(f"data.reader.name={self.reader.name}: {reason}; correct the reader.")
        return reader

    def build_corpus(self) -> Corpus:
        """Build the corpus that the settings describe; without a task, ``min_count`` is 1 unless it is set."""
        files = {"train": self.train, "validation": self.validation, "test": self.test}
        return Corpus(
            reader=self.build_reader(),
            files={split: Path(file) for split, file in files.items() if file},
            cuts=(self.split.train, self.split.validation) if self.split else None,
            sentence_end=self.sentence_end,
            lowercase=self.lowercase,
            normalize=self.normalize,
            min_count=1 if self.min_count is None else self.min_count,
            vectors=Path(self.vectors) if self.vectors else None,
            parted_by=self.split.by if self.split else None,
            held_out=self.held_out,
            shares=self.shared_vocabulary,
        )

    def role_fields(self, task: Description) -> dict[str, FieldKind]:
        """The field that fills each role of a task.

        Raises:
            BadInput: a role cannot be filled.
        """
        declared = self.build_reader().fields
        roles = self.fill_roles(task, {name: field.kind for name, field in declared.items()})
        return {role: declared[name] for role, name in roles.items()}

    def fill_roles(self, task: Description, kinds: Mapping[str, str]) -> dict[str, str]:
        """The name of the field that fills each role of a task.

        Args:
            task: the task that has the roles.
            kinds: kind of each field of the corpus.

        Raises:
            BadInput: a role cannot be filled.
        """
        return fill(task.roles, kinds, self.roles, f"task={task.name} on data={self.name}", _roles)

    def option(self, name: str) -> Any:
        """An option of the reader; None if it has no such option."""
        return getattr(self.reader, name, None)
