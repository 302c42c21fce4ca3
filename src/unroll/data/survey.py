"""The first pass over a corpus: what each field's vocabulary is made from, and what cannot be prepared."""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from unroll.data.corpus import SPLITS, Corpus
from unroll.data.fields import Category, DocumentStart, Field, Frames, Labels, Number, Picture, Probe, Symbols
from unroll.data.vocabulary import (
    PADDING,
    UNKNOWN,
    CategoryVocabulary,
    CharacterVocabulary,
    DocumentVocabulary,
    FrameVocabulary,
    LabelVocabulary,
    NumberVocabulary,
    PictureVocabulary,
    ProbeVocabulary,
    SymbolVocabulary,
    Vocabulary,
    fold,
    ranked,
    shortened,
)
from unroll.errors import BadInput


class FieldSurvey(ABC):
    """What the first pass learns of one field; no vocabulary knows the test split."""

    def learn(self, value: Any) -> None:  # noqa: B027  # of some fields there is nothing to learn
        """Look at one value of train."""

    def fault(self, value: Any) -> str:  # noqa: ARG002  # most kinds of value are right by themselves
        """What is wrong with one value of any split; empty if nothing is."""
        return ""

    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """What was learned."""


class SymbolSurvey(FieldSurvey):
    """Counts symbols.

    Args:
        corpus: how they are folded, and how often one must come.
        field: what a symbol is.
    """

    def __init__(self, corpus: Corpus, field: Symbols) -> None:
        self.corpus, self.unit = corpus, field.unit
        self.written: Counter[str] = Counter()  # as train has them

    def learn(self, value: Sequence[str]) -> None:
        self.written.update(value)

    def fault(self, value: Sequence[str]) -> str:
        return "a word without a character" if self.unit == "words" and not all(value) else ""

    @property
    def counts(self) -> Counter[str]:
        """How often train has each symbol, as it is looked up."""
        counts: Counter[str] = Counter()
        for symbol, count in self.written.items():
            counts[fold(symbol, self.corpus.lowercase, self.corpus.normalize)] += count
        return counts

    def vocabulary(self) -> SymbolVocabulary:
        kept = ranked(self.counts, self.corpus.min_count)
        return SymbolVocabulary(self.unit, self.corpus.lowercase, self.corpus.normalize, 0, tuple(kept))

    def spelling(self) -> CharacterVocabulary:
        """The characters of the words as they are written."""
        found = {letter for form in self.written for letter in shortened(form)}
        return CharacterVocabulary((PADDING, UNKNOWN, *sorted(found)))


class LabelSurvey(FieldSurvey):
    """Collects labels.

    Args:
        field: the labels.
    """

    def __init__(self, field: Labels) -> None:
        self.scheme = field.scheme
        self.names: set[str] = set()

    def learn(self, value: Sequence[str]) -> None:
        self.names.update(value)

    def vocabulary(self) -> LabelVocabulary:
        return LabelVocabulary(self.scheme, tuple(sorted(self.names)))


class CategorySurvey(FieldSurvey):
    """Collects categories."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def learn(self, value: str) -> None:
        self.names.add(value)

    def vocabulary(self) -> CategoryVocabulary:
        return CategoryVocabulary(None, tuple(sorted(self.names)))


class ProbeSurvey(FieldSurvey):
    """Collects groups of probed steps, split by split: those of train and of validation are known."""

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {split: set() for split in SPLITS}

    def note(self, split: str, value: Sequence[tuple[int, str, str]]) -> None:
        """Look at one value of any split."""
        self.groups[split].update(group for _, group, _ in value)

    @property
    def known(self) -> set[str]:
        """The groups that are measured apart."""
        return self.groups["train"] | self.groups["validation"]

    def vocabulary(self) -> ProbeVocabulary:
        return ProbeVocabulary(tuple(_in_order(self.known)))


def _in_order(groups: set[str]) -> list[str]:
    """Numbers by their size, then names by the alphabet."""
    return sorted(groups, key=lambda group: (int(group) if group.isdigit() else 0, group))


class FrameSurvey(FieldSurvey):
    """Compares the widths of frames."""

    def __init__(self) -> None:
        self.width = 0

    def fault(self, value: Sequence[Sequence[float]]) -> str:
        self.width = self.width or len(value[0])
        return "" if len(value[0]) == self.width else f"steps of {len(value[0])} numbers, but of {self.width} before"

    def vocabulary(self) -> FrameVocabulary:
        return FrameVocabulary(self.width)


class PictureSurvey(FieldSurvey):
    """Compares the shapes of pictures."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()

    def fault(self, value: np.ndarray) -> str:
        self.shape = self.shape or value.shape
        return "" if value.shape == self.shape else f"a picture of {value.shape}, but of {self.shape} before"

    def vocabulary(self) -> PictureVocabulary:
        return PictureVocabulary(self.shape)


class PlainSurvey(FieldSurvey):
    """Of what is its own number, there is nothing to learn.

    Args:
        found: the vocabulary.
    """

    def __init__(self, found: Vocabulary) -> None:
        self.found = found

    def vocabulary(self) -> Vocabulary:
        return self.found


def survey_of(corpus: Corpus, field: Field) -> FieldSurvey:
    """What learns a field's vocabulary."""
    match field:
        case Symbols():
            return SymbolSurvey(corpus, field)
        case Labels():
            return LabelSurvey(field)
        case Category():
            return CategorySurvey()
        case Probe():
            return ProbeSurvey()
        case Frames():
            return FrameSurvey()
        case Picture():
            return PictureSurvey()
        case Number():
            return PlainSurvey(NumberVocabulary())
        case DocumentStart():
            return PlainSurvey(DocumentVocabulary())


def survey(corpus: Corpus) -> dict[str, FieldSurvey]:
    """Read a corpus once, and refuse what cannot be prepared.

    Raises:
        BadInput: a value is bad, a split is empty, or no step is marked for a probe.
    """
    corpus.reader.check(list(corpus.files.values()))
    found = {name: survey_of(corpus, field) for name, field in corpus.fields.items()}
    records = dict.fromkeys(SPLITS, 0)
    for split, record in corpus.records():
        records[split] += 1
        for name, part in found.items():
            if reason := part.fault(record[name]):
                raise BadInput(f"{corpus.file(split)}, {split} sequence {records[split]}: {reason}; correct the line.")
            if split == "train":
                part.learn(record[name])
            if isinstance(part, ProbeSurvey):
                part.note(split, record[name])
    for split in SPLITS:
        named = split in corpus.files or (corpus.cuts is not None and (split != "test" or sum(corpus.cuts) != 1))
        if named and not records[split]:
            raise BadInput(f"The {split} split is empty: {corpus.file(split)} has nothing for it; correct the file or "
                           "data.split.")  # fmt: skip
    for part in found.values():
        if isinstance(part, ProbeSurvey):
            _check_probe(corpus, part, [split for split in SPLITS if records[split]])
    return found


def _check_probe(corpus: Corpus, part: ProbeSurvey, splits: Sequence[str]) -> None:
    """Refuse marks that the test split alone has, and say where the held-out splits will have no figures of them."""
    if not part.known:
        raise BadInput(f"{corpus.file('train')}: neither train nor validation marks a step to be measured apart, and "
                       "groups that the test split alone has are not known; mark steps there too, or take the probe "
                       "away with ~data.reader.probe.")  # fmt: skip
    for split in splits:
        if split != "train" and not part.groups[split]:
            print(f"unroll: the {split} split ({corpus.file(split)}) marks no step to be measured apart; it will have "
                  "no figures of groups.", file=sys.stderr)  # fmt: skip
    if lost := part.groups["test"] - part.known:
        print(f"unroll: the groups {', '.join(_in_order(lost))} are in the test split ({corpus.file('test')}) alone; "
              "they are not measured apart.", file=sys.stderr)  # fmt: skip
