"""The base class of readers, and functions that read lines of text."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import ClassVar
from unicodedata import category

from unroll.data.fields import Field, Record, Symbols
from unroll.data.units import split
from unroll.errors import BadInput

PACKED = {  # what packed files begin with, the program that unpacks them, and the suffix that it expects
    b"\x1f\x8b": ("gzip", ".gz"),
    b"\xfd7zXZ\0": ("xz", ".xz"),
    b"BZh": ("bzip2", ".bz2"),
    b"\x28\xb5\x2f\xfd": ("zstd", ".zst"),
    b"\x04\x22\x4d\x18": ("lz4", ".lz4"),
    b"\x5d\0\0": ("xz", ".lzma"),
    b"\x1f\x9d": ("gzip", ".Z"),
}
FOREIGN = {  # what other files begin with, what they are, and the command that gets at their content
    b"PK\x03\x04": ("a zip archive; unpack it", "python -m zipfile -e {file} {file}.unpacked"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive; unpack it", "7z x -o{file}.unpacked {file}"),
    b"%PDF-": ("a PDF; get its text", "pdftotext {file}"),
}
TAR = slice(257, 262)  # bytes of a tar archive that are TAR_MARK
TAR_MARK = b"ustar"
MARK = "\ufeff"  # the byte-order mark of UTF-8
UTF_16 = (b"\xff\xfe", b"\xfe\xff")  # byte-order marks
UTF_32 = (b"\xff\xfe\0\0", b"\0\0\xfe\xff")


class Reader(ABC):
    """A file format: a frozen dataclass, whose fields are the options.

    ``name`` is its name in settings, ``suffixes`` are the usual suffixes of its files. ``is_plain``
    marks a format whose lines are what a person would type; ``runs_on`` marks a format of running text, in which a cut
    between splits may divide a sequence; ``fills`` names the field that :meth:`fill` can replace.
    """

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]] = ()
    is_plain: ClassVar[bool] = False
    runs_on: ClassVar[bool] = False
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

    def questions(self, path: Path) -> Iterator[Record]:
        """The records of a file, as :meth:`read` yields them, whose values of the field ``fills`` may be missing.

        Raises:
            BadInput: as of :meth:`read`.
        """
        return self.read(path)

    def files(self, path: Path) -> Sequence[Path]:
        """All files of a split whose file in the settings is ``path``, which is the first of them."""
        return [path]

    @property
    def grouped_by(self) -> tuple[str, ...]:
        """What the groups that have figures of their own are, such as a number of digits; empty if there are none."""
        return ()

    def symbols(self, field: str, line: str) -> Sequence[str]:
        """What a record has in a field of symbols if ``line`` is all that is given of it."""
        kind = self.fields[field]
        assert isinstance(kind, Symbols)
        return split(line, kind.unit)

    def written(self, field: str, value: Sequence[str]) -> Sequence[str]:  # noqa: ARG002  # most have one spelling
        """A value of a field of labels as a file has it, where records have another spelling."""
        return value

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
        BadInput: the file is missing, is packed or in another encoding, or has a damaged byte, whose offset is given.
    """
    return _plain(_numbered(path))


def whole_lines(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Numbered lines as :func:`numbered_lines` has them, each between its byte-order marks, mostly none, and its end.

    Raises:
        BadInput: as of :func:`numbered_lines`.
    """
    for number, text in _numbered(path):
        content = text.lstrip(MARK)
        line = content.rstrip("\r\n")
        yield number, text[: len(text) - len(content)], line, content[len(line) :]


def decoded(lines: Iterable[bytes], origin: str) -> Iterator[tuple[int, str]]:
    """Decode lines of UTF-8 and yield them with their numbers, without line ends.

    Args:
        lines: lines of bytes.
        origin: their source, for messages.

    Raises:
        BadInput: as of :func:`numbered_lines`.
    """
    return _plain(_decoded(lines, origin, "FILE"))


def is_blank(line: str) -> bool:
    """Whether a line shows nothing: it has only blanks of any kind, such as no-break spaces, and invisible marks."""
    if not line or line[0].isalnum():
        return not line
    return all(letter.isspace() or category(letter) in ("Cc", "Cf") for letter in line)


def _plain(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Numbered lines without line ends and byte-order marks, which some editors write, and joined files have inside."""
    for number, text in lines:
        yield number, text.lstrip(MARK).rstrip("\r\n")


def _numbered(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a file, with all their characters."""
    try:
        with path.open("rb") as file:
            yield from _decoded(file, str(path), shlex.quote(str(path)))
    except (FileNotFoundError, NotADirectoryError):
        raise BadInput(f"{path} does not exist; correct the path, or create the file.") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder; name a file.") from None


def _decoded(lines: Iterable[bytes], origin: str, file: str) -> Iterator[tuple[int, str]]:
    """Number and content of each line; ``file`` is what a shell takes for the source."""
    offset, is_utf_8 = 0, False  # whether there was a character of several bytes
    # lines of bytes end with a line feed only
    ended = chain.from_iterable(raw.splitlines(keepends=True) if b"\r" in raw else (raw,) for raw in lines)
    before = b""
    for number, raw in enumerate(ended, start=1):
        if number == 1:
            _refuse_packed(raw, origin, file)
        if raw == b"\r\n" and before.endswith(b"\r"):
            command = _changed(file, "tr -d '\\r' <")
            raise BadInput(f"{origin}, line {number - 1}: the line ends with CR CR LF, as if line ends were converted "
                           f"twice; remove all CR: {command}")  # fmt: skip
        before = raw
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError as error:
            other = f"if the file is in another encoding, convert it, such as: {_converted(file, '-f LATIN1')}; "
            raise BadInput(
                f"{origin}, line {number}: byte {offset + error.start} is not UTF-8; {'' if is_utf_8 else other}"
                f"if it is damaged, remove all damaged bytes: {_converted(file, '-c -f UTF-8')}"
            ) from None
        if b"\0" in raw:
            raise BadInput(f"{origin}, line {number}: a zero byte, which no text has; {_without_zeros(raw, file)}")
        yield number, text
        offset += len(raw)
        is_utf_8 = is_utf_8 or not raw.isascii()


def _without_zeros(line: bytes, file: str) -> str:
    """The remedy for a line with zero bytes, which are half of the bytes of Latin letters in UTF-16."""
    share = line.count(0) / len(line)
    if share < 0.4:
        return "remove it, or, if the file is no text, get at its text first."
    encoding = f"UTF-{32 if share > 0.7 else 16}{'LE' if line[0] else 'BE'}"
    return f"if the file is {encoding}, convert it: {_converted(file, f'-f {encoding}')}"


def _refuse_packed(start: bytes, origin: str, file: str) -> None:
    """Refuse a file that begins like a packed one or like UTF-16, with the command that helps."""
    for encoding, marks in (("UTF-32", UTF_32), ("UTF-16", UTF_16)):
        if start.startswith(marks):
            raise BadInput(f"{origin} is {encoding}; convert it to UTF-8: {_converted(file, f'-f {encoding}')}")
    for signature, (what, command) in FOREIGN.items():
        if start.startswith(signature):
            raise BadInput(f"{origin} is {what}: {command.format(file=file)}")
    if start[TAR] == TAR_MARK:
        unpacked = f"{file}.unpacked"
        raise BadInput(f"{origin} is a tar archive; unpack it: mkdir {unpacked} && tar -xf {file} -C {unpacked}")
    for signature, (program, suffix) in PACKED.items():
        if start.startswith(signature):
            named = file if suffix in file[-len(suffix) - 1 :] else f"{file}{suffix}"  # a quotation mark may follow
            renamed = "" if named == file else f"mv {file} {named} && "
            raise BadInput(f"{origin} is packed with {program}; unpack it: {renamed}{program} -dk {named}")


def _converted(file: str, options: str) -> str:
    """The command that converts a file to UTF-8 under the same name, and keeps the original beside it."""
    return _changed(file, f"iconv {options} -t UTF-8")


def _changed(file: str, program: str) -> str:
    """The command that runs a program over a file, and keeps the original beside it."""
    return f"mv {file} {file}.original && {program} {file}.original > {file}"
