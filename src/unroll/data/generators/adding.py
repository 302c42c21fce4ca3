"""The adding problem: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, section 5.4."""

from __future__ import annotations

import random
from pathlib import Path

LENGTH = 50
SIZES = {"train": 10_000, "validation": 500, "test": 1_000}


def write(folder: Path) -> None:
    """Write sequences of T = 50 steps (value, mark): two steps are marked, one in each half, and their sum is told.

    Values are uniform in [0, 1), so always telling 1 has a mean squared error of 1/6 = 0.167.
    """
    for seed, (split, size) in enumerate(SIZES.items()):
        draw = random.Random(seed).random
        with (folder / f"{split}.series").open("w", encoding="utf-8", newline="\n") as file:
            for _ in range(size):
                values = [int(draw() * 10_000) for _ in range(LENGTH)]  # in units of 1/10000, exact in decimals
                half = LENGTH // 2
                marked = (int(draw() * half), half + int(draw() * half))
                target = values[marked[0]] + values[marked[1]]
                steps = " ".join(f"{value / 10_000:.4f},{int(t in marked)}" for t, value in enumerate(values))
                file.write(f"{target / 10_000:.4f}\t{steps}\n")
