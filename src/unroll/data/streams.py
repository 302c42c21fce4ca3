"""Contiguous windows of parallel streams: the batches of truncated backpropagation through time."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch

from unroll.data.batch import Batch, Padded, Probed, Window
from unroll.data.loader import ALL, Loader, Share
from unroll.data.prepared import Split
from unroll.data.windows import cut, window_count
from unroll.errors import BadInput

Reset = Literal["document", "epoch", "never"]


class Streams(Loader):
    """A split as B parallel streams, read in windows of k steps (Mikolov et al. 2010; Zaremba et al. 2014).

    Stream b continues from window to window, so the state after one window is the initial state of the next. Every
    token except the first is a target exactly once: stream lengths differ by at most one token, and shorter streams are
    masked in the last window.

    Args:
        split: symbols in order, in the role ``inputs``; ``document`` and ``probe`` if the corpus has them.
        streams: number of parallel streams B.
        truncation_length: window length k, through which the gradient flows; None for whole streams.
        stride: new steps s ≤ k of each window; None for k.
        reset: when to reset the state: at the start of each ``epoch``, also at the start of each ``document``, or
            ``never``, so that an epoch continues from the state of the previous one.
        share: rows of this process.

    Shapes:
        each batch: ``inputs``, ``targets``, mask: [B, k], the last one shorter; the first ones too, if s < k

    Raises:
        BadInput: there are too few tokens for the streams, or no documents.
    """

    def __init__(
        self, split: Split, streams: int, truncation_length: int | None, stride: int | None = None,
        reset: Reset = "epoch", share: Share = ALL,
    ) -> None:  # fmt: skip
        super().__init__()
        targets = split["inputs"].steps - 1
        if targets < streams:
            raise BadInput(f"The {split.name} split has {targets + 1} tokens, too few for {streams} streams; "
                           "lower training.batch_size or training.evaluation_streams.")  # fmt: skip
        self.documents = _documents(split) if reset == "document" else np.zeros(0, np.int64)
        self.split, self.tokens, self.reset = split, targets, reset
        self.truncation_length, self.stride = truncation_length, stride or truncation_length
        shortest, longer = divmod(targets, streams)
        index = np.arange(streams)
        starts = index * shortest + np.minimum(index, longer)  # [B]
        self.all_sizes = np.where(index < longer, shortest + 1, shortest)  # [B] of all processes
        self.starts = share.of(starts)
        self.sizes = share.of(self.all_sizes)
        self.rows = len(self.starts)
        if not self.rows:
            self.starts = starts[:1]
            self.sizes = np.zeros(1, np.int64)

    def __len__(self) -> int:
        return window_count(int(self.all_sizes[0]), self.stride)

    def batch(self, number: int) -> Batch:
        begin, counted, end, carry = cut(number, int(self.all_sizes[0]), self.truncation_length, self.stride)
        lengths = np.minimum(self.sizes, end) - begin  # [B]
        steps = np.arange(end - begin)[None]  # [1, T]
        mask = torch.from_numpy((steps < lengths[:, None]) & (steps >= counted - begin))  # [B, T]
        first = begin == 0 and (self.epoch == 0 or self.reset != "never")
        window = Window(first, carry, self.rows, torch.from_numpy(self.sizes - begin), self._fresh(begin, end))
        lengths_or_one = torch.from_numpy(np.maximum(lengths, 1))
        values = self.split["inputs"].values
        fields: dict[str, Padded | Probed | torch.Tensor] = {
            "inputs": Padded(self._cut(values, begin, end, shift=0), lengths_or_one),
            "targets": Padded(self._cut(values, begin, end, shift=1), lengths_or_one),
        }
        if (probe := self.split.probe) is not None:
            fields["probe"] = Probed(*(self._cut(part, begin, end, shift=1).masked_fill(~mask, -1)
                                       for part in (probe.values, probe.contrasts)))  # fmt: skip
        tokens = int((np.clip(self.all_sizes, counted, end) - counted).sum())
        return Batch(fields, mask, window, tokens)

    def _fresh(self, begin: int, end: int) -> torch.Tensor | None:
        """Starts of documents: [B, end − begin]; None if there are none."""
        if self.reset != "document":
            return None
        place = self.starts[:, None] + np.arange(begin, end)
        found = self.documents.take(self.documents.searchsorted(place), mode="clip") == place  # [B, end − begin]
        return torch.from_numpy(found) if found.any() else None

    def _cut(self, values: np.ndarray, begin: int, end: int, shift: int) -> torch.Tensor:
        """Steps ``begin`` to ``end`` of each stream: [B, end − begin]."""
        place = self.starts[:, None] + np.arange(begin + shift, end + shift)  # [B, end − begin]
        # the last stream may lack the last step; it is masked, so any token will do
        return torch.from_numpy(values.take(place, mode="clip").astype(np.int64))


def _documents(split: Split) -> np.ndarray:
    """Positions of the first symbols of documents, in ascending order."""
    column = split.fields.get("document")
    if column is None or not column.values.any():
        raise BadInput(f"The {split.name} split has no document boundaries; set training.state_reset=epoch or never.")
    starts: np.ndarray = split["inputs"].begins[column.values]
    return starts
