"""A corpus as it is read: its files, and where they are cut into splits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from unroll.data.readers.base import Example
from unroll.data.vocabulary import END

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Corpus:
    """A corpus as it is read: files, where to cut them, and what becomes of a token.

    Args:
        read: reader of one file.
        files: file of each split; with ``cuts``, the one file of all of them under ``train``.
        cuts: where one file is cut, in file order: train and validation as shares (at most 1) or numbers of
            tokens, or of sequences of real vectors; the rest is test. None if each split has a file.
        unit: ``words``, ``characters`` or ``steps``.
        sentence_end: whether ``[EOS]`` follows each sequence.
        lowercase: whether words are folded to lower case.
        normalize: whether numerals become ``[NUM]`` and addresses ``[URL]``.
        min_count: how often the training split must have a token for it to be in the vocabulary.
        vectors: file of pretrained vectors, all of whose words are in the vocabulary too; None for none.
        scheme: ``bio`` if labels tell spans, else None.
    """

    read: Callable[[Path], Iterator[Example]]
    files: dict[str, Path]
    cuts: tuple[float, float] | None
    unit: str
    sentence_end: bool
    lowercase: bool
    normalize: bool
    min_count: int
    vectors: Path | None
    scheme: str | None

    def examples(self) -> Iterator[tuple[str, Example]]:
        """Every sequence with its split, in file order; a sequence that spans a cut is cut."""
        if self.cuts is None:
            for split in SPLITS:
                if split in self.files:
                    yield from ((split, self._ended(example)) for example in self.read(self.files[split]))
            return
        borders, position = self._borders(), 0
        for example in map(self._ended, self.read(self.files["train"])):
            start, end = position, position + self._size(example)
            for split, first, last in zip(SPLITS, [0, *borders], [*borders, end], strict=True):
                low, high = max(start, first) - start, min(end, last) - start
                if low < high:
                    yield split, _part(example, low, high)
            position = end

    def _borders(self) -> list[int]:
        assert self.cuts is not None
        first, second = self.cuts
        if first <= 1:
            total = sum(self._size(self._ended(example)) for example in self.read(self.files["train"]))
            # 0.29 · 100 is a little less than 29 in binary fractions, and must not lose one for it
            return [math.floor(round(share * total, 6)) for share in (first, first + second)]
        return [int(first), int(first + second)]

    def _size(self, example: Example) -> int:
        """What cuts count: tokens; whole sequences of real vectors, which cannot be cut."""
        return 1 if self.unit == "steps" else len(example.tokens)

    def _ended(self, example: Example) -> Example:
        ended = self.sentence_end and not example.vectors
        return example._replace(tokens=[*example.tokens, END]) if ended else example


def _part(example: Example, low: int, high: int) -> Example:
    """Tokens ``low`` to ``high`` of a sequence, with what belongs to them; real vectors are one whole."""
    if example.vectors:
        return example
    return example._replace(
        tokens=example.tokens[low:high],
        labels=None if example.labels is None else example.labels[low:high],
        probes=[(at - low, group, contrast) for at, group, contrast in example.probes if low <= at < high],
        opens=example.opens and low == 0,
    )
