"""The adding problem: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997, section 5.4."""

from __future__ import annotations

from unroll.data.generators.base import Draw, Generator

LENGTH = 50
SIZES = {"train": 10_000, "validation": 500, "test": 1_000}


def _item(draw: Draw, _: int) -> str:
    """A sequence of T = 50 steps (value, mark): two steps are marked, one in each half, and their sum is the target.

    Values are uniform in [0, 1), so always predicting 1 has a mean squared error of 1/6 = 0.167.
    """
    values = [int(draw() * 10_000) for _ in range(LENGTH)]  # in units of 1/10000, exact in decimals
    half = LENGTH // 2
    marked = (int(draw() * half), half + int(draw() * half))
    target = values[marked[0]] + values[marked[1]]
    steps = " ".join(f"{value / 10_000:.4f},{int(t in marked)}" for t, value in enumerate(values))
    return f"{target / 10_000:.4f}\t{steps}\n"


GENERATOR = Generator(_item, SIZES, seed=0, suffix=".series")
