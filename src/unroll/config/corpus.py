"""Settings of a corpus."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, SerializeAsAny, model_validator

from unroll.config.section import FileBelow, FilePath, Name, Named, Section, section_of
from unroll.data.corpus import Corpus
from unroll.data.fields import Field as FieldKind
from unroll.data.fields import Symbols
from unroll.data.readers import Reader, reader_named, readers
from unroll.data.roles import fill
from unroll.tasks.description import Description


class SourceFile(Section):
    """One file of a public corpus."""

    file: FileBelow = Field(description="Name of the file, below the corpus's folder.")
    url: str = Field(description="Its origin, pinned to a revision.")
    sha256: str = Field(description="SHA-256 of the unpacked file.", pattern="^[0-9a-f]{64}$")


class Cuts(Section):
    """Where one file is cut into splits."""

    train: float = Field(gt=0, description="Share (at most 1) or number of tokens that goes to training.")
    validation: float = Field(gt=0, description="The same for validation; what is left is the test split.")


class ReaderConfig(Named):
    """How files are read."""

    @classmethod
    def kinds(cls) -> Mapping[str, type[Named]]:
        return {**{name: _section(kind) for name, kind in readers().items()}, "vectors": VectorsConfig}


class VectorsConfig(ReaderConfig):
    """Not a corpus, but a file of pretrained vectors for data.vectors."""

    name: Literal["vectors"] = Field(description="Format of the files.")


@cache
def _section(kind: type[Reader]) -> type[Named]:
    """The settings of a reader: its name and its options."""
    return section_of(kind, ReaderConfig, kind.name, "Format of the files.")


class DataConfig(Section):
    """Which corpus, and how it is read."""

    name: Name = Field(description="Name of the corpus, and of its folder.")
    title: str = Field(description="What it is, in one sentence.")
    generator: Name | None = Field(description="Generator that writes it, for an embedded corpus.")
    sources: tuple[SourceFile, ...] = Field(description="Where a public corpus is fetched from.")
    licence: str | None = Field(description="Licence, shown when it is fetched.")
    citation: str | None = Field(description="What to cite when it is used.")
    reader: SerializeAsAny[ReaderConfig] = Field(description="How the files are read.")
    roles: dict[str, str] = Field(description="Which field fills which role of a task, where names do not say it.")
    train: FilePath = Field(description="Training file; the only one if split is given.")
    validation: FilePath | None = Field(description="Validation file.")
    test: FilePath | None = Field(description="Test file; null if the corpus has none.")
    split: Cuts | None = Field(description="Where the training file is cut, if it is the only one.")
    sentence_end: bool = Field(description="Whether [EOS] follows each sequence, for language models.")
    lowercase: bool = Field(description="Whether words are folded to lower case.")
    normalize: bool = Field(description="Whether numerals become [NUM], and URLs and e-mail addresses [URL].")
    vectors: FilePath | None = Field(description="File of pretrained word vectors in GloVe's text format.")
    min_count: int = Field(ge=1, description="How often train must have a token for it to be in the vocabulary.")

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if isinstance(self.reader, VectorsConfig):
            return self
        if (self.split is None) == (self.validation is None):
            raise ValueError("give either data.validation or data.split, not both and not neither")
        if self.split and self.split.train <= 1 and self.split.train + self.split.validation > 1 + 1e-9:
            raise ValueError("data.split: the shares of train and validation exceed 1")
        if not self.units and (self.sentence_end or self.lowercase):
            raise ValueError("data.sentence_end and data.lowercase go with words and characters alone, and "
                             f"data.reader.name={self.reader.name} reads none")  # fmt: skip
        if "words" not in self.units and (self.normalize or self.vectors):
            raise ValueError("data.normalize and data.vectors go with words only")
        return self

    @property
    def has_test(self) -> bool:
        """Whether there is a test split."""
        return self.test is not None or (self.split is not None and self.split.train + self.split.validation != 1)

    @property
    def units(self) -> set[str]:
        """What symbols are in the corpus: words, characters or neither."""
        return {field.unit for field in self.build_reader().fields.values() if isinstance(field, Symbols)}

    def build_reader(self) -> Reader:
        """The reader with its options."""
        return reader_named(self.reader.name)(**self.reader.model_dump(exclude={"name"}))

    def build_corpus(self) -> Corpus:
        """The corpus that the settings describe."""
        files = {"train": self.train, "validation": self.validation, "test": self.test}
        return Corpus(
            reader=self.build_reader(),
            files={split: Path(file) for split, file in files.items() if file},
            cuts=(self.split.train, self.split.validation) if self.split else None,
            sentence_end=self.sentence_end,
            lowercase=self.lowercase,
            normalize=self.normalize,
            min_count=self.min_count,
            vectors=Path(self.vectors) if self.vectors else None,
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
            task: whose roles they are.
            kinds: field → kind, of the corpus.

        Raises:
            BadInput: a role cannot be filled.
        """
        return fill(task.roles, kinds, self.roles, f"task={task.name} on data={self.name}")

    def option(self, name: str) -> Any:
        """An option of the reader; None where it has no such option."""
        return getattr(self.reader, name, None)
