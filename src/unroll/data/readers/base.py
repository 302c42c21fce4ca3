"""What a reader yields, and how it opens a file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from unroll.errors import BadInput


class Example(NamedTuple):
    """One sequence of a corpus.

    Args:
        tokens: words, or one string of characters; empty for real vectors.
        labels: one per token, where the format has them.
        probes: (position, group, contrast or "") of the tokens that are measured apart.
        vectors: one per step, for real vectors.
        target: one number for the whole sequence, for real vectors.
        opens: whether a document begins with it, where the format tells documents.
    """

    tokens: Sequence[str] = ()
    labels: Sequence[str] | None = None
    probes: Sequence[tuple[int, str, str]] = ()
    vectors: Sequence[Sequence[float]] = ()
    target: float = 0.0
    opens: bool = False


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
