"""Prepared corpora: numbers on disk that are memory-mapped, so that a corpus may be larger than memory.

``fit/`` holds ``vocabulary.json`` and the folders ``train`` and ``validation``; ``test/`` the folder ``test``. A
split is ``tokens.npy`` (or ``vectors.npy``) with the start of each sequence in ``offsets.npy`` and, where the corpus
has them, ``labels.npy``, ``groups.npy``, ``contrasts.npy`` per token, ``targets.npy`` per sequence, or the place of the
first token of each document in ``documents.npy``. Words with labels
are spelled: ``forms.npy`` numbers the distinct forms of a split, as they are written, in the order in which they first
come, and ``form_characters.npy`` with ``form_offsets.npy`` spells each of them once. With pretrained vectors, ``fit/``
has ``vectors.npy``, a row per token, and ``coverage.json``. ``spec.json`` of both parts has the digest of every file.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from unroll.data.seal import check
from unroll.data.vectors import load_vectors
from unroll.data.vocabulary import Vocabulary
from unroll.errors import BadInput

PART = 1 << 20  # tokens that are counted at a time


class Spelling(NamedTuple):
    """Words as characters, each distinct form spelled once.

    Shapes:
        forms: [N] number of the form of each token, offsets: [F + 1], characters: all forms one after the other
    """

    forms: np.ndarray
    offsets: np.ndarray
    characters: np.ndarray

    @classmethod
    def of(cls, tokens: Sequence[str], vocabulary: Vocabulary) -> Spelling:
        """Words of raw text, at least one, spelled as those of a prepared corpus are."""
        numbers: dict[str, int] = {}
        forms = [numbers.setdefault(token, len(numbers)) for token in tokens]
        spelled = [vocabulary.encode_characters(form) for form in numbers]
        return cls(np.array(forms), np.cumsum([0, *map(len, spelled)]), np.concatenate(spelled))

    def rows(self, numbers: np.ndarray, padding_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Characters of some forms side by side, padded at their ends, with their lengths: [U] → [U, C], [U]."""
        starts = self.offsets[numbers]
        lengths = self.offsets[numbers + 1] - starts
        place = np.arange(lengths.max())[None]  # [1, C]
        real = place < lengths[:, None]  # [U, C]
        characters = np.where(real, self.characters[np.where(real, starts[:, None] + place, 0)], padding_index)
        return characters.astype(np.int64), lengths


@dataclass(frozen=True)
class Split:
    """One split, memory-mapped.

    Shapes:
        offsets: [S + 1]; tokens: [N] or vectors: [N, I]; labels, groups, contrasts: [N]; targets: [S]; documents: [D]
        first tokens, ascending
    """

    name: str
    offsets: np.ndarray
    tokens: np.ndarray | None
    vectors: np.ndarray | None
    labels: np.ndarray | None
    targets: np.ndarray | None
    groups: np.ndarray | None
    contrasts: np.ndarray | None
    documents: np.ndarray | None
    spelling: Spelling | None

    @property
    def steps(self) -> int:
        """Number of tokens, or of steps of real vectors."""
        return int(self.offsets[-1])

    @property
    def lengths(self) -> np.ndarray:
        """Length of every sequence: [S]."""
        return np.diff(self.offsets)

    def counts(self, vocabulary_size: int) -> np.ndarray:
        """How often each token comes: [V]. The split is read in parts, since it may be larger than memory."""
        assert self.tokens is not None
        total = np.zeros(vocabulary_size, np.int64)
        for begin in range(0, len(self.tokens), PART):
            total += np.bincount(self.tokens[begin : begin + PART], minlength=vocabulary_size)
        return total


def open_split(folder: Path) -> Split:
    """Map a split into memory, once its files are seen to be as they were written.

    Raises:
        BadInput: the folder is no prepared split, or a file was changed.
    """

    def array(name: str) -> np.ndarray | None:
        path = folder / f"{name}.npy"
        mapped: np.ndarray | None = np.load(path, mmap_mode="r") if path.exists() else None
        return mapped

    if not folder.is_dir():
        raise BadInput(f"{folder} is not a prepared split; run: unroll prepare experiment=…")
    check(folder.parent, folder.name)
    offsets = array("offsets")
    if offsets is None:
        raise BadInput(f"{folder} is not a prepared split; run: unroll prepare experiment=…")
    forms, form_offsets, characters = (array(name) for name in ("forms", "form_offsets", "form_characters"))
    spelling = None
    if forms is not None and form_offsets is not None and characters is not None:
        spelling = Spelling(forms, form_offsets, characters)
    return Split(
        folder.name, np.asarray(offsets), array("tokens"), array("vectors"), array("labels"), array("targets"),
        array("groups"), array("contrasts"), array("documents"), spelling,
    )  # fmt: skip


def open_vocabulary(folder: Path) -> Vocabulary:
    """The vocabulary of a prepared corpus.

    Args:
        folder: with ``fit/``.

    Raises:
        BadInput: the folder is not a prepared corpus, or the file was changed.
    """
    path = folder / "fit" / "vocabulary.json"
    if path.is_file():
        check(path.parent, path.name)
    return Vocabulary.load(path)


def open_vectors(folder: Path) -> np.ndarray:
    """The pretrained vectors of a prepared corpus: [V, E] float32, a row of NaN where their file had none.

    Args:
        folder: with ``fit/``.

    Raises:
        BadInput: there are none, or the file was changed.
    """
    if (folder / "fit" / "vectors.npy").exists():
        check(folder / "fit", "vectors.npy")
    return load_vectors(folder / "fit")
