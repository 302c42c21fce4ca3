"""Prepared corpora: numbers on disk that are memory-mapped, so that a corpus may be larger than memory.

``fit/`` holds ``vocabulary.json`` and the folders ``train`` and ``validation``; ``test/`` the folder ``test``. A split
has a folder per field, with ``values.npy``: a row per step, and the start of each sequence in ``offsets.npy``; a row
per step of another field, whose offsets it shares (labels, probes, spelling); or a row per record. A probe has
``contrasts.npy`` beside the groups. Words with labels are spelled: ``spelling/values.npy`` numbers the distinct forms
of a split, as they are written, in the order in which they first come, and ``characters.npy`` with
``form_offsets.npy`` spells each of them once. With pretrained vectors, ``fit/`` has ``vectors.npy``, a row per symbol,
and ``coverage.json``. ``spec.json`` of both parts has the kinds of the fields, the settings that they
were prepared with, and the digest of every file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from unroll.data.seal import check
from unroll.data.vectors import load_vectors
from unroll.data.vocabularies import Vocabularies
from unroll.errors import BadInput

PART = 1 << 20  # symbols that are counted at a time


@dataclass(frozen=True)
class Column:
    """One field of a split.

    Shapes:
        values: [N, …] a row per step, or [S, …] a row per record
        offsets: [S + 1] where each sequence begins; None where a record has one value
    """

    values: np.ndarray
    offsets: np.ndarray | None

    @property
    def lengths(self) -> np.ndarray:
        """Length of every sequence: [S]."""
        assert self.offsets is not None
        return np.diff(self.offsets)

    @property
    def begins(self) -> np.ndarray:
        """Where every sequence begins: [S]."""
        assert self.offsets is not None
        return self.offsets[:-1]

    @property
    def steps(self) -> int:
        """Steps of all sequences."""
        assert self.offsets is not None
        return int(self.offsets[-1])

    def counts(self, size: int) -> np.ndarray:
        """How often each symbol comes: [V]. The split is read in parts, since it may be larger than memory."""
        total = np.zeros(size, np.int64)
        for begin in range(0, len(self.values), PART):
            total += np.bincount(self.values[begin : begin + PART], minlength=size)
        return total


@dataclass(frozen=True)
class ProbeColumn(Column):
    """The groups of probed steps, −1 elsewhere, and the symbols that their targets must beat.

    Shapes:
        contrasts: [N]
    """

    contrasts: np.ndarray


@dataclass(frozen=True)
class SpellingColumn(Column):
    """The number of each word's form, and every distinct form spelled once.

    Shapes:
        form_offsets: [F + 1], characters: all forms one after the other
    """

    form_offsets: np.ndarray
    characters: np.ndarray

    def rows(self, numbers: np.ndarray, padding_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Characters of some forms side by side, padded at their ends, with their lengths: [U] → [U, C], [U]."""
        starts = self.form_offsets[numbers]
        lengths = self.form_offsets[numbers + 1] - starts
        place = np.arange(lengths.max())[None]  # [1, C]
        real = place < lengths[:, None]  # [U, C]
        characters = np.where(real, self.characters[np.where(real, starts[:, None] + place, 0)], padding_index)
        return characters.astype(np.int64), lengths


@dataclass(frozen=True)
class Split:
    """One split, memory-mapped or in memory, field by field."""

    name: str
    fields: Mapping[str, Column]

    def __getitem__(self, field: str) -> Column:
        return self.fields[field]

    @property
    def count(self) -> int:
        """Number of records."""
        first = next(iter(self.fields.values()))
        return len(first.values) if first.offsets is None else len(first.lengths)

    @property
    def probe(self) -> ProbeColumn | None:
        """Steps measured apart; None where the corpus has no probe."""
        found = self.fields.get("probe")
        assert found is None or isinstance(found, ProbeColumn)
        return found

    @property
    def spelling(self) -> SpellingColumn | None:
        """How words are spelled; None where they are not."""
        found = self.fields.get("spelling")
        assert found is None or isinstance(found, SpellingColumn)
        return found

    def without(self, *names: str) -> Split:
        """The same split without some fields."""
        return replace(self, fields={name: column for name, column in self.fields.items() if name not in names})

    def under(self, roles: Mapping[str, str]) -> Split:
        """The fields that fill a task's roles, by role.

        Args:
            roles: role → field.
        """
        return replace(self, fields={role: self.fields[field] for role, field in roles.items() if field in self.fields})


def open_split(folder: Path) -> Split:
    """Map a split into memory, once its files are seen to be as they were written.

    Raises:
        BadInput: the folder is not a prepared split, or a file was changed.
    """
    if not folder.is_dir():
        raise BadInput(f"{folder} is not a prepared split; run: unroll prepare experiment=…")
    kinds = check(folder.parent, folder.name)
    arrays = {
        name: {path.stem: np.load(path, mmap_mode="r") for path in (folder / name).glob("*.npy")} for name in kinds
    }
    try:
        return split_of(folder.name, arrays, {name: kind["of"] for name, kind in kinds.items()})
    except KeyError:
        raise BadInput(f"{folder} is not a prepared split; run: unroll prepare experiment=…") from None


def split_of(name: str, arrays: Mapping[str, Mapping[str, np.ndarray]], aligned: Mapping[str, str | None]) -> Split:
    """A split from the arrays of its fields.

    Args:
        name: of the split.
        arrays: field → its arrays by name.
        aligned: field → the field whose offsets it shares; None for its own, or for none.

    Raises:
        KeyError: an array is missing.
    """
    offsets = {field: np.asarray(found["offsets"]) for field, found in arrays.items() if "offsets" in found}
    return Split(name, {field: _column(arrays[field], offsets.get(of or field)) for field, of in aligned.items()})


def _column(arrays: Mapping[str, np.ndarray], offsets: np.ndarray | None) -> Column:
    """What the arrays of a field are."""
    if "contrasts" in arrays:
        return ProbeColumn(arrays["values"], offsets, arrays["contrasts"])
    if "characters" in arrays:
        return SpellingColumn(arrays["values"], offsets, arrays["form_offsets"], arrays["characters"])
    return Column(arrays["values"], offsets)


def open_vocabularies(folder: Path) -> Vocabularies:
    """The vocabularies of a prepared corpus.

    Args:
        folder: with ``fit/``.

    Raises:
        BadInput: the folder is not a prepared corpus, or the file was changed.
    """
    path = folder / "fit" / "vocabulary.json"
    if path.is_file():
        check(path.parent, path.name)
    return Vocabularies.load(path)


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
