"""Means over real tokens that do not depend on batching, padding and processes."""

from __future__ import annotations

import torch
from torch import Tensor
from torchmetrics import Metric


class TokenMean(Metric):
    """Mean over real tokens: a sum and a count, both in double precision.

    After the mean is computed, ``items`` is the count over all processes.

    Shapes:
        values and mask: equal shapes
    """

    full_state_update = False
    total: Tensor
    count: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("total", torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")
        self.items = 0
        self.add_state("count", torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor, mask: Tensor) -> None:
        """Add the values at real positions."""
        self.total += (values * mask).sum(dtype=torch.float64)
        self.count += mask.sum()

    def compute(self) -> Tensor:
        """Mean of all added values; NaN if there are none."""
        self.items = int(self.count)
        return self.total / self.count


class GroupedMean(Metric):
    """Mean of each group of probed tokens.

    After the means are computed, ``items`` has the number of tokens of each group over all processes.

    Args:
        groups: number of groups.

    Shapes:
        values: [B, T], groups: [B, T], −1 where a token is not probed
    """

    full_state_update = False
    totals: Tensor
    counts: Tensor

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.items: list[int] = []
        self.add_state("totals", torch.zeros(groups, dtype=torch.float64), dist_reduce_fx="sum")
        self.add_state("counts", torch.zeros(groups, dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, values: Tensor, groups: Tensor) -> None:
        """Add the values at probed positions."""
        probed = groups >= 0
        self.totals.index_add_(0, groups[probed], values[probed].double())
        self.counts += torch.bincount(groups[probed], minlength=len(self.counts))

    def compute(self) -> Tensor:
        """Mean of each group: [groups]; NaN for empty groups."""
        self.items = self.counts.tolist()
        return self.totals / self.counts
