"""Whole sequences in batches of similar lengths."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from unroll.data.batch import Batch
from unroll.data.prepared import Spelling, Split

POOL = 256  # batches that are sorted by length together: more waste less padding, fewer mix better


class Buckets:
    """Batches of sequences of similar length, in a new order every epoch.

    An epoch shuffles the sequences, sorts each pool of 256 batches by length, cuts it into batches and shuffles
    those. Without a seed the sequences are sorted by length once, for evaluation, and spelled words refer to one table
    of the whole split's forms.

    Args:
        split: sequences with their targets: labels per token, or one number each.
        batch_size: sequences per batch B.
        padding_index: token that fills the end of a shorter sequence.
        seed: of the orders; None for one fixed order.

    Shapes:
        each batch: inputs [B, T] or [B, T, I], targets [B, T] or [B], T its longest sequence
    """

    def __init__(self, split: Split, batch_size: int, padding_index: int, seed: int | None) -> None:
        self.split, self.batch_size, self.padding_index, self.seed = split, batch_size, padding_index, seed
        self.lengths, self.tokens, self.epoch = split.lengths, split.steps, 0
        self.table: tuple[torch.Tensor, torch.Tensor] | None = None  # characters of all forms, and their lengths
        if split.spelling is not None and seed is None:
            self.table = _rows(split.spelling, np.arange(len(split.spelling.offsets) - 1), padding_index)

    def __len__(self) -> int:
        return -(-len(self.lengths) // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        orders = self._orders()
        self.epoch += 1
        return (self._collate(rows) for rows in orders)

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

    def _collate(self, rows: np.ndarray) -> Batch:
        split, lengths = self.split, self.lengths[rows]
        time = np.arange(lengths.max())[None]  # [1, T]
        mask = time < lengths[:, None]  # [B, T]
        place = np.where(mask, split.offsets[rows][:, None] + time, 0)

        def gather(values: np.ndarray, padding: int) -> torch.Tensor:
            return torch.from_numpy(np.where(mask, values[place], padding).astype(np.int64))

        if split.tokens is not None:
            inputs = gather(split.tokens, self.padding_index)
        else:
            assert split.vectors is not None
            inputs = torch.from_numpy(np.where(mask[..., None], split.vectors[place], np.float32(0)))
        if split.targets is not None:
            targets = torch.from_numpy(split.targets[rows])
        else:  # where tokens have no labels, they are their own targets
            targets = inputs if split.labels is None else gather(split.labels, -1)
        forms, characters, character_lengths = self._spelled(place, mask)
        return Batch(
            inputs=inputs,
            targets=targets,
            lengths=torch.from_numpy(lengths),
            mask=torch.from_numpy(mask),
            groups=None if split.groups is None else gather(split.groups, -1),
            contrasts=None if split.contrasts is None else gather(split.contrasts, -1),
            forms=forms,
            characters=characters,
            character_lengths=character_lengths,
            first=True,
        )

    def _spelled(
        self, place: np.ndarray, mask: np.ndarray
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, torch.Tensor | None]:
        """Row of the form of each step [B, T], and the table that it is a row of: [U, C], [U]."""
        spelling = self.split.spelling
        if spelling is None:
            return None, None, None
        forms = np.full(mask.shape, -1, np.int64)
        forms[mask] = spelling.forms[place[mask]]
        if self.table is not None:
            return torch.from_numpy(forms), *self.table
        distinct, forms[mask] = np.unique(forms[mask], return_inverse=True)
        return torch.from_numpy(forms), *_rows(spelling, distinct, self.padding_index)


def _rows(spelling: Spelling, numbers: np.ndarray, padding_index: int) -> tuple[torch.Tensor, torch.Tensor]:
    characters, lengths = spelling.rows(numbers, padding_index)
    return torch.from_numpy(characters), torch.from_numpy(lengths)
