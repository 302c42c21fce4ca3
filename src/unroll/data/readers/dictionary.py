"""Pronouncing dictionaries: a word and its phones per line, with further pronunciations on the lines that follow."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import ClassVar, NamedTuple

from unroll.data.fields import NOT_GIVEN, Field, Located, Record, References, Symbols
from unroll.data.readers.base import Reader, is_blank, whole_lines
from unroll.errors import BadInput

ENTRY = re.compile(
    r"(?P<indent>\s*+)(?P<word>[^\t]*[^\t\s](?=\s*\t)|\S+)(?P<gap>\s*+)(?P<phones>.*?)(?P<rest>(\s*(?<=\s)#.*)?\s*)"
)
VARIANT = re.compile(r"(?<=.)\(\d+\)$")  # of cmudict: word(2)


class _Entry(NamedTuple):
    """A line of a dictionary."""

    number: int
    word: str
    phones: tuple[str, ...]


@dataclass(frozen=True)
class Dictionary(Reader):
    """Words, read as characters, with their phones: CMUdict and WikiPron.

    Word and phones are separated by a tab or by blanks, phones by blanks. Lines that follow each other with the same
    word, as it is or as ``word(2)``, are one record with several right answers. Lines that begin with ``;;;`` and what
    follows ``#`` after a blank are comments.
    """

    name: ClassVar[str] = "dictionary"
    suffixes: ClassVar[tuple[str, ...]] = (".dict",)
    fills: ClassVar[str] = "target"

    @property
    def fields(self) -> Mapping[str, Field]:
        return {
            "source": Symbols("characters"),
            "target": Symbols("words"),
            "references": References("target", "words"),
        }

    def read(self, path: Path) -> Iterator[Record]:
        return self._words(path, asks=False)

    def questions(self, path: Path) -> Iterator[Record]:
        return self._words(path, asks=True)

    def _words(self, path: Path, asks: bool) -> Iterator[Record]:
        for word, same in groupby(self._entries(path, asks), key=lambda entry: entry.word):
            entries = list(same)
            answers = list(dict.fromkeys(entry.phones for entry in entries))
            yield Located({"source": word, "target": answers[0], "references": answers}, [entries[0].number])

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        last = ""
        for _, mark, line, end in whole_lines(path):
            if not _is_entry(line):
                yield f"{mark}{line}{end}".encode()
                continue
            found = _parts(line)
            word = VARIANT.sub("", found["word"])
            if word != last:  # one answer stands for all pronunciations of a word
                gap = found["gap"] if found["phones"] or "\t" in found["gap"] else "  "
                before_rest = " " if not found["phones"] and found["rest"].startswith("#") else ""
                start = f"{mark}{found['indent']}{found['word']}{gap}"
                yield f"{start}{next(values)}{before_rest}{found['rest']}{end}".encode()
            last = word

    def _entries(self, path: Path, asks: bool) -> Iterator[_Entry]:
        for number, _, line, _ in whole_lines(path):
            if _is_entry(line):
                found = _parts(line)
                phones = tuple(found["phones"].split() or ([NOT_GIVEN] if asks else []))
                if not phones:
                    raise BadInput(f"{path}, line {number}: {found['word']!r} has no pronunciation; write its phones "
                                   "after the word, separated by blanks, or remove the line.")  # fmt: skip
                yield _Entry(number, VARIANT.sub("", found["word"]), phones)


def _is_entry(line: str) -> bool:
    return not is_blank(line) and not line.startswith(";;;")


def _parts(line: str) -> dict[str, str]:
    """The parts of a line: indent, word, gap, phones, and rest, which may be a comment."""
    found = ENTRY.fullmatch(line)
    assert found is not None
    return found.groupdict()
