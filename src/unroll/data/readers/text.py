"""Plain text: one sentence per line with words separated by spaces, or characters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import Field as Option

from unroll.data.fields import Field, Located, Record, Symbols
from unroll.data.readers.base import Reader, is_blank, numbered_lines


@dataclass(frozen=True)
class Text(Reader):
    """Lines as sequences of words, or of characters including the line break."""

    name: ClassVar[str] = "text"
    suffixes: ClassVar[tuple[str, ...]] = (".txt",)
    is_plain: ClassVar[bool] = True
    runs_on: ClassVar[bool] = True
    unit: Annotated[Literal["words", "characters"], Option(description="Unit of the symbols.")] = "words"

    @property
    def fields(self) -> Mapping[str, Field]:
        return {"tokens": Symbols(self.unit)}

    def symbols(self, field: str, line: str) -> Sequence[str]:  # noqa: ARG002  # there is one field
        return f"{line}\n" if self.unit == "characters" else line.split()

    def read(self, path: Path) -> Iterator[Record]:
        for number, line in numbered_lines(path):
            if self.unit == "characters":
                yield Located({"tokens": line + "\n"}, [number])
            elif not is_blank(line):
                yield Located({"tokens": line.split()}, [number])
