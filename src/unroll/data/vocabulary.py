"""Tokens and labels as numbers, built from the training split alone."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from unroll.data.batch import DataSpec
from unroll.errors import BadInput

PADDING, UNKNOWN, END = "<pad>", "<unk>", "<eos>"


class Vocabulary:
    """The tokens of the training split, most frequent first, behind ``<pad>``, ``<unk>`` and ``<eos>``.

    Args:
        tokens: every token in the order of its number, the special ones included; empty for real vectors.
        labels: every label in the order of its number; empty where tokens carry none.
        groups: names of the probed groups, in the order of their numbers.
        unit: ``words``, ``characters`` or ``steps``.
        input_size: width of a step of real vectors; 0 for tokens.
        lowercase: whether words are folded to lower case before they are looked up.
    """

    def __init__(
        self,
        tokens: Sequence[str],
        labels: Sequence[str],
        groups: Sequence[str],
        unit: str,
        input_size: int,
        lowercase: bool,
    ) -> None:
        self.tokens, self.labels, self.groups = list(tokens), list(labels), list(groups)
        self.unit, self.input_size, self.lowercase = unit, input_size, lowercase
        self.index = {token: number for number, token in enumerate(self.tokens)}
        self.label_index = {label: number for number, label in enumerate(self.labels)}
        self.group_index = {group: number for number, group in enumerate(self.groups)}

    @classmethod
    def from_counts(
        cls, counts: Counter[str], labels: Sequence[str], groups: Sequence[str], unit: str, lowercase: bool,
        min_count: int,
    ) -> Vocabulary:  # fmt: skip
        """Keep what occurs at least ``min_count`` times; ties are broken by the alphabet."""
        special = [PADDING, UNKNOWN, END]
        kept = sorted((token for token, count in counts.items() if count >= min_count and token not in special),
                      key=lambda token: (-counts[token], token))  # fmt: skip
        return cls(special + kept, labels, groups, unit, 0, lowercase)

    @property
    def spec(self) -> DataSpec:
        """The sizes that networks and tasks are built from."""
        return DataSpec(len(self.tokens), len(self.labels), self.input_size, 0, 1, tuple(self.groups), self.unit)

    def encode(self, tokens: Sequence[str]) -> np.ndarray:
        """Numbers of ``tokens``; a string is read character by character. Unknown ones become ``<unk>``."""
        unknown = self.index[UNKNOWN]
        # token by token, since the lower case of one character, such as İ, may be two
        folded = (token.lower() for token in tokens) if self.lowercase else tokens
        return np.fromiter((self.index.get(token, unknown) for token in folded), np.int32, len(tokens))

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
            "labels": self.labels, "groups": self.groups, "tokens": self.tokens,
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
            return cls(**content)
        except FileNotFoundError:
            raise BadInput(f"{path} is missing; prepare the data or train the run again.") from None
        except (ValueError, TypeError, UnicodeDecodeError) as error:
            raise BadInput(f"{path} is not a vocabulary ({error}); train the run again.") from None
