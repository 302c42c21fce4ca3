"""Batches of records of similar lengths."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import torch

from unroll.data.batch import Batch, DataSpec, Padded, Probed, Spelled, Window
from unroll.data.loader import ALL, Loader, Share
from unroll.data.prepared import ProbeColumn, SpellingColumn, Split
from unroll.data.rare import RareSymbols
from unroll.data.windows import Cut, cut, window_count

POOL = 256  # batches per sorted pool; a larger pool needs less padding, a smaller one shuffles better


class Buckets(Loader):
    """Batches of records of similar length, in a new order every epoch.

    Each epoch shuffles the records, sorts each pool of 256 batches by length, divides it into batches and shuffles
    them. Without a seed, for evaluation, all records are sorted by length, and spelled words refer to one table with
    the forms of the whole split.

    Args:
        split: records, by role.
        spec: sizes that depend on the data, by role.
        by: roles of the sequences whose lengths are the sort keys, the primary one first; its steps are counted, and
            split into windows.
        batch_size: records per batch B.
        seed: random seed of the orders; None for a fixed order.
        truncation_length: window length k in steps, for longer sequences; None for whole sequences.
        stride: new steps s ≤ k of each window; None for k.
        share: rows of this process.
        batch_tokens: maximum number of steps per batch, padding included; a longer record is a batch of its own. None
            for no limit.
        unknown: roles whose rare symbols are read as ``[UNK]`` at random, each with the probability; needs a seed.

    Shapes:
        each batch: [B, T] or [B, T, …] for sequences, with T the longest one or k; [B, …] for one value per record
    """

    def __init__(
        self, split: Split, spec: DataSpec, by: Sequence[str], batch_size: int, seed: int | None,
        truncation_length: int | None = None, stride: int | None = None, share: Share = ALL,
        batch_tokens: int | None = None, unknown: Mapping[str, float] | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.split, self.spec, self.by = split, spec, by
        self.batch_size, self.batch_tokens, self.seed, self.share = batch_size, batch_tokens, seed, share
        self.truncation_length, self.stride = truncation_length, stride or truncation_length
        self.lengths, self.tokens = split[by[0]].lengths, split[by[0]].steps
        self.keys = [split[role].lengths for role in reversed(by)]  # the primary key comes last for np.lexsort
        self.rare: dict[str, RareSymbols] = {}
        if seed is not None:
            for role, rate in (unknown or {}).items():
                self.rare[role] = RareSymbols(split[role], spec[role], rate, seed)
        self.plan: tuple[int, list[tuple[np.ndarray, Cut]]] = (-1, [])  # the epoch and its windows
        self.table: tuple[torch.Tensor, torch.Tensor] | None = None  # characters of all forms, and their lengths
        if split.spelling is not None and seed is None:
            self.table = self._characters(split.spelling, np.arange(len(split.spelling.form_offsets) - 1))

    def __len__(self) -> int:
        return len(self._windows())

    def batch(self, number: int) -> Batch:
        return self._collate(*self._windows()[number])

    def rows(self, number: int) -> np.ndarray:
        """Numbers of the records of a batch of this epoch."""
        return self.share.of(self._windows()[number][0])

    def _windows(self) -> list[tuple[np.ndarray, Cut]]:
        """All windows of this epoch: the indices of their records, and the cuts."""
        if self.plan[0] != self.epoch:
            windows = []
            for rows in self._orders():
                longest = int(self.lengths[rows].max())
                k = self.truncation_length if self.truncation_length and self.truncation_length < longest else None
                stride = self.stride if k else None
                count = window_count(longest, stride)
                windows += [(rows, cut(number, longest, k, stride)) for number in range(count)]
            self.plan = (self.epoch, windows)
        return self.plan[1]

    def _orders(self) -> list[np.ndarray]:
        """Indices of the records of each batch of this epoch."""
        if self.seed is None:
            order = self._sorted(np.arange(len(self.lengths)))
            return list(self._batches(order))
        draw = np.random.default_rng([self.seed, self.epoch])
        order = draw.permutation(len(self.lengths))
        pool = POOL * self.batch_size
        batches: list[np.ndarray] = []
        for begin in range(0, len(order), pool):
            part = self._sorted(order[begin : begin + pool])
            batches += self._batches(part)
        return [batches[i] for i in draw.permutation(len(batches))]

    def _batches(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Divide sorted records into batches as large as allowed."""
        begin = 0
        while begin < len(rows):
            count = min(self.batch_size, len(rows) - begin)
            if self.batch_tokens is not None:  # records are sorted, so the last one of a batch is the longest
                steps = self.lengths[rows[begin : begin + count]] * np.arange(1, count + 1)
                count = max(1, int((steps <= self.batch_tokens).sum()))
            yield rows[begin : begin + count]
            begin += count

    def _sorted(self, rows: np.ndarray) -> np.ndarray:
        """Sort records by length; equal ones keep their order."""
        return rows[np.lexsort([lengths[rows] for lengths in self.keys])]

    def _collate(self, rows: np.ndarray, part: Cut) -> Batch:
        everyone = self.lengths[rows]
        rows = self.share.of(rows)
        lengths = self.lengths[rows]
        count = len(rows)
        rows, is_empty = (rows, False) if count else (np.zeros(1, np.int64), True)
        if is_empty:  # a row of another process stands in, fully masked
            lengths = np.zeros(1, np.int64)
        time = np.arange(part.begin, part.end)[None]  # [1, T]
        real = time < lengths[:, None]  # [B, T]
        return Batch(
            fields={role: self._field(role, rows, part, is_empty) for role in self.split.fields},
            mask=torch.from_numpy(real & (time >= part.counted)),
            window=None if part.carry == everyone.max() else self._window(lengths, part, count),
            tokens=int((np.clip(everyone, part.counted, part.end) - part.counted).sum()),
        )

    def _field(
        self, role: str, rows: np.ndarray, part: Cut, is_empty: bool
    ) -> Padded | Probed | Spelled | torch.Tensor:
        """Collate one field: sequences are padded, and cut if they are read in windows."""
        column = self.split[role]
        if column.offsets is None:
            values = column.values[rows]
            # int64 for indices in torch; bytes of pictures are unchanged
            return torch.from_numpy(values.astype(np.int64) if values.dtype == np.int32 else values)
        lengths = np.zeros(1, np.int64) if is_empty else column.lengths[rows]
        is_cut = column.offsets is self.split[self.by[0]].offsets
        begin, end = (part.begin, part.end) if is_cut else (0, int(lengths.max()))
        time = np.arange(begin, max(end, begin + 1))[None]  # [1, T]
        real = time < lengths[:, None]  # [B, T]
        place = np.where(real, column.offsets[rows][:, None] + time, 0)
        if isinstance(column, SpellingColumn):
            return self._spelled(column, place, real)
        if isinstance(column, ProbeColumn):
            return Probed(_padded(column.values, place, real, -1), _padded(column.contrasts, place, real, -1))
        values = _padded(column.values, place, real, self.spec[role].padding_index)
        if role in self.rare:
            values = torch.from_numpy(self.rare[role].replaced(values.numpy(), place, self.epoch))
        return Padded(values, torch.from_numpy(np.clip(lengths - begin, 1, time.shape[1])))

    def _window(self, lengths: np.ndarray, part: Cut, rows: int) -> Window:
        return Window(part.begin == 0, part.carry, rows, torch.from_numpy(lengths - part.begin), None)

    def _spelled(self, column: SpellingColumn, place: np.ndarray, real: np.ndarray) -> Spelled:
        """Row of the form of each step, and the table with the rows."""
        forms = np.full(real.shape, -1, np.int64)
        forms[real] = column.values[place[real]]
        if self.table is not None:
            return Spelled(torch.from_numpy(forms), *self.table)
        distinct, forms[real] = np.unique(forms[real], return_inverse=True)
        if not len(distinct):  # an empty share has no words, but the character network needs one
            distinct = np.zeros(1, np.int64)
        return Spelled(torch.from_numpy(forms), *self._characters(column, distinct))

    def _characters(self, column: SpellingColumn, numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
        characters, lengths = column.rows(numbers, self.spec["spelling"].padding_index)
        return torch.from_numpy(characters), torch.from_numpy(lengths)


def _padded(values: np.ndarray, place: np.ndarray, real: np.ndarray, padding: int) -> torch.Tensor:
    """Gather steps by position, with padding where they are not real: [N, …], [B, T] → [B, T, …]."""
    if values.dtype.kind == "f":
        return torch.from_numpy(np.where(real[..., None], values[place], np.float32(0)))
    return torch.from_numpy(np.where(real, values[place], padding).astype(np.int64))
