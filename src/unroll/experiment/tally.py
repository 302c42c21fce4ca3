"""Scores and answers of a split by sequence, for intervals over the items of a small test set and for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from unroll.config import Config
from unroll.data.batch import Batch, DataSpec
from unroll.data.prepared import ProbeColumn, Split
from unroll.experiment.loading import evaluation_loader
from unroll.metrics import FEW_ITEMS


class Tally:
    """Sums and counts by sequence of every figure that is a sum divided by a count.

    Args:
        config: settings of the run.
        spec: sizes that the data determines.
        split: the evaluated split.
    """

    def __init__(self, config: Config, spec: DataSpec, split: Split) -> None:
        inputs = split[config.task.description.lengths[0]]
        self.count = len(inputs.lengths)
        numbers = np.repeat(np.arange(self.count), inputs.lengths)
        # read as the groups of a probe, so that the numbers of sequences are batched like the split itself
        probe = ProbeColumn(numbers, inputs.offsets, np.full(len(numbers), -1))
        numbered = replace(split.without("spelling"), fields={**split.without("spelling").fields, "probe": probe})
        self.batches: Iterable[Batch] = evaluation_loader(config, spec, numbered)
        self.totals: dict[str, tuple[Tensor, Tensor]] = {}
        self.texts: dict[int, str] = {}

    def numbers(self) -> Iterator[Tensor]:
        """Number of the sequence at each position, batch by batch: [B, T], −1 for padding."""
        for batch in self.batches:
            assert batch.probe is not None
            yield batch.probe.groups

    def add(self, numbers: Tensor, parts: dict[str, tuple[Tensor, Tensor]], texts: Sequence[str] | None = None) -> None:
        """Add a batch.

        Args:
            numbers: numbers of the sequences.
            parts: sums and counts of each figure.
            texts: answers to the sequences, if they are texts.

        Shapes:
            numbers: [B, T]; parts: [B, T] each, or [B] if a sequence has one
        """
        if texts is not None:
            self.texts |= dict(zip(numbers.amax(dim=1).tolist(), texts, strict=True))
        for name, (sums, counts) in parts.items():
            owners = numbers if sums.dim() == 2 else numbers.amax(dim=1)
            real = owners >= 0
            totals = self.totals.setdefault(
                name, (torch.zeros(self.count, dtype=torch.float64), torch.zeros(self.count, dtype=torch.int64))
            )
            totals[0].index_add_(0, owners[real], sums[real].double().cpu())
            totals[1].index_add_(0, owners[real], counts[real].long().cpu())

    @property
    def answers(self) -> list[str]:
        """Answers in the order of the split; none if they are no texts."""
        return [self.texts[number] for number in sorted(self.texts)]

    def few(self, items: dict[str, int]) -> dict[str, Any]:
        """Scored sequences of each figure with few items: their numbers, sums (to six digits) and counts.

        Args:
            items: number of items of each figure.
        """
        found = {}
        for name, (sums, counts) in self.totals.items():
            if 0 < items.get(name, 0) < FEW_ITEMS:
                used = ((counts > 0) | (sums != 0)).nonzero()[:, 0]
                found[name] = {"numbers": used.tolist(), "sums": [_short(value) for value in sums[used].tolist()],
                               "counts": counts[used].tolist()}  # fmt: skip
        return found


def _short(value: float) -> float | int:
    return int(value) if value.is_integer() else float(f"{value:.6g}")
