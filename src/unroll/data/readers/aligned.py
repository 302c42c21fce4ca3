"""Line-aligned text: two files of equal numbers of lines, of which each pair of lines is a source and its target."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field as Option

from unroll.data.fields import NOT_GIVEN, Field, Located, Record, References
from unroll.data.readers.base import Reader, is_blank, numbered_lines, whole_lines
from unroll.data.subwords import LEAST
from unroll.data.units import Unit, split, symbols_of
from unroll.errors import BadInput

Ending = Annotated[str, Option(pattern=r"^[^/\\\x00-\x1f]+$")]


@dataclass(frozen=True)
class Aligned(Reader):
    """Pairs of lines, of files whose names differ in their ends alone, such as ``train.en`` and ``train.de``.

    The settings name the file of the sources. A pair of empty lines is skipped.
    """

    name: ClassVar[str] = "aligned"
    fills: ClassVar[str] = "target"
    source: Annotated[Ending, Option(description="How the name of a file of sources ends, such as .en.")]
    target: Annotated[Ending, Option(description="How the name of its file of targets ends instead, such as .de.")]
    source_unit: Annotated[Unit, Option(description="Unit of the source; tokens are words and marks.")] = "words"
    target_unit: Annotated[Unit, Option(description="Unit of the target, likewise.")] = "words"
    subword_size: Annotated[
        int, Option(ge=LEAST, description="Greatest number of symbols of each side whose unit is subwords.")
    ] = 8_000

    @property
    def fields(self) -> Mapping[str, Field]:
        return {
            "source": symbols_of(self.source_unit, self.subword_size),
            "target": symbols_of(self.target_unit, self.subword_size),
            "references": References("target", self.target_unit),
        }

    def files(self, path: Path) -> Sequence[Path]:
        stem = path.name.removesuffix(self.source)
        if stem in ("", path.name) or self.source == self.target:
            raise BadInput(f"{path} is a file of sources, so its name must end in {self.source} (data.reader.source), "
                           f"and that of its targets in {self.target} (data.reader.target); correct them.")  # fmt: skip
        return [path, path.with_name(stem + self.target)]

    def symbols(self, field: str, line: str) -> Sequence[str]:
        return split(line, self.source_unit if field == "source" else self.target_unit)

    def read(self, path: Path) -> Iterator[Record]:
        for number, line, other in self._pairs(path):
            for part, file in zip((line, other), self.files(path), strict=True):
                if is_blank(part):
                    other_file = self._other(path, file)
                    raise BadInput(f"{file}, line {number} is empty, but that of {other_file} is not; "
                                   "write the line, or empty both.")  # fmt: skip
            target = split(other, self.target_unit)
            yield Located({"source": split(line, self.source_unit), "target": target, "references": [target]}, [number])

    def questions(self, path: Path) -> Iterator[Record]:
        if self.files(path)[1].exists():
            yield from self.read(path)
            return
        target = split(NOT_GIVEN, self.target_unit)
        for number, line in numbered_lines(path):
            if not is_blank(line):
                yield Located({"source": split(line, self.source_unit), "target": target, "references": [target]},
                              [number])  # fmt: skip

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        _, targets = self.files(path)
        for _, mark, line, end in whole_lines(targets if targets.exists() else path):
            yield f"{mark}{line if is_blank(line) else next(values)}{end}".encode()

    def _other(self, path: Path, file: Path) -> Path:
        """The other one of the two files."""
        return next(each for each in self.files(path) if each != file)

    def _pairs(self, path: Path) -> Iterator[tuple[int, str, str]]:
        """Number and both lines of each pair that is not empty."""
        sources, targets = (numbered_lines(file) for file in self.files(path))
        for number, pair in enumerate(zip_longest(sources, targets), start=1):
            if None in pair:
                raise self._unequal(path)
            (_, line), (_, other) = pair
            if not is_blank(line) or not is_blank(other):
                yield number, line, other

    def _unequal(self, path: Path) -> BadInput:
        """The error about two files of different numbers of lines."""
        counts = [f"{file} has {sum(1 for _ in numbered_lines(file)):,} lines" for file in self.files(path)]
        return BadInput(f"{' and '.join(counts)}, so they are not aligned; restore the missing lines.")
