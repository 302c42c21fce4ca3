"""What the numbers of a field mean, learned from the training split alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from unroll.data.batch import FieldSpec
from unroll.data.normalization import normalized

PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[EOS]"
PADDING_INDEX, UNKNOWN_INDEX = 0, 1
LONGEST = 32  # characters of a form that are read; of UD English EWT's forms, 1 in 150 has more, nearly all addresses


class Vocabulary(ABC):
    """What the numbers of one field mean."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def spec(self) -> FieldSpec:
        """The sizes that networks and tasks are built from."""

    def fault(self) -> str:
        """What no vocabulary of this kind has; empty if nothing is wrong."""
        return ""


@dataclass(frozen=True)
class SymbolVocabulary(Vocabulary):
    """The symbols of the training split, most frequent first, behind ``[PAD]``, ``[UNK]`` and ``[EOS]``.

    With pretrained vectors, the words that only their file has follow, in its order.

    Args:
        unit: what a symbol is: ``words`` or ``characters``.
        lowercase: whether words are folded to lower case before they are looked up.
        normalize: whether numerals and addresses are looked up as ``[NUM]`` and ``[URL]``.
        vector_size: width E of the pretrained vectors; 0 without them.
        symbols: every symbol in the order of its number, the special ones included.
    """

    kind: ClassVar[str] = "symbols"
    unit: str
    lowercase: bool
    normalize: bool
    vector_size: int
    symbols: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each symbol. A word that is spelled like the padding must not become it: it is unknown."""
        return {symbol: number for number, symbol in enumerate(self.symbols) if symbol != PADDING}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.symbols), unit=self.unit, vector_size=self.vector_size,
                         padding_index=PADDING_INDEX, unknown_index=UNKNOWN_INDEX)  # fmt: skip

    def fault(self) -> str:
        if self.unit not in ("words", "characters"):
            return f"its unit is {self.unit!r}"
        if self.symbols[:3] != (PADDING, UNKNOWN, END):
            return "its symbols do not begin with the special ones"
        return "its vector_size is negative" if self.vector_size < 0 else ""

    def encode(self, symbols: Sequence[str]) -> np.ndarray:
        """Numbers of ``symbols``; a string is read character by character. Unknown ones become ``[UNK]``.

        With pretrained vectors, a word that is not in the vocabulary is looked up in lower case too.
        """
        unknown = self.index[UNKNOWN]
        words: Iterable[str] = symbols
        if self.lowercase or self.normalize:
            words = (fold(symbol, self.lowercase, self.normalize) for symbol in symbols)
        if self.vector_size:
            words = (word if word in self.index else word.lower() for word in words)
        return np.fromiter((self.index.get(word, unknown) for word in words), np.int32, len(symbols))

    def split(self, line: str) -> list[str]:
        """Symbols of a line of raw text: characters, or words between blanks."""
        return list(line) if self.unit == "characters" else line.split()

    def join(self, numbers: Sequence[int]) -> str:
        """Text of ``numbers``; the end of a sentence is a line break."""
        words = ["\n" if self.symbols[n] == END else self.symbols[n] for n in numbers]
        if self.unit == "characters":
            return "".join(words)
        return " ".join(words).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")

    @property
    def start(self) -> int:
        """What stands before a text: the end of a sentence, or of a line of characters."""
        return self.index.get("\n", self.index[END])


@dataclass(frozen=True)
class CharacterVocabulary(Vocabulary):
    """The characters that spell the words of the training split, behind ``[PAD]`` and ``[UNK]``.

    Args:
        characters: every character in the order of its number, the special ones included.
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

    def encode(self, form: str) -> np.ndarray:
        """Numbers of the characters of a word as it is written, neither folded nor normalised: [1 … 32]."""
        unknown, read = self.index[UNKNOWN], shortened(form)
        return np.fromiter((self.index.get(character, unknown) for character in read), np.int32, len(read))


@dataclass(frozen=True)
class LabelVocabulary(Vocabulary):
    """The labels of the training split.

    Args:
        scheme: ``bio`` if labels mark spans; else None.
        names: every label in the order of its number.
    """

    kind: ClassVar[str] = "labels"
    scheme: str | None
    names: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each label."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.names), self.names, scheme=self.scheme, padding_index=-1)

    def encode(self, labels: Sequence[str]) -> np.ndarray:
        """Numbers of labels. One that train does not have is −1: it counts as an error, and is left out of the loss."""
        return np.fromiter((self.index.get(label, -1) for label in labels), np.int32, len(labels))


@dataclass(frozen=True)
class CategoryVocabulary(LabelVocabulary):
    """The categories of the training split's records."""

    kind: ClassVar[str] = "category"


@dataclass(frozen=True)
class ProbeVocabulary(Vocabulary):
    """The groups of steps that are measured apart.

    Args:
        names: every group in the order of its number.
    """

    kind: ClassVar[str] = "probe"
    names: tuple[str, ...]

    @cached_property
    def index(self) -> dict[str, int]:
        """Number of each group."""
        return {name: number for number, name in enumerate(self.names)}

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(len(self.names), self.names)


@dataclass(frozen=True)
class FrameVocabulary(Vocabulary):
    """Real vectors, which are their own numbers.

    Args:
        width: of a vector.
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
    """Images, whose bytes are their own numbers.

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
    """Real numbers, which are their own."""

    kind: ClassVar[str] = "number"

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(1)


@dataclass(frozen=True)
class DocumentVocabulary(Vocabulary):
    """Whether a document begins: 0 or 1."""

    kind: ClassVar[str] = "document_start"

    @property
    def spec(self) -> FieldSpec:
        return FieldSpec(2)


def ranked(counts: Counter[str], min_count: int) -> list[str]:
    """The special symbols, then what occurs at least ``min_count`` times; ties are broken by the alphabet."""
    special = [PADDING, UNKNOWN, END]
    kept = (symbol for symbol, count in counts.items() if count >= min_count and symbol not in special)
    return special + sorted(kept, key=lambda symbol: (-counts[symbol], symbol))


def fold(symbol: str, lowercase: bool, normalize: bool) -> str:
    """The symbol that a word is looked up as: that of its class, or its lower case, or itself."""
    # symbol by symbol, since the lower case of one character, such as İ, may be two
    word = symbol.lower() if lowercase and symbol != END else symbol
    return normalized(word) if normalize else word


def shortened(form: str) -> str:
    """The characters of a word that are read: of a longer one than 32 the first and the last 16.

    Long addresses would pad every other word of a batch; prefix and suffix say more of a word than its middle.
    """
    return form if len(form) <= LONGEST else form[: LONGEST // 2] + form[-LONGEST // 2 :]
