"""Base of all synthetic corpora: draws splits without common items."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Draw = Callable[[], float]
Item = Callable[[Draw, int], str]  # text of the item with an index, as in the file
TRIES = 1_000  # maximum number of draws for a new item


@dataclass(frozen=True)
class Generator:
    """A synthetic corpus.

    The test and validation splits are drawn first. All their items are distinct; duplicates are drawn again. The
    training split may contain duplicates, but no item of the other splits.

    Args:
        item: draws an item with a given index in the split, as text of the file.
        sizes: number of items in train, validation and test.
        seed: random seed of the training split; validation uses the next one, test the one after that.
        suffix: suffix of the files.
        test_item: draws an item of the test split; None for ``item``.
    """

    item: Item
    sizes: dict[str, int]
    seed: int
    suffix: str
    test_item: Item | None = None

    def write(self, folder: Path) -> None:
        """Write a file for each split.

        Raises:
            ValueError: there are too few distinct items.
        """
        held_out: set[str] = set()
        for split, offset in (("test", 2), ("validation", 1), ("train", 0)):
            draw = random.Random(self.seed + offset).random
            draws = self.test_item if split == "test" and self.test_item else self.item
            with (folder / f"{split}{self.suffix}").open("w", encoding="utf-8", newline="\n") as file:
                for number in range(self.sizes[split]):
                    item = self._new(draws, draw, number, held_out)
                    if split != "train":
                        held_out.add(item)
                    file.write(item)

    def _new(self, draws: Item, draw: Draw, number: int, held_out: set[str]) -> str:
        for _ in range(TRIES):
            if (item := draws(draw, number)) not in held_out:
                return item
        raise ValueError(f"no new item in {TRIES:,} draws; add variety to the corpus, or make its splits smaller")
