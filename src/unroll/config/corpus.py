"""Settings of a corpus."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from unroll.config.section import FileBelow, FilePath, Name, Section


class SourceFile(Section):
    """One file of a public corpus."""

    file: FileBelow = Field(description="Name of the file, below the corpus's folder.")
    url: str = Field(description="Its origin, pinned to a revision.")
    sha256: str = Field(description="SHA-256 of the unpacked file.", pattern="^[0-9a-f]{64}$")


class Cuts(Section):
    """Where one file is cut into splits."""

    train: float = Field(gt=0, description="Share (at most 1) or number of tokens that goes to training.")
    validation: float = Field(gt=0, description="The same for validation; what is left is the test split.")


class DataConfig(Section):
    """Which corpus, and how it is read."""

    name: Name = Field(description="Name of the corpus, and of its folder.")
    title: str = Field(description="What it is, in one sentence.")
    generator: Name | None = Field(description="Generator that writes it, for an embedded corpus.")
    sources: tuple[SourceFile, ...] = Field(description="Where a public corpus is fetched from.")
    licence: str | None = Field(description="Licence, shown when it is fetched.")
    citation: str | None = Field(description="What to cite when it is used.")
    reader: Literal["text", "conllu", "columns", "series", "brown", "vectors"] = Field(
        description="Format of the files; vectors is not a corpus, but a file for data.vectors."
    )
    unit: Literal["words", "characters", "steps"] = Field(description="What one step of a sequence is.")
    train: FilePath = Field(description="Training file; the only one if split is given.")
    validation: FilePath | None = Field(description="Validation file.")
    test: FilePath | None = Field(description="Test file; null if the corpus has none.")
    split: Cuts | None = Field(description="Where the training file is cut, if it is the only one.")
    token_column: int = Field(description="Reader columns: column of the token, from 0; negative from the last.")
    label_column: int = Field(description="Reader columns: column of the label, likewise.")
    scheme: Literal["bio"] | None = Field(description="Reader columns: bio checks that labels are O, B-… or I-….")
    probe: str | None = Field(description="Reader conllu: MISC key whose value groups tokens measured apart.")
    contrast: str | None = Field(description="Reader conllu: MISC key of the token that a probed one must beat.")
    sentence_end: bool = Field(description="Whether [EOS] follows each sequence, for language models.")
    lowercase: bool = Field(description="Whether words are folded to lower case.")
    normalize: bool = Field(description="Whether numerals become [NUM], and URLs and e-mail addresses [URL].")
    vectors: FilePath | None = Field(description="File of pretrained word vectors in GloVe's text format.")
    min_count: int = Field(ge=1, description="How often train must have a token for it to be in the vocabulary.")

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.reader != "vectors" and (self.split is None) == (self.validation is None):
            raise ValueError("give either data.validation or data.split, not both and not neither")
        if self.split and self.split.train <= 1 and self.split.train + self.split.validation > 1 + 1e-9:
            raise ValueError("data.split: the shares of train and validation exceed 1")
        if (self.reader == "series") != (self.unit == "steps"):
            raise ValueError("data.unit=steps goes with data.reader=series, and only with it")
        if self.unit == "characters" and self.reader != "text":
            raise ValueError("data.unit=characters goes with data.reader=text only")
        if self.unit == "steps" and (self.sentence_end or self.lowercase):
            raise ValueError("data.sentence_end and data.lowercase go with words and characters, not with steps")
        if self.unit != "words" and (self.normalize or self.vectors):
            raise ValueError("data.normalize and data.vectors go with data.unit=words only")
        if self.reader != "columns" and self.scheme:
            raise ValueError("data.scheme goes with data.reader=columns only; set it to null")
        return self

    @property
    def has_test(self) -> bool:
        """Whether there is a test split."""
        return self.test is not None or (self.split is not None and self.split.train + self.split.validation != 1)
