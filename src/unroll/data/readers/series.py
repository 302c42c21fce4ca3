"""Series: one sequence of real vectors per line, with the number to predict from it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import ClassVar

import numpy as np

from unroll.data.fields import GAPS, Field, Frames, Located, Number, Record
from unroll.data.readers.base import Reader, numbered_lines, whole_lines
from unroll.errors import BadInput

LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Series(Reader):
    """Lines of the form ``target TAB step step …``, with the numbers of a step separated by commas.

    In a question, the target may be ``_``, empty, or missing with its tab; it is then nan.
    """

    name: ClassVar[str] = "series"
    suffixes: ClassVar[tuple[str, ...]] = (".series",)
    fills: ClassVar[str] = "target"

    @property
    def fields(self) -> Mapping[str, Field]:
        return {"frames": Frames(), "target": Number()}

    def read(self, path: Path) -> Iterator[Record]:
        return self._series(path, asks=False)

    def questions(self, path: Path) -> Iterator[Record]:
        return self._series(path, asks=True)

    def _series(self, path: Path, asks: bool) -> Iterator[Record]:
        for number, line in numbered_lines(path):
            if line.strip():
                target, tab, steps = line.partition("\t")
                if asks and not tab:
                    target, tab, steps = "", "\t", line
                is_given = not (asks and target.strip() in GAPS)
                try:
                    frames = parse_steps(steps)
                    value = _number(target) if is_given else nan
                except ValueError:
                    tab, value = "", 0.0
                if not tab or (is_given and not abs(value) <= LARGEST):  # nor nan
                    raise BadInput(
                        f"{path}, line {number}: expected 'target TAB step step …' with steps such as 0.5,1 "
                        f"of equal width and numbers of at most {LARGEST:.3g}; correct the line, or rescale all."
                    )
                yield Located({"frames": frames, "target": value}, [number])

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        for _, mark, line, end in whole_lines(path):
            if line.strip():
                _, tab, steps = line.partition("\t")
                line = f"{next(values)}\t{steps if tab else line}"
            yield f"{mark}{line}{end}".encode()


def parse_steps(steps: str) -> list[list[float]]:
    """Parse the vectors of a line such as ``0.5,1 0.25,0``.

    Raises:
        ValueError: a number is invalid or too large for single precision, there are no steps, or steps differ in width.
    """
    vectors = [[_number(value) for value in step.split(",")] for step in steps.split()]
    if len({len(vector) for vector in vectors}) != 1:
        raise ValueError("steps differ in width")
    if not all(abs(value) <= LARGEST for vector in vectors for value in vector):
        raise ValueError("a number is not finite in single precision")
    return vectors


def _number(text: str) -> float:
    """A number; Python would also read 2003_01 as one, 200301."""
    if "_" in text:
        raise ValueError(f"{text!r} is not a number")
    return float(text)
