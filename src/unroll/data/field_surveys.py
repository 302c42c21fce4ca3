"""What is collected about each kind of field in the first pass over a corpus."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from unroll.data.corpus import SPLITS, Corpus, place_of
from unroll.data.fields import GAPS, NOT_GIVEN, Labels, Symbols
from unroll.data.spans import scheme_of
from unroll.data.subwords import Subwords, learn
from unroll.data.vocabulary import (
    END,
    PADDING,
    SPECIAL,
    UNKNOWN,
    CategoryVocabulary,
    CharacterVocabulary,
    FrameVocabulary,
    LabelVocabulary,
    NumberVocabulary,
    PictureVocabulary,
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
        self.corpus, self.name, self.unit, self.size = corpus, name, field.unit, field.size
        self.written: Counter[str] = Counter()  # raw forms in train
        self.judged: dict[str, Counter[str]] = defaultdict(Counter)  # raw forms in each other split
        self.sharing: list[SymbolSurvey] = [self]  # surveys whose fields have this vocabulary, too

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
        """Counts of normalised symbols in train, in all fields that share the vocabulary."""
        counts: Counter[str] = Counter()
        for symbol, count in (item for part in self.sharing for item in part.written.items()):
            counts[fold(symbol, self.corpus.lowercase, self.corpus.normalize)] += count
        return counts

    def vocabulary(self) -> SymbolVocabulary:
        if self.unit == "subwords":
            words = Counter({word: count for word, count in self.counts.items() if word != END})
            model = learn(words, self.size - SPECIAL)
            symbols = (PADDING, UNKNOWN, END, *Subwords(model).pieces)
            return SymbolVocabulary(self.unit, self.corpus.lowercase, False, 0, symbols, model)
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
