"""CoNLL-U: the format of Universal Dependencies, with ten columns separated by tabs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from pydantic import Field as Option

from unroll.data.fields import NOT_GIVEN, DocumentStart, Field, Labels, Located, Probe, Record, Symbols
from unroll.data.readers.base import Reader, is_blank, numbered_lines, whole_lines
from unroll.errors import BadInput, nearest

FORM, UPOS, MISC, WIDTH = 1, 3, 9, 10
NUMBER, SKIPPED = re.compile(r"[0-9]+"), re.compile(r"[0-9]+[-.][0-9]+")  # of a word; of a range, or an empty node


class _Word(NamedTuple):
    form: str
    tag: str
    misc: str
    line: int


@dataclass(frozen=True)
class Conllu(Reader):
    """Sentences as words (FORM) with their parts of speech (UPOS); ranges and empty nodes are skipped.

    A comment ``# newdoc`` starts a document. The words of a sentence are numbered 1, 2, 3, and so on; ``_`` in place of
    a part of speech means that it is not given.
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
        labels = Labels("tokens", column="UPOS, the fourth column", has_gaps=True)
        found: dict[str, Field] = {"tokens": Symbols("words"), "labels": labels, "document": DocumentStart()}
        return found | {"probe": Probe("tokens")} if self.probe else found

    @property
    def grouped_by(self) -> tuple[str, ...]:
        return (self.probe,) if self.probe else ()

    def read(self, path: Path) -> Iterator[Record]:
        words: list[_Word] = []
        is_first = False
        for number, line in numbered_lines(path):
            if _ends_sentence(line):
                if words:
                    yield self._record(words, is_first)
                    is_first = False
                words = []
            elif line.startswith("#"):
                is_first = is_first or re.match(r"#\s*newdoc\b", line) is not None
            elif (cells := _cells(line, path, number)) is not None:
                words.append(_word(cells, number, len(words) + 1, path))
        if words:
            yield self._record(words, is_first)

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        for _, mark, line, end in whole_lines(path):
            cells = line.split("\t")
            if NUMBER.fullmatch(cells[0]):  # a word, since the file was read
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

    def _record(self, words: list[_Word], is_first: bool) -> Record:
        record: dict[str, object] = {
            "tokens": [word.form for word in words], "labels": [word.tag for word in words], "document": is_first,
        }  # fmt: skip
        if self.probe:
            record["probe"] = list(self._probes([word.misc for word in words]))
        return Located(record, [word.line for word in words])

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
        if not _ends_sentence(line) and not line.startswith("#"):
            cells = _cells(line, path, number)
            if cells is not None and cells[MISC] != "_":
                yield cells[MISC]


def _no_key(option: str, key: str, tokens: str, known: set[str]) -> str:
    """The message for a MISC key that no token has."""
    there = f"choose one of {', '.join(sorted(known))}, or" if known else "there are no other keys, so"
    return (f"data.reader.{option}={key}: {tokens} has this key in its last column, MISC{nearest(key, sorted(known))}; "
            f"{there} remove the setting with ~data.reader.{option}.")  # fmt: skip


def _cells(line: str, path: Path, number: int) -> list[str] | None:
    """The columns of a word; None for a multiword range such as 3-4 or an empty node such as 8.1."""
    cells = line.split("\t")
    if len(cells) != WIDTH:
        raise BadInput(f"{path}, line {number}: {len(cells)} column{'s' * (len(cells) != 1)}, but CoNLL-U has ten, "
                       f"separated by tabs; correct the line, with {NOT_GIVEN} for what is not given, or read other "
                       "columns with data.reader.name=columns.")  # fmt: skip
    if cells[0].isdecimal() and cells[0].isascii():
        return cells
    if SKIPPED.fullmatch(cells[0]):
        return None
    raise BadInput(f"{path}, line {number}: {cells[0]!r} is not a token number; correct the first column.")


def _word(cells: list[str], line: int, expected: int, path: Path) -> _Word:
    """The word of a line, which must have the next number of its sentence."""
    if cells[0] != str(expected):
        remedy = ("insert an empty line before this sentence" if cells[0] == "1"
                  else "if its sentence goes on, remove the empty line before it; otherwise correct the first column"
                  if expected == 1 and line > 1
                  else "correct the first column, or restore the missing words")  # fmt: skip
        raise BadInput(f"{path}, line {line}: the word has number {cells[0]}, but number {expected} of its sentence is "
                       f"next; {remedy}.")  # fmt: skip
    if is_blank(cells[FORM]):
        raise BadInput(f"{path}, line {line}: FORM, the second column, is empty; write the word.")
    if is_blank(cells[UPOS]):
        raise BadInput(f"{path}, line {line}: UPOS, the fourth column, is empty; write the part of speech, or "
                       f"{NOT_GIVEN} if it is not given.")  # fmt: skip
    return _Word(cells[FORM], cells[UPOS], cells[MISC], line)


def _ends_sentence(line: str) -> bool:
    """Whether a line is empty, or looks like it."""
    return is_blank(line) and "\t" not in line
