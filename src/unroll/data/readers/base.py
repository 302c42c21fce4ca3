"""What a reader is, and how it opens a file."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from unroll.data.fields import Field, Record
from unroll.errors import BadInput


class Reader(ABC):
    """A file format: a frozen dataclass, whose fields are its options.

    ``name`` is its name in settings, ``suffixes`` are those of files that are probably of the format. ``is_plain``
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
        """The records of a file, in its order.

        Raises:
            BadInput: the file is missing, or a line of it is bad.
        """

    def fill(self, path: Path, values: Iterator[str]) -> Iterator[bytes]:
        """The lines of a file with other values of the field ``fills``, and everything else byte for byte.

        Args:
            path: of the file.
            values: in the order of the file, one per step of a field of labels, or per record.
        """
        raise NotImplementedError(f"{self.name} fills no field")

    def check(self, files: Collection[Path]) -> None:  # noqa: B027  # most formats have no option that asks for content
        """Refuse options that ask for what none of a corpus's files has.

        Raises:
            BadInput: with what there is instead.
        """


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines of a UTF-8 file with their numbers, without line ends.

    Raises:
        BadInput: the file is missing, or a byte of it is not UTF-8 (its offset is named).
    """
    try:
        with path.open("rb") as file:
            yield from decoded(file, str(path))
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path} does not exist; correct the path, or put the file there.") from None
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
    """Lines of UTF-8 bytes as text with their numbers, without line ends.

    Args:
        lines: bytes, line by line.
        origin: what an error names.

    Raises:
        BadInput: a byte is not UTF-8 (its offset is named).
    """
    offset = 0
    for number, raw in enumerate(lines, start=1):
        try:
            # a byte-order mark, which some editors write, is no character of the text
            yield number, raw.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise BadInput(
                f"{origin}, line {number}: byte {offset + error.start} is not UTF-8; "
                "convert it, for example with iconv -t UTF-8."
            ) from None
        offset += len(raw)
