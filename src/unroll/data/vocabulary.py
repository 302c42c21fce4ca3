"""Vocabularies, which are learned from the training split only."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise, repeat
from typing import ClassVar

import numpy as np

from unroll.data.batch import FieldSpec
from unroll.data.fields import GAPS
from unroll.data.normalization import normalized
from unroll.data.subwords import Subwords, text_of
from unroll.data.units import split
from unroll.errors import BadInput

PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[EOS]"
PADDING_INDEX, UNKNOWN_INDEX, END_INDEX = 0, 1, 2
SPECIAL = 3  # number of special symbols, which come first
GAP_INDEX = -2  # of a label that is not given, which no figure counts; one that is unknown is -1
LONGEST = 32  # maximum length of a form; in UD English EWT, 1 form in 150 is longer, nearly all of them addresses


class Vocabulary(ABC):
    """The vocabulary of a field, which maps its numbers to values."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def spec(self) -> FieldSpec:
        """Sizes from which networks and tasks are built."""

    def fault(self) -> str:
        """The error if the vocabulary is invalid; otherwise empty."""
        return ""


@dataclass(frozen=True)
class SymbolVocabulary(Vocabulary):
    """The symbols of the training split, most frequent first, after ``[PAD]``, ``[UNK]`` and ``[EOS]``.

    With pretrained vectors, they are followed by further words of the file of vectors, in its order.

    Args:
        unit: ``words``, ``characters`` or ``subwords``.
        lowercase: whether words are converted to lower case before lookup.
        normalize: whether numerals and addresses are looked up as ``[NUM]`` and ``[URL]``.
        vector_size: size E of pretrained vectors; 0 without vectors.
        symbols: all symbols by number, including special ones.
        model: JSON of the model of subwords, whose pieces follow the special symbols; empty for other units.
    """

    kind: ClassVar[str] = "symbols"
    unit: str
    lowercase: bool
    normalize: bool
    vector_size: int
    symbols: tuple[str, ...]
    model: str = ""

    @cached_property
    def subwords(self) -> Subwords:
        """The model of subwords.

        Raises:
            BadInput: it cannot be used, or does not belong to these symbols.
        """
        found = Subwords(self.model)
        if (PADDING, UNKNOWN, END, *found.pieces) != self.symbols:
            raise BadInput("A model of subwords does not belong to its vocabulary; train the run again.")
        return found

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each symbol, except padding: a word spelled like it is unknown."""
        return {symbol: number for number, symbol in enumerate(self.symbols) if symbol != PADDING}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.symbols), self.symbols, self.unit, self.vector_size, lowercase=self.lowercase,
                         padding_index=PADDING_INDEX, unknown_index=UNKNOWN_INDEX)  # fmt: skip

    def fault(self) -> str:
        if self.unit not in ("words", "characters", "subwords") or (self.unit == "subwords") != bool(self.model):
            return f"its unit is {self.unit!r}{', and it has a model of subwords' if self.model else ''}"
        if self.symbols[:3] != (PADDING, UNKNOWN, END):
            return "its symbols do not begin with the special ones"
        return "its vector_size is negative" if self.vector_size < 0 else ""

    def encode(self, symbols: Sequence[str]) -> np.ndarray:
        """Convert symbols, or the characters of a string, to numbers; unknown ones become ``[UNK]``.

        With pretrained vectors, a word outside the vocabulary is also looked up in lower case.
        """
        unknown = self.index[UNKNOWN]
        words, index = symbols, self.index
        if self.lowercase or self.normalize:
            words = [fold(symbol, self.lowercase, self.normalize) for symbol in symbols]
        if self.model:
            has_end = len(words) > 0 and words[-1] == END
            pieces = self.subwords.encode(words[:-1] if has_end else words)
            return np.array([*(SPECIAL + piece for piece in pieces), *([index[END]] if has_end else [])], np.int32)
        if self.vector_size:
            words = [word if word in index else word.lower() for word in words]
        return np.fromiter(map(index.get, words, repeat(unknown)), np.int32, len(words))

    def split(self, line: str) -> list[str]:
        """Split a line of raw text into characters, into words at spaces, or into what subwords are parts of."""
        if self.model:
            return list(split(line, self.unit))
        return list(line) if self.unit == "characters" else line.split()

    def join(self, numbers: Sequence[int]) -> str:
        """Convert numbers to text; the end of a sentence becomes a line break."""
        if self.model:
            ends = [at for at, number in enumerate(numbers) if number == self.index[END]]
            parts = [numbers[begin:end] for begin, end in pairwise([0, *(at + 1 for at in ends), len(numbers) + 1])]
            return "\n".join(self._text(part) for part in parts)
        words = ["\n" if self.symbols[n] == END else self.symbols[n] for n in numbers]
        if self.unit == "characters":
            return "".join(words)
        return " ".join(words).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")

    def _text(self, numbers: Sequence[int]) -> str:
        """The text of subwords, without special symbols."""
        return text_of(self.symbols[number] for number in numbers if number >= SPECIAL)

    @property
    def start(self) -> int:
        """The symbol before a text: the end of a sentence, or of a line of characters."""
        return self.index.get("\n", self.index[END])


@dataclass(frozen=True)
class CharacterVocabulary(Vocabulary):
    """The characters of the words of the training split, after ``[PAD]`` and ``[UNK]``.

    Args:
        characters: all characters by number, including special ones.
    """

    kind: ClassVar[str] = "spelling"
    characters: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each character."""
        return {character: number for number, character in enumerate(self.characters)}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.characters), padding_index=PADDING_INDEX, unknown_index=UNKNOWN_INDEX)

    def fault(self) -> str:
        return "" if self.characters[:2] == (PADDING, UNKNOWN) else "its characters do not begin with the special ones"

    def encode(self, text: str) -> np.ndarray:
        """Convert the characters of raw words, without normalisation, to numbers."""
        unknown, index = self.index[UNKNOWN], self.index
        return np.fromiter(map(index.get, text, repeat(unknown)), np.int32, len(text))


@dataclass(frozen=True)
class LabelVocabulary(Vocabulary):
    """The labels of the training split.

    Args:
        scheme: ``bio`` if labels mark spans; otherwise None.
        names: all labels by number.
    """

    kind: ClassVar[str] = "labels"
    scheme: str | None
    names: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each label, and of one that is not given."""
        return dict.fromkeys(GAPS, GAP_INDEX) | {name: number for number, name in enumerate(self.names)}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.names), self.names, scheme=self.scheme, padding_index=-1)

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """Convert labels to numbers.

        Unknown labels become −1: they count as errors, and are excluded from the loss. An empty label, and ``_`` unless
        it is a label of train, is not given: it becomes −2, and is excluded from all figures.
        """
        return np.fromiter((self.index.get(label, -1) for label in labels), np.int32, len(labels))


@dataclass(frozen=True)
class CategoryVocabulary(LabelVocabulary):
    """The categories of the records of the training split."""

    kind: ClassVar[str] = "category"


@dataclass(frozen=True)
class FrameVocabulary(Vocabulary):
    """Real vectors, which are stored as they are.

    Args:
        width: size of a vector.
    """

    kind: ClassVar[str] = "frames"
    width: int

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(self.width)

    def fault(self) -> str:
        return "" if self.width > 0 else f"its width is {self.width}"


@dataclass(frozen=True)
class PictureVocabulary(Vocabulary):
    """Images, whose bytes are stored as they are.

    Args:
        shape: C × H × W.
    """

    kind: ClassVar[str] = "picture"
    shape: tuple[int, ...]

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(self.shape[0], shape=self.shape)

    def fault(self) -> str:
        return "" if len(self.shape) == 3 and min(self.shape) > 0 else f"its shape is {self.shape}"


@dataclass(frozen=True)
class NumberVocabulary(Vocabulary):
    """Real numbers, which are stored as they are."""

    kind: ClassVar[str] = "number"

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(1)


@dataclass(frozen=True)
class DocumentVocabulary(Vocabulary):
    """Whether a document starts: 0 or 1."""

    kind: ClassVar[str] = "document_start"

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(2)


def ranked(counts: Counter[str], min_count: int) -> list[str]:
    """The special symbols, then symbols with at least ``min_count`` occurrences by frequency; ties alphabetically."""
    special = [PADDING, UNKNOWN, END]
    kept = (symbol for symbol, count in counts.items() if count >= min_count and symbol not in special)
    return special + sorted(kept, key=lambda symbol: (-counts[symbol], symbol))


def fold(symbol: str, lowercase: bool, normalize: bool) -> str:
    """Normalise a word for lookup: to its class, its lower case or itself."""
    # symbol by symbol, since the lower case of a single character, such as İ, may be two characters
    word = symbol.lower() if lowercase and symbol != END else symbol
    return normalized(word) if normalize else word


def shortened(form: str) -> str:
    """Shorten a word of more than 32 characters to its first and last 16.

    Long addresses would require padding of all other words in a batch; prefix and suffix are more informative than the
    middle.
    """
    return form if len(form) <= LONGEST else form[: LONGEST // 2] + form[-LONGEST // 2 :]
