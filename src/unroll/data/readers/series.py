"""Series: one sequence of real vectors per line, with the number that is to be told from it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from unroll.data.readers.base import Example, numbered_lines
from unroll.errors import BadInput


def read(path: Path) -> Iterator[Example]:
    """Lines of the form ``target TAB step step …``, the numbers of a step joined by commas.

    Args:
        path: a UTF-8 file.

    Raises:
        BadInput: a line has no tab, a number is none, or steps differ in width.
    """
    for number, line in numbered_lines(path):
        if line.strip():
            target, tab, steps = line.partition("\t")
            try:
                vectors = parse_steps(steps)
                number_told = float(target)
            except ValueError:
                tab = ""
            if not tab or not math.isfinite(number_told):
                raise BadInput(
                    f"{path}, line {number}: expected 'target TAB step step …' with steps such as 0.5,1 "
                    "of one width, all finite; correct the line."
                )
            yield Example(vectors=vectors, target=number_told)


def parse_steps(steps: str) -> list[list[float]]:
    """Vectors of a line such as ``0.5,1 0.25,0``.

    Raises:
        ValueError: a number is none or not finite, there is no step, or steps differ in width.
    """
    vectors = [[float(value) for value in step.split(",")] for step in steps.split()]
    if len({len(vector) for vector in vectors}) != 1:
        raise ValueError("steps differ in width")
    if not all(math.isfinite(value) for vector in vectors for value in vector):
        raise ValueError("a number is not finite")
    return vectors
