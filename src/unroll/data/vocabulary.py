"""Tokens, characters and labels as numbers, built from the training split alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unroll.data.batch import DataSpec
from unroll.data.normalization import normalized
from unroll.errors import BadInput

PADDING, UNKNOWN, END = "[PAD]", "[UNK]", "[EOS]"
LONGEST = 32  # characters of a form that are read; of UD English EWT's forms, 1 in 150 has more, nearly all addresses


class Vocabulary:
    """The tokens of the training split, most frequent first, behind ``[PAD]``, ``[UNK]`` and ``[EOS]``.

    With pretrained vectors, the words that only their file has follow, in its order.

    Args:
        tokens: every token in the order of its number, the special ones included; empty for real vectors.
        labels: every label in the order of its number; empty where tokens carry none.
        groups: names of the probed groups, in the order of their numbers.
        unit: ``words``, ``characters`` or ``steps``.
        input_size: width of a step of real vectors; 0 for tokens.
        lowercase: whether words are folded to lower case before they are looked up.
        normalize: whether numerals and addresses are looked up as ``[NUM]`` and ``[URL]``.
        characters: every character that spells words, behind ``[PAD]`` and ``[UNK]``; empty if words are not spelled.
        scheme: ``bio`` if labels tell spans, else None.
        vector_size: width E of the pretrained vectors; 0 without them.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        labels: Sequence[str],
        groups: Sequence[str],
        unit: str,
        input_size: int,
        lowercase: bool,
        normalize: bool,
        characters: Sequence[str],
        scheme: str | None,
        vector_size: int,
    ) -> None:
        self.tokens, self.labels, self.groups = list(tokens), list(labels), list(groups)
        self.unit, self.input_size, self.lowercase, self.normalize = unit, input_size, lowercase, normalize
        self.characters, self.scheme, self.vector_size = list(characters), scheme, vector_size
        # A word of the text that is spelled like the padding must not become it: it is unknown.
        self.index = {token: number for number, token in enumerate(self.tokens) if token != PADDING}
        self.label_index = {label: number for number, label in enumerate(self.labels)}
        self.group_index = {group: number for number, group in enumerate(self.groups)}
        self.character_index = {character: number for number, character in enumerate(self.characters)}

    @property
    def spec(self) -> DataSpec:
        """The sizes that networks and tasks are built from."""
        return DataSpec(
            len(self.tokens), tuple(self.labels), self.input_size, 0, 1, tuple(self.groups), self.unit,
            len(self.characters), self.vector_size, self.scheme,
        )  # fmt: skip

    def encode(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of ``tokens``; a string is read character by character. Unknown ones become ``[UNK]``.

        With pretrained vectors, a word that is not in the vocabulary is looked up in lower case too.
        """
        unknown = self.index[UNKNOWN]
        words: Iterable[str] = tokens
        if self.lowercase or self.normalize:
            words = (fold(token, self.lowercase, self.normalize) for token in tokens)
        if self.vector_size:
            words = (word if word in self.index else word.lower() for word in words)
        return np.fromiter((self.index.get(word, unknown) for word in words), np.int32, len(tokens))

    def encode_characters(self, form: str) -> np.ndarray:
        """Numbers of the characters of a word as it is written, neither folded nor normalised: [1 … 32]."""
        unknown, read = self.character_index[UNKNOWN], shortened(form)
        return np.fromiter((self.character_index.get(character, unknown) for character in read), np.int32, len(read))

    def split(self, line: str) -> list[str]:
        """Tokens of a line of raw text: characters, or words between blanks."""
        return list(line) if self.unit == "characters" else line.split()

    def join(self, numbers: Sequence[int]) -> str:
        """Text of ``numbers``; the end of a sentence is a line break."""
        words = ["\n" if self.tokens[n] == END else self.tokens[n] for n in numbers]
        if self.unit == "characters":
            return "".join(words)
        return " ".join(words).replace(" \n ", "\n").replace(" \n", "\n").replace("\n ", "\n")

    @property
    def start(self) -> int:
        """What stands before a text: the end of a sentence, or of a line of characters."""
        return self.index.get("\n", self.index[END])

    @property
    def digest(self) -> str:
        """SHA-256 of the content, by which a model knows its own vocabulary."""
        return hashlib.sha256(self.dumps().encode()).hexdigest()

    def dumps(self) -> str:
        """JSON text, the same for the same content."""
        content = {
            "unit": self.unit, "input_size": self.input_size, "lowercase": self.lowercase,
            "normalize": self.normalize, "scheme": self.scheme, "vector_size": self.vector_size,
            "labels": self.labels, "groups": self.groups, "characters": self.characters, "tokens": self.tokens,
        }  # fmt: skip
        return json.dumps(content, ensure_ascii=False, indent=0) + "\n"

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        """Read ``vocabulary.json``.

        Raises:
            BadInput: the file is missing or is not a vocabulary.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            _check(content)
            return cls(**content)
        except (FileNotFoundError, NotADirectoryError):
            raise BadInput(
                f"{path} is missing: that is no prepared corpus; write one with unroll prepare --out FOLDER."
            ) from None
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise BadInput(f"{path} is not a vocabulary ({error}); train the run again.") from None


def _check(content: dict[str, Any]) -> None:
    """Refuse what no vocabulary has.

    Raises:
        TypeError, KeyError: something is of another kind, or missing.
        ValueError: an entry comes twice, or an entry that all vocabularies have is missing.
    """
    for name in ("tokens", "labels", "groups", "characters"):
        entries = content[name]
        if not isinstance(entries, list) or not all(isinstance(entry, str) for entry in entries):
            raise TypeError(f"its {name} are not texts")
        if len(set(entries)) < len(entries):
            raise ValueError(f"of its {name} one comes twice")
    for name in ("input_size", "vector_size"):
        if type(content[name]) is not int or content[name] < 0:
            raise TypeError(f"its {name} is {content[name]!r}")
    if content["unit"] not in ("words", "characters", "steps"):
        raise ValueError(f"its unit is {content['unit']!r}")
    if content["tokens"] and content["tokens"][:3] != [PADDING, UNKNOWN, END]:
        raise ValueError("its tokens do not begin with the special ones")
    if bool(content["tokens"]) == (content["unit"] == "steps"):
        raise ValueError("it has no tokens, or has some though its unit is steps")


def ranked(counts: Counter[str], min_count: int) -> list[str]:
    """The special tokens, then what occurs at least ``min_count`` times; ties are broken by the alphabet."""
    special = [PADDING, UNKNOWN, END]
    kept = (token for token, count in counts.items() if count >= min_count and token not in special)
    return special + sorted(kept, key=lambda token: (-counts[token], token))


def fold(token: str, lowercase: bool, normalize: bool) -> str:
    """The token that a word is looked up as: that of its class, or its lower case, or itself."""
    # token by token, since the lower case of one character, such as İ, may be two
    word = token.lower() if lowercase and token != END else token
    return normalized(word) if normalize else word


def shortened(form: str) -> str:
    """The characters of a word that are read: of a longer one than 32 the first and the last 16.

    Long addresses would pad every other word of a batch; prefix and suffix tell more of a word than its middle.
    """
    return form if len(form) <= LONGEST else form[: LONGEST // 2] + form[-LONGEST // 2 :]
