"""What all embedded corpora have in common: how their splits are drawn, so that none has an item of another."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

Draw = Callable[[], float]
TRIES = 1_000  # draws of one item, before the corpus counts as too small for its splits


@dataclass(frozen=True)
class Generator:
    """An embedded corpus.

    The test and the validation split come first. Their items are all different; one that is drawn a second time is
    replaced by another draw. The training split may have an item twice, but none of theirs.

    Args:
        item: draws an item, given its number within the split, as it is written to the file.
        sizes: items of train, validation and test.
        seed: of the training split; validation has the next one, test the one after.
        suffix: of the files.
    """

    item: Callable[[Draw, int], str]
    sizes: dict[str, int]
    seed: int
    suffix: str

    def write(self, folder: Path) -> None:
        """Write a file for each split.

        Raises:
            ValueError: there are too few different items.
        """
        held_out: set[str] = set()
        for split, offset in (("test", 2), ("validation", 1), ("train", 0)):
            draw = random.Random(self.seed + offset).random
            with (folder / f"{split}{self.suffix}").open("w", encoding="utf-8", newline="\n") as file:
                for number in range(self.sizes[split]):
                    item = self._new(draw, number, held_out)
                    if split != "train":
                        held_out.add(item)
                    file.write(item)

    def _new(self, draw: Draw, number: int, held_out: set[str]) -> str:
        for _ in range(TRIES):
            if (item := self.item(draw, number)) not in held_out:
                return item
        raise ValueError(f"{TRIES:,} draws gave no new item; give the corpus more variety, or smaller splits")
