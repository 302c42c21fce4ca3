"""Batches in an order that can be resumed at any position."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from unroll.data.batch import Batch


@dataclass(frozen=True)
class Share:
    """The rows of every batch that a process reads in distributed training.

    Args:
        rank: rank of this process.
        world: number of processes.
    """

    rank: int = 0
    world: int = 1

    def of(self, rows: np.ndarray) -> np.ndarray:
        """The contiguous rows of this process; empty if there are fewer rows than processes."""
        return np.array_split(rows, self.world)[self.rank]


ALL = Share()


class Loader(ABC):
    """Batches of a split, epoch by epoch, with a state that Lightning saves and loads.

    The length is that of the current or next epoch, since epochs may differ. An epoch that is abandoned starts again at
    the next iteration, unless a position in it was loaded.

    In distributed training, all processes read the same batch at the same time, each its share of the rows. A process
    without rows in a batch gets a fully masked row, so that all processes take the same steps.
    """

    tokens: int  # tokens or frames in one epoch, without padding

    def __init__(self) -> None:
        self.epoch, self.position, self.begin = 0, 0, 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def batch(self, number: int) -> Batch:
        """A batch of the current epoch."""

    def __iter__(self) -> Iterator[Batch]:
        begin, self.begin = self.begin, 0
        count = len(self)
        for number in range(begin, count):
            batch = self.batch(number)
            self.position = number + 1
            if self.position == count:  # at the end of an epoch, the saved position is the start of the next one
                self.epoch, self.position = self.epoch + 1, 0
            yield batch

    def state_dict(self) -> dict[str, int]:
        """The position of the next batch."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a saved position."""
        self.epoch, self.begin = state["epoch"], state["position"]
        self.position = self.begin


class Endless:
    """All epochs as one endless epoch, since a run ends with its budget and not with an epoch.

    It has a length, which is never reached, because Lightning prefetches a batch from iterables without one, so that
    the saved position would be off by one.
    """

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def __len__(self) -> int:
        return 2**40

    def __iter__(self) -> Iterator[Batch]:
        while True:
            yield from self.loader

    def state_dict(self) -> dict[str, int]:
        """The position of the next batch."""
        return self.loader.state_dict()

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Resume from a saved position."""
        self.loader.load_state_dict(state)
