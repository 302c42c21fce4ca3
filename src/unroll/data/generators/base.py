"""What all embedded corpora have in common: how their splits are drawn, so that none repeats an item of another."""

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

    The training split has the natural frequencies: an item may be there twice. An item of the validation or the test
    split stands nowhere else, neither in another split nor twice in its own: it is drawn again until it is new.

    Args:
        item: draws an item, given its number within the split, as it is written to the file.
        sizes: items of each split, training first.
        seed: of the first split; each next one has the next seed.
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
        seen: set[str] = set()
        for seed, (split, size) in enumerate(self.sizes.items(), start=self.seed):
            draw = random.Random(seed).random
            with (folder / f"{split}{self.suffix}").open("w", encoding="utf-8", newline="\n") as file:
                for number in range(size):
                    item = self.item(draw, number) if split == "train" else self._new(draw, number, seen)
                    seen.add(item)
                    file.write(item)

    def _new(self, draw: Draw, number: int, seen: set[str]) -> str:
        for _ in range(TRIES):
            if (item := self.item(draw, number)) not in seen:
                return item
        raise ValueError(f"{TRIES:,} draws gave no new item; give the corpus more variety, or smaller splits")
