"""The Brown corpus as distributed by NLTK: a zip of samples, with one sentence of ``word/tag`` pairs per line."""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from unroll.data.fields import DocumentStart, Field, Labels, Record, Symbols
from unroll.data.readers.base import Reader
from unroll.errors import BadInput

# what reading a damaged archive may raise; RuntimeError for a password, NotImplementedError for an unknown method
DAMAGE = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError, RuntimeError, ValueError, OSError)
SAMPLE = re.compile(r"brown/c[a-r]\d\d")


@dataclass(frozen=True)
class Brown(Reader):
    """Sentences in the order of the samples, ca01 to cr09, as words with tags; each sample is a document."""

    name: ClassVar[str] = "brown"
    runs_on: ClassVar[bool] = True  # its published splits are of 800,000 and 200,000 words

    @property
    def fields(self) -> Mapping[str, Field]:
        return {"tokens": Symbols("words"), "labels": Labels("tokens"), "document": DocumentStart()}

    def read(self, path: Path) -> Iterator[Record]:
        has_samples = False
        for sample, content in _samples(path):
            has_samples = True
            yield from _sentences(content, f"{path}, {sample}")
        if not has_samples:
            raise BadInput(f"{path} has no samples brown/ca01 … brown/cr09; fetch brown again.")


def _samples(path: Path) -> Iterator[tuple[str, str]]:
    """Name and content of each sample in the archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(name for name in archive.namelist() if SAMPLE.fullmatch(name)):
                yield name, archive.read(name).decode("ascii")
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run: unroll data fetch brown") from None
    except PermissionError:
        raise
    except DAMAGE as error:
        raise BadInput(f"{path} is not the Brown corpus ({error}); fetch brown again.") from None


def _sentences(content: str, origin: str) -> Iterator[Record]:
    """The sentences of one sample."""
    is_first = True
    for number, line in enumerate(content.splitlines(), start=1):
        pairs = [token.rpartition("/") for token in line.split()]
        if any(not word for word, _, _ in pairs):
            raise BadInput(f"{origin}, line {number}: a token without /tag; fetch brown again.")
        if pairs:
            yield {"tokens": [word for word, _, _ in pairs], "labels": [tag for _, _, tag in pairs],
                   "document": is_first}  # fmt: skip
            is_first = False
