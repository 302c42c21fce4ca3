"""CoNLL-U: the format of Universal Dependencies, ten columns between tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field as Option

from unroll.data.fields import DocumentStart, Field, Labels, Probe, Record, Symbols
from unroll.data.readers.base import Reader, numbered_lines
from unroll.errors import BadInput

FORM, UPOS, MISC, WIDTH = 1, 3, 9, 10


@dataclass(frozen=True)
class Conllu(Reader):
    """Sentences as words (FORM) with their parts of speech (UPOS); ranges and empty nodes are skipped.

    A document begins at a comment ``# newdoc``.
    """

    name: ClassVar[str] = "conllu"
    suffixes: ClassVar[tuple[str, ...]] = (".conllu",)
    probe: Annotated[str | None, Option(description="MISC key whose value groups tokens measured apart.")] = None
    contrast: Annotated[str | None, Option(description="MISC key of the token that a probed one must beat.")] = None

    @property
    def fields(self) -> Mapping[str, Field]:
        found: dict[str, Field] = {
            "tokens": Symbols("words"), "labels": Labels("tokens"), "document": DocumentStart(),
        }  # fmt: skip
        return found | {"probe": Probe("tokens")} if self.probe else found

    def read(self, path: Path) -> Iterator[Record]:
        words: list[tuple[str, str, str]] = []  # FORM, UPOS, MISC
        is_first = False
        for number, line in numbered_lines(path):
            if not line:
                if words:
                    yield self._record(words, is_first)
                    is_first = False
                words = []
            elif line.startswith("#"):
                is_first = is_first or re.match(r"#\s*newdoc\b", line) is not None
            elif (cells := _cells(line, f"{path}, line {number}")) is not None:
                words.append((cells[FORM], cells[UPOS], cells[MISC]))
        if words:
            yield self._record(words, is_first)

    def _record(self, words: list[tuple[str, str, str]], is_first: bool) -> Record:
        record: dict[str, object] = {
            "tokens": [form for form, _, _ in words], "labels": [tag for _, tag, _ in words], "document": is_first,
        }  # fmt: skip
        if self.probe:
            record["probe"] = list(self._probes([misc for _, _, misc in words]))
        return record

    def _probes(self, miscs: list[str]) -> Iterator[tuple[int, str, str]]:
        for at, misc in enumerate(miscs):
            if f"{self.probe}=" in misc:
                pairs = dict(pair.partition("=")[::2] for pair in misc.split("|"))
                if self.probe in pairs:
                    yield at, pairs[self.probe], pairs.get(self.contrast or "", "")


def _cells(line: str, place: str) -> list[str] | None:
    """The columns of a word; None of a multiword range such as 3-4, or of an empty node such as 8.1."""
    cells = line.split("\t")
    if len(cells) != WIDTH:
        raise BadInput(f"{place}: {len(cells)} columns, but CoNLL-U has ten between tabs; correct the line.")
    if cells[0].isdigit():
        return cells
    if cells[0].replace("-", "").replace(".", "").isdigit():
        return None
    raise BadInput(f"{place}: {cells[0]!r} is not a token number; correct the first column.")
