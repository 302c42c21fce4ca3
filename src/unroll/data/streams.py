"""Contiguous windows of parallel streams: the batches of truncated backpropagation through time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from unroll.data.batch import Batch
from unroll.data.prepared import Split
from unroll.errors import BadInput


class Streams:
    """A split as B parallel streams, read in windows of k steps: Mikolov et al. 2010; Zaremba et al. 2014.

    Stream b continues from window to window, so the state after one window is the state before the next. Every
    token but the first is a target exactly once: streams differ by at most one token, and the shorter ones are
    masked in the last window.

    Args:
        split: tokens in order.
        streams: number of parallel streams B.
        truncation_length: steps k of a window, through which the gradient flows.

    Shapes:
        each batch: inputs, targets, mask: [B, k], the last one shorter

    Raises:
        BadInput: there are fewer tokens than streams need.
    """

    def __init__(self, split: Split, streams: int, truncation_length: int) -> None:
        assert split.tokens is not None
        targets = len(split.tokens) - 1
        if targets < streams:
            raise BadInput(f"The {split.name} split has {targets + 1} tokens, too few for {streams} streams; "
                           "lower training.batch_size or training.evaluation_streams.")  # fmt: skip
        self.split, self.truncation_length, self.tokens = split, truncation_length, targets
        shortest, longer = divmod(targets, streams)
        index = np.arange(streams)
        self.starts = index * shortest + np.minimum(index, longer)  # [B]
        self.sizes = np.where(index < longer, shortest + 1, shortest)  # [B]

    def __len__(self) -> int:
        return -(-int(self.sizes[0]) // self.truncation_length)

    def __iter__(self) -> Iterator[Batch]:
        return (self._window(number) for number in range(len(self)))

    def _window(self, number: int) -> Batch:
        begin = number * self.truncation_length
        end = min(begin + self.truncation_length, int(self.sizes[0]))
        lengths = np.minimum(self.sizes, end) - begin  # [B]
        mask = torch.from_numpy(np.arange(end - begin)[None] < lengths[:, None])  # [B, k]
        inputs = self._cut(self.split.tokens, begin, end, shift=0)
        return Batch(
            inputs=inputs,
            targets=self._cut(self.split.tokens, begin, end, shift=1),
            lengths=torch.from_numpy(np.maximum(lengths, 1)),
            mask=mask,
            groups=self._probe(self.split.groups, begin, end, mask),
            contrasts=self._probe(self.split.contrasts, begin, end, mask),
            forms=None,
            characters=None,
            character_lengths=None,
            first=number == 0,
        )

    def _probe(self, values: np.ndarray | None, begin: int, end: int, mask: torch.Tensor) -> torch.Tensor | None:
        """What is known of the targets that are measured apart; −1 where a step is masked: [B, end − begin]."""
        return None if values is None else self._cut(values, begin, end, shift=1).masked_fill(~mask, -1)

    def _cut(self, values: np.ndarray | None, begin: int, end: int, shift: int) -> torch.Tensor:
        """Steps ``begin`` to ``end`` of every stream: [B, end − begin]."""
        assert values is not None
        place = self.starts[:, None] + np.arange(begin + shift, end + shift)  # [B, end − begin]
        # The last stream may lack the last step; its place is masked, so any token will do.
        return torch.from_numpy(values.take(place, mode="clip").astype(np.int64))
