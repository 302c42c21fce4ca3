"""Prepared corpora: memory-mapped arrays on disk, so that a corpus may be larger than memory.

``fit/`` contains ``vocabulary.json`` and the folders ``train`` and ``validation``; ``test/`` the folder ``test``. A
split has a folder per field with ``values.npy``. Its rows are the steps of the field, with the start of each sequence
in ``offsets.npy``; or the steps of another field, whose offsets it shares (labels, probes, spelling); or the records.
A probe also has ``contrasts.npy``. Words with labels are spelled: ``spelling/values.npy`` numbers the distinct raw
forms of a split in order of first occurrence, and ``characters.npy`` with ``form_offsets.npy`` contains the spelling
of each form. With pretrained vectors, ``fit/`` has ``vectors.npy``, one row per symbol, and ``coverage.json``. The
``spec.json`` of both parts has the kinds of the fields, the settings of preparation, the number of unknown symbols in
validation or test, and the digest of each file.
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

PART = 1 << 20  # symbols counted at a time


@dataclass(frozen=True)
class Column:
    """One field of a split.

    Shapes:
        values: [N, …] one row per step, or [S, …] one row per record
        offsets: [S + 1] start of each sequence; None if a record has a single value
    """

    values: np.ndarray
    offsets: np.ndarray | None

    @property
    def lengths(self) -> np.ndarray:
        """Length of each sequence: [S]."""
        assert self.offsets is not None
        return np.diff(self.offsets)

    @property
    def begins(self) -> np.ndarray:
        """Start of each sequence: [S]."""
        assert self.offsets is not None
        return self.offsets[:-1]

    @property
    def steps(self) -> int:
        """Total number of steps."""
        assert self.offsets is not None
        return int(self.offsets[-1])

    def counts(self, size: int) -> np.ndarray:
        """Count of each symbol: [V]. Reads the split in parts, since it may be larger than memory."""
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
    """The index of the form of each word, and the spelling of each distinct form.

    Shapes:
        form_offsets: [F + 1], characters: concatenation of all forms
    """

    form_offsets: np.ndarray
    characters: np.ndarray

    def rows(self, numbers: np.ndarray, padding_index: int) -> tuple[np.ndarray, np.ndarray]:
        """Padded characters of forms, with their lengths: [U] → [U, C], [U]."""
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
        """The probed steps; None if the corpus has no probe."""
        found = self.fields.get("probe")
        assert found is None or isinstance(found, ProbeColumn)
        return found

    @property
    def spelling(self) -> SpellingColumn | None:
        """The spelling of the words; None if they are not spelled."""
        found = self.fields.get("spelling")
        assert found is None or isinstance(found, SpellingColumn)
        return found

    def without(self, *names: str) -> Split:
        """A copy of the split without some fields."""
        return replace(self, fields={name: column for name, column in self.fields.items() if name not in names})

    def under(self, roles: Mapping[str, str]) -> Split:
        """A copy of the split with the fields of a task's roles, keyed by role.

        Args:
            roles: field of each role.
        """
        return replace(self, fields={role: self.fields[field] for role, field in roles.items() if field in self.fields})


def open_split(folder: Path) -> Split:
    """Map a split into memory after verifying its files.

    Raises:
        BadInput: the folder is not a prepared split, or a file has changed.
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
    """Build a column from the arrays of a field."""
    if "contrasts" in arrays:
        return ProbeColumn(arrays["values"], offsets, arrays["contrasts"])
    if "characters" in arrays:
        return SpellingColumn(arrays["values"], offsets, arrays["form_offsets"], arrays["characters"])
    return Column(arrays["values"], offsets)


def open_vocabularies(folder: Path) -> Vocabularies:
    """The vocabularies of a prepared corpus.

    Args:
        folder: folder with ``fit/``.

    Raises:
        BadInput: the folder is not a prepared corpus, or the file has changed.
    """
    path = folder / "fit" / "vocabulary.json"
    if path.is_file():
        check(path.parent, path.name)
    return Vocabularies.load(path)


def open_vectors(folder: Path) -> np.ndarray:
    """The pretrained vectors of a prepared corpus: [V, E] float32, with NaN rows for symbols without a vector.

    Args:
        folder: folder with ``fit/``.

    Raises:
        BadInput: there are no vectors, or the file has changed.
    """
    if (folder / "fit" / "vectors.npy").exists():
        check(folder / "fit", "vectors.npy")
    return load_vectors(folder / "fit")
