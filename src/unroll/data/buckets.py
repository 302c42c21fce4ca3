"""Whole sequences in batches of similar lengths."""

from __future__ import annotations

import numpy as np
import torch

from unroll.data.batch import Batch, Window
from unroll.data.loader import ALL, Loader, Share
from unroll.data.prepared import Spelling, Split
from unroll.data.windows import Cut, cut, window_count

POOL = 256  # batches that are sorted by length together: more waste less padding, fewer mix better


class Buckets(Loader):
    """Batches of sequences of similar length, in a new order every epoch.

    An epoch shuffles the sequences, sorts each pool of 256 batches by length, cuts it into batches and shuffles
    those. Without a seed the sequences are sorted by length once, for evaluation, and spelled words refer to one table
    of the whole split's forms.

    Args:
        split: sequences with their targets: labels per token, or one number each.
        batch_size: sequences per batch B.
        padding_index: token that fills the end of a shorter sequence.
        seed: of the orders; None for one fixed order.
        truncation_length: steps k of a window, in which sequences longer than that are read; None to read them whole.
        stride: new steps s ≤ k of each window; None for k of them.
        share: rows of this process.

    Shapes:
        each batch: inputs [B, T] or [B, T, I], targets [B, T] or [B], T its longest sequence, or k
    """

    def __init__(
        self, split: Split, batch_size: int, padding_index: int, seed: int | None,
        truncation_length: int | None = None, stride: int | None = None, share: Share = ALL,
    ) -> None:  # fmt: skip
        super().__init__()
        self.split, self.batch_size, self.padding_index, self.seed = split, batch_size, padding_index, seed
        self.truncation_length, self.stride, self.share = truncation_length, stride or truncation_length, share
        self.lengths, self.tokens = split.lengths, split.steps
        self.targets = self.tokens if split.targets is None else len(split.targets)
        self.plan: tuple[int, list[tuple[np.ndarray, Cut]]] = (-1, [])  # an epoch, and its windows
        self.table: tuple[torch.Tensor, torch.Tensor] | None = None  # characters of all forms, and their lengths
        if split.spelling is not None and seed is None:
            self.table = _rows(split.spelling, np.arange(len(split.spelling.offsets) - 1), padding_index)

    def __len__(self) -> int:
        return len(self._windows())

    def batch(self, number: int) -> Batch:
        return self._collate(*self._windows()[number])

    def _windows(self) -> list[tuple[np.ndarray, Cut]]:
        """Every window of this epoch: the numbers of its sequences, and where they are cut."""
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
        """Sequence numbers of each batch of this epoch."""
        if self.seed is None:
            order = np.argsort(self.lengths, kind="stable")
            return [order[i : i + self.batch_size] for i in range(0, len(order), self.batch_size)]
        draw = np.random.default_rng([self.seed, self.epoch])
        order, pool = draw.permutation(len(self.lengths)), POOL * self.batch_size
        batches = []
        for begin in range(0, len(order), pool):
            part = order[begin : begin + pool]
            part = part[np.argsort(self.lengths[part], kind="stable")]
            batches += [part[i : i + self.batch_size] for i in range(0, len(part), self.batch_size)]
        return [batches[i] for i in draw.permutation(len(batches))]

    def _collate(self, rows: np.ndarray, part: Cut) -> Batch:
        split, everyone, rows = self.split, self.lengths[rows], self.share.of(rows)
        lengths, count = self.lengths[rows], len(rows)
        if not count:  # of some row of another process, nothing counts
            rows, lengths = np.zeros(1, np.int64), np.zeros(1, np.int64)
        time = np.arange(part.begin, part.end)[None]  # [1, T]
        real = time < lengths[:, None]  # [B, T]
        place = np.where(real, split.offsets[rows][:, None] + time, 0)

        def gather(values: np.ndarray, padding: int) -> torch.Tensor:
            return torch.from_numpy(np.where(real, values[place], padding).astype(np.int64))

        if split.tokens is not None:
            inputs = gather(split.tokens, self.padding_index)
        else:
            assert split.vectors is not None
            inputs = torch.from_numpy(np.where(real[..., None], split.vectors[place], np.float32(0)))
        if split.targets is not None:
            targets = torch.from_numpy(split.targets[rows])
        else:  # where tokens have no labels, they are their own targets
            targets = inputs if split.labels is None else gather(split.labels, -1)
        forms, characters, character_lengths = self._spelled(place, real)
        return Batch(
            inputs=inputs,
            targets=targets,
            lengths=torch.from_numpy(np.clip(lengths - part.begin, 1, part.end - part.begin)),
            mask=torch.from_numpy(real & (time >= part.counted)),
            groups=None if split.groups is None else gather(split.groups, -1),
            contrasts=None if split.contrasts is None else gather(split.contrasts, -1),
            forms=forms,
            characters=characters,
            character_lengths=character_lengths,
            window=None if part.carry == everyone.max() else self._window(lengths, part, count),
            tokens=int((np.clip(everyone, part.counted, part.end) - part.counted).sum()),
        )

    def _window(self, lengths: np.ndarray, part: Cut, rows: int) -> Window:
        return Window(part.begin == 0, part.carry, rows, torch.from_numpy(lengths - part.begin), None)

    def _spelled(
        self, place: np.ndarray, real: np.ndarray
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Row of the form of each step [B, T], and the table that it is a row of: [U, C], [U]."""
        spelling = self.split.spelling
        if spelling is None:
            return None, None, None
        forms = np.full(real.shape, -1, np.int64)
        forms[real] = spelling.forms[place[real]]
        if self.table is not None:
            return torch.from_numpy(forms), *self.table
        distinct, forms[real] = np.unique(forms[real], return_inverse=True)
        if not len(distinct):  # a share without a row has no word, and what spells must have one
            distinct = np.zeros(1, np.int64)
        return torch.from_numpy(forms), *_rows(spelling, distinct, self.padding_index)


def _rows(spelling: Spelling, numbers: np.ndarray, padding_index: int) -> tuple[torch.Tensor, torch.Tensor]:
    characters, lengths = spelling.rows(numbers, padding_index)
    return torch.from_numpy(characters), torch.from_numpy(lengths)
