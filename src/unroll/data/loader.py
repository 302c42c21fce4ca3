"""Batches in an order that can be taken up again where it was left."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unroll.data.batch import Batch


@dataclass(frozen=True)
class Share:
    """Which rows of every batch a process reads, of all processes that train together.

    Args:
        rank: of this process.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The rows of this process, next to each other; none where there are fewer rows than processes."""
        return np.array_split(rows, self.world)[self.rank]


ALL = Share()


class Loader(ABC):
    """Batches of a split, epoch after epoch, whose place is saved and loaded as Lightning asks for it.

    The length is that of the epoch that comes next, or is being read: epochs may differ. An epoch that was not read to
    its end starts again when it is asked for again, unless a place in it was loaded.

    Processes that train together read batches of the same number at the same time, each its share of the rows. One that
    has no row in a batch gets a row of which nothing counts, so that all of them make the same steps.
    """

    tokens: int  # real tokens, or steps of real vectors, in one epoch

    def __init__(self) -> None:
        self.epoch, self.position, self.begin = 0, 0, 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, number: int) -> Batch:
        """One batch of the epoch that is being read."""

    def __iter__(self) -> Iterator[Batch]:
        begin, self.begin = self.begin, 0
        count = len(self)
        for number in range(begin, count):
            batch = self.batch(number)
            self.position = number + 1
            if self.position == count:  # what is saved at the end of an epoch is the beginning of the next one
                self.epoch, self.position = self.epoch + 1, 0
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The place of the batch that comes next."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a place that was saved."""
        self.epoch, self.begin = state["epoch"], state["position"]
        self.position = self.begin


class Endless:
    """Epoch after epoch, as if they were one: a run ends with its budget, not with an epoch.

    It has a length, though none that is ever reached, since Lightning reads one batch ahead of what has none, and its
    place would be one too far.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return 2**40

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self.loader

    def state_dict(self) -> dict[str, int]:
        """The place of the batch that comes next."""
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from a place that was saved."""
        self.loader.load_state_dict(state)
