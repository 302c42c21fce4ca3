"""Series: one sequence of real vectors per line, with the number to predict from it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from unroll.data.fields import Field, Frames, Number, Record
from unroll.data.readers.base import Reader, numbered_lines, whole_lines
from unroll.errors import BadInput


@dataclass(frozen=True)
class Series(Reader):
    """Lines of the form ``target TAB step step …``, with the numbers of a step separated by commas."""

    name: ClassVar[str] = "series"
    suffixes: ClassVar[tuple[str, ...]] = (".series",)
    fills: ClassVar[str] = "target"

    @property
    def fields(self) -> Mapping[str, Field]:
        return {"frames": Frames(), "target": Number()}

    def read(self, path: Path) -> Iterator[Record]:
        for number, line in numbered_lines(path):
            if line.strip():
                target, tab, steps = line.partition("\t")
                try:
                    frames = parse_steps(steps)
                    value = float(target)
                except ValueError:
                    tab = ""
                if not tab or not math.isfinite(value):
                    raise BadInput(
                        f"{path}, line {number}: expected 'target TAB step step …' with steps such as 0.5,1 "
                        "of equal width and finite numbers; correct the line."
                    )
                yield {"frames": frames, "target": value}

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        for mark, line, end in whole_lines(path):
            if line.strip():
                _, tab, steps = line.partition("\t")
                line = f"{next(values)}{tab}{steps}"
            yield f"{mark}{line}{end}".encode()


def parse_steps(steps: str) -> list[list[float]]:
    """Parse the vectors of a line such as ``0.5,1 0.25,0``.

    Raises:
        ValueError: a number is invalid or not finite, there are no steps, or steps differ in width.
    """
    vectors = [[float(value) for value in step.split(",")] for step in steps.split()]
    if len({len(vector) for vector in vectors}) != 1:
        raise ValueError("steps differ in width")
    if not all(math.isfinite(value) for vector in vectors for value in vector):
        raise ValueError("a number is not finite")
    return vectors
