"""CoNLL-U: the format of Universal Dependencies, with ten columns separated by tabs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field as Option

from unroll.data.fields import DocumentStart, Field, Labels, Probe, Record, Symbols
from unroll.data.readers.base import Reader, numbered_lines, whole_lines
from unroll.errors import BadInput, nearest

FORM, UPOS, MISC, WIDTH = 1, 3, 9, 10


@dataclass(frozen=True)
class Conllu(Reader):
    """Sentences as words (FORM) with their parts of speech (UPOS); ranges and empty nodes are skipped.

    A comment ``# newdoc`` starts a document.
    """

    name: ClassVar[str] = "conllu"
    suffixes: ClassVar[tuple[str, ...]] = (".conllu",)
    fills: ClassVar[str] = "labels"
    probe: Annotated[str | None, Option(description="MISC key of probed tokens; its value is their group.")] = None
    contrast: Annotated[str | None, Option(description="MISC key of the token that a probed one must beat.")] = None

    def __post_init__(self) -> None:
        if self.contrast and not self.probe:
            raise ValueError(f"data.reader.contrast={self.contrast} requires data.reader.probe, since it applies to "
                             "probed tokens; set both, or remove it with ~data.reader.contrast")  # fmt: skip

    @property
    def fields(self) -> Mapping[str, Field]:
        labels = Labels("tokens", column="UPOS, the fourth column")
        found: dict[str, Field] = {"tokens": Symbols("words"), "labels": labels, "document": DocumentStart()}
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

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        for mark, line, end in whole_lines(path):
            cells = line.split("\t")
            if cells[0].isdigit():  # a word, since the file was read
                cells[UPOS] = next(values)
            filled = "\t".join(cells)
            yield f"{mark}{filled}{end}".encode()

    def check(self, files: Collection[Path]) -> None:
        if not self.probe:
            return
        everywhere: set[str] = set()  # keys of any token
        beside: set[str] = set()  # keys of probed tokens
        for path in files:
            for misc in _miscs(path):
                found = _pairs(misc).keys()
                everywhere |= found
                if self.probe in found:
                    beside |= found
        place = ", ".join(map(str, files))
        if self.probe not in everywhere:
            raise BadInput(_no_key("probe", self.probe, f"no token of {place}", everywhere))
        if self.contrast and self.contrast not in beside:
            tokens = f"no token with {self.probe} of {place}"
            raise BadInput(_no_key("contrast", self.contrast, tokens, beside - {self.probe}))

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
                pairs = _pairs(misc)
                if self.probe in pairs:
                    yield at, pairs[self.probe], pairs.get(self.contrast or "", "")


def _pairs(misc: str) -> dict[str, str]:
    """The keys of MISC with their values; entries other than ``key=value`` are ignored."""
    return dict(pair.split("=", maxsplit=1) for pair in misc.split("|") if "=" in pair)


def _miscs(path: Path) -> Iterator[str]:
    """Yield the MISC column of each word that has one."""
    for number, line in numbered_lines(path):
        if line and not line.startswith("#"):
            cells = _cells(line, f"{path}, line {number}")
            if cells is not None and cells[MISC] != "_":
                yield cells[MISC]


def _no_key(option: str, key: str, tokens: str, known: set[str]) -> str:
    """The message for a MISC key that no token has."""
    there = f"choose one of {', '.join(sorted(known))}, or" if known else "there are no other keys, so"
    return (f"data.reader.{option}={key}: {tokens} has this key in its last column, MISC{nearest(key, sorted(known))}; "
            f"{there} remove the setting with ~data.reader.{option}.")  # fmt: skip


def _cells(line: str, place: str) -> list[str] | None:
    """The columns of a word; None for a multiword range such as 3-4 or an empty node such as 8.1."""
    cells = line.split("\t")
    if len(cells) != WIDTH:
        raise BadInput(f"{place}: {len(cells)} columns, but CoNLL-U has ten, separated by tabs; correct the line.")
    if cells[0].isdigit():
        return cells
    if cells[0].replace("-", "").replace(".", "").isdigit():
        return None
    raise BadInput(f"{place}: {cells[0]!r} is not a token number; correct the first column.")
