"""What is collected about each kind of field in the first pass over a corpus."""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from unroll.data.corpus import SPLITS, Corpus, place_of
from unroll.data.fields import GAPS, NOT_GIVEN, Labels, References, Symbols
from unroll.data.scoring import GroupVocabulary, ReferenceVocabulary
from unroll.data.spans import scheme_of
from unroll.data.units import joined
from unroll.data.vocabulary import (
    END,
    PADDING,
    UNKNOWN,
    CategoryVocabulary,
    CharacterVocabulary,
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
from unroll.terminal import say


class FieldSurvey(ABC):
    """Collects the vocabulary of one field in the first pass, without the test split."""

    def learn(self, value: Any) -> None:  # noqa: B027  # some fields have nothing to learn
        """Process one value of the training split."""

    def fault(self, value: Any) -> str:  # noqa: ARG002  # most kinds of values need no check
        """The error in one value of any split; empty if there is none."""
        return ""

    def note(self, split: str, value: Any) -> None:  # noqa: B027  # likewise
        """Process one value of any split."""

    def conclude(self, corpus: Corpus, splits: Sequence[str]) -> None:  # noqa: B027  # likewise
        """Check and report what only a whole corpus shows.

        Raises:
            BadInput: it cannot be used.
        """

    @abstractmethod
    def vocabulary(self) -> Vocabulary:
        """The vocabulary that was collected."""


class SymbolSurvey(FieldSurvey):
    """Counts symbols.

    Args:
        corpus: the corpus, with its normalisation and minimum count.
        name: name of the field.
        field: the field.
    """

    def __init__(self, corpus: Corpus, name: str, field: Symbols) -> None:
        self.corpus, self.name, self.unit = corpus, name, field.unit
        self.written: Counter[str] = Counter()  # raw forms in train
        self.judged: dict[str, Counter[str]] = defaultdict(Counter)  # raw forms in each other split

    def learn(self, value: Sequence[str]) -> None:
        self.written.update(value)

    def note(self, split: str, value: Sequence[str]) -> None:
        if split != "train":
            self.judged[split].update(value)

    def fault(self, value: Sequence[str]) -> str:
        return "a word has no characters" if self.unit == "words" and not all(value) else ""

    def conclude(self, corpus: Corpus, splits: Sequence[str]) -> None:
        for split in splits:
            counts = self.judged.get(split, self.written)
            withheld = counts[NOT_GIVEN]
            total = counts.total() - counts[END]
            if self.unit == "words" and 2 * withheld > total:
                raise BadInput(
                    f"{place_of(corpus, split, self.name, [NOT_GIVEN])}: the words of the {split} split are not given "
                    f"({withheld:,} of {total:,} are {NOT_GIVEN}), as in treebanks whose texts "
                    "are not free; merge the texts into the file as its README describes, or choose another column."
                )

    @property
    def counts(self) -> Counter[str]:
        """Counts of normalised symbols in train."""
        counts: Counter[str] = Counter()
        for symbol, count in self.written.items():
            counts[fold(symbol, self.corpus.lowercase, self.corpus.normalize)] += count
        return counts

    def vocabulary(self) -> SymbolVocabulary:
        kept = ranked(self.counts, self.corpus.min_count)
        return SymbolVocabulary(self.unit, self.corpus.lowercase, self.corpus.normalize, 0, tuple(kept))

    def spelling(self) -> CharacterVocabulary:
        """The vocabulary of the characters of raw words."""
        found = {letter for form in self.written for letter in shortened(form)}
        return CharacterVocabulary((PADDING, UNKNOWN, *sorted(found)))


class LabelSurvey(FieldSurvey):
    """Collects labels.

    Args:
        field: the labels.
    """

    def __init__(self, field: Labels) -> None:
        self.scheme, self.has_gaps = field.scheme, field.has_gaps
        self.names: dict[str, set[str]] = {split: set() for split in SPLITS}

    def note(self, split: str, value: Sequence[str]) -> None:
        self.names[split].update(value)

    @property
    def known(self) -> set[str]:
        """The labels of train that are given."""
        names = self.names["train"] - {""}
        return names - {NOT_GIVEN} if self.has_gaps or names == {NOT_GIVEN} else names

    def vocabulary(self) -> LabelVocabulary:
        return LabelVocabulary(self.scheme, tuple(sorted(self.known)))

    def conclude(self, corpus: Corpus, splits: Sequence[str]) -> None:
        if self.scheme is None and hasattr(corpus.reader, "scheme") and (scheme := scheme_of(self.known)):
            say(f"unroll: the labels of {corpus.file('train')} are in the scheme {scheme.upper()}; "
                f"data.reader.scheme={scheme} measures spans, too.")  # fmt: skip
        if "test" in splits and self.known and not self.names["test"] & self.known:
            what = "is given" if self.names["test"] <= {*GAPS} else "occurs in train"
            say(f"unroll: no label of the test split ({corpus.file('test')}) {what}, so runs that predict labels are "
                "evaluated on validation.")  # fmt: skip


class CategorySurvey(FieldSurvey):
    """Collects categories."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def learn(self, value: str) -> None:
        self.names.add(value)

    def vocabulary(self) -> CategoryVocabulary:
        return CategoryVocabulary(None, tuple(sorted(self.names)))


class ProbeSurvey(FieldSurvey):
    """Collects groups of probed steps in each split; those of train and validation are known."""

    def __init__(self) -> None:
        self.groups: dict[str, set[str]] = {split: set() for split in SPLITS}

    def note(self, split: str, value: Sequence[tuple[int, str, str]]) -> None:
        self.groups[split].update(group for _, group, _ in value)

    @property
    def known(self) -> set[str]:
        """The groups that are measured."""
        return self.groups["train"] | self.groups["validation"]

    def vocabulary(self) -> ProbeVocabulary:
        return ProbeVocabulary(tuple(_in_order(self.known)))

    def conclude(self, corpus: Corpus, splits: Sequence[str]) -> None:
        if not self.known:
            raise BadInput(
                f"{corpus.file('train')}: neither train nor validation has probed steps, and groups that occur only in "
                "the test split are unknown; mark steps there, too, or remove the probe with ~data.reader.probe."
            )
        for split in splits:
            if split != "train" and not self.groups[split]:
                say(f"unroll: the {split} split ({corpus.file(split)}) has no probed steps, so there are no figures "
                    "of groups.")  # fmt: skip
        if lost := self.groups["test"] - self.known:
            say(f"unroll: the groups {', '.join(_in_order(lost))} occur only in the test split "
                f"({corpus.file('test')}); they are not measured.")  # fmt: skip


def _in_order(groups: set[str]) -> list[str]:
    """Sort numbers by value, then names alphabetically."""
    return sorted(groups, key=lambda group: (int(group) if group.isdigit() else 0, group))


class ReferenceSurvey(FieldSurvey):
    """Checks that right answers can be stored one per line.

    Args:
        field: the references.
    """

    def __init__(self, field: References) -> None:
        self.written = field.written

    def fault(self, value: Sequence[Sequence[str]]) -> str:
        has_break = any("\n" in joined(answer, self.written) for answer in value)
        return "a right answer has a line break" if has_break else ""

    def vocabulary(self) -> ReferenceVocabulary:
        return ReferenceVocabulary()


class GroupSurvey(FieldSurvey):
    """Collects the groups of records; those of all splits, since no network reads them."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def note(self, split: str, value: Sequence[str]) -> None:  # noqa: ARG002  # groups of all splits are alike
        self.names.update(value)

    def vocabulary(self) -> GroupVocabulary:
        return GroupVocabulary(tuple(sorted(self.names - {""}, key=_first_number)))


def _first_number(group: str) -> tuple[float, str]:
    """Sort key: the first number in a name, such as 7 of 7-9; names without one come last."""
    found = re.search(r"\d+", group)
    return (int(found[0]) if found else math.inf, group)


class FrameSurvey(FieldSurvey):
    """Checks the width of frames, and that single precision can hold them."""

    def __init__(self) -> None:
        self.width = 0

    def fault(self, value: Sequence[Sequence[float]]) -> str:
        self.width = self.width or len(value[0])
        if len(value[0]) != self.width:
            return f"steps of {len(value[0])} numbers after steps of {self.width}"
        return _overflow(value)

    def vocabulary(self) -> FrameVocabulary:
        return FrameVocabulary(self.width)


class PictureSurvey(FieldSurvey):
    """Checks the shape of pictures."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = ()

    def fault(self, value: np.ndarray) -> str:
        self.shape = self.shape or value.shape
        return "" if value.shape == self.shape else f"a picture of shape {value.shape} after pictures of {self.shape}"

    def vocabulary(self) -> PictureVocabulary:
        return PictureVocabulary(self.shape)


class NumberSurvey(FieldSurvey):
    """Checks that single precision can hold numbers."""

    def fault(self, value: float) -> str:
        return _overflow(value)

    def vocabulary(self) -> NumberVocabulary:
        return NumberVocabulary()


def _overflow(value: float | Sequence[Sequence[float]]) -> str:
    """The error if a number is not finite in single precision; otherwise empty."""
    with np.errstate(over="ignore"):
        is_finite = np.isfinite(np.asarray(value, np.float32)).all()
    return "" if is_finite else "a number is not finite in single precision"


class PlainSurvey(FieldSurvey):
    """For fields without a vocabulary to learn.

    Args:
        found: the fixed vocabulary.
    """

    def __init__(self, found: Vocabulary) -> None:
        self.found = found

    def vocabulary(self) -> Vocabulary:
        return self.found
