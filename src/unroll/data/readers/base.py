"""The base class of readers, and functions that read lines of text."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from unroll.data.fields import Field, Record
from unroll.errors import BadInput


class Reader(ABC):
    """A file format: a frozen dataclass, whose fields are the options.

    ``name`` is its name in settings, ``suffixes`` are the usual suffixes of its files. ``is_plain``
    marks a format whose lines are what a person would type; ``fills`` names the field that :meth:`fill` can replace.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    is_plain: ClassVar[bool] = False
    fills: ClassVar[str] = ""

    @property
    @abstractmethod
    def fields(self) -> Mapping[str, Field]:
        """The fields of every record."""

    @abstractmethod
    def read(self, path: Path) -> Iterator[Record]:
        """Yield the records of a file in order.

        Raises:
            BadInput: the file is missing or has an invalid line.
        """

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        """The lines of a file with other values of the field ``fills``, and everything else byte for byte.

        Args:
            path: of the file.
            values: in the order of the file, one per step of a field of labels, or per record.
        """
        raise NotImplementedError(f"{self.name} fills no field")

    def check(self, files: Collection[Path]) -> None:  # noqa: B027  # most formats have no option that asks for content
        """Check options against the content of the files of a corpus.

        Raises:
            BadInput: an option refers to something that no file contains.
        """


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the numbered lines of a UTF-8 file, without line ends.

    Raises:
        BadInput: the file is missing, or has a byte that is not UTF-8; the message gives its offset.
    """
    try:
        with path.open("rb") as file:
            yield from decoded(file, str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path} does not exist; correct the path, or create the file.") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder; name a file.") from None


def whole_lines(path: Path) -> Iterator[tuple[str, str, str]]:
    """Lines as :func:`numbered_lines` has them, each between its byte-order mark, mostly none, and its line end.

    Raises:
        BadInput: as of :func:`numbered_lines`.
    """
    with path.open("rb") as file:
        for raw, (_, line) in zip(file, numbered_lines(path), strict=True):
            mark, found, end = raw.decode("utf-8").partition(line) if line else ("", "", raw.decode("utf-8"))
            yield mark, found, end


def decoded(lines: Iterable[bytes], origin: str) -> Iterator[tuple[int, str]]:
    """Decode lines of UTF-8 and yield them with their numbers, without line ends.

    Args:
        lines: lines of bytes.
        origin: their source, for messages.

    Raises:
        BadInput: a byte is not UTF-8; the message gives its offset.
    """
    offset = 0
    for number, raw in enumerate(lines, start=1):
        try:
            # drops the byte-order mark that some editors write
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{origin}, line {number}: byte {offset + error.start} is not UTF-8; "
                "convert it, for example with iconv -t UTF-8."
            ) from None
        offset += len(raw)
