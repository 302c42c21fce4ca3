"""The Brown corpus as NLTK distributes it: a zip of samples, one sentence per line as ``word/tag``."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from unroll.data.readers.base import Example
from unroll.errors import BadInput

SAMPLE = re.compile(r"brown/c[a-r]\d\d")


def read(path: Path) -> Iterator[Example]:
    """Sentences in the order of the samples, ca01 to cr09, as words with their tags.

    Args:
        path: ``brown.zip``.

    Raises:
        BadInput: the file is missing, is not that zip, or a token has no tag.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            samples = sorted(name for name in archive.namelist() if SAMPLE.fullmatch(name))
            if not samples:
                raise BadInput(f"{path} has no samples brown/ca01 … brown/cr09; fetch brown again.")
            for sample in samples:
                opens = True
                for number, line in enumerate(archive.read(sample).decode("ascii").splitlines(), start=1):
                    pairs = [token.rpartition("/") for token in line.split()]
                    if any(not word for word, _, _ in pairs):
                        raise BadInput(f"{path}, {sample}, line {number}: a token without /tag; fetch brown again.")
                    if pairs:
                        yield Example([word for word, _, _ in pairs], [tag for _, _, tag in pairs], opens=opens)
                        opens = False
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run: unroll data fetch brown") from None
    except (zipfile.BadZipFile, zlib.error, IsADirectoryError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is not the Brown corpus ({error}); fetch brown again.") from None
