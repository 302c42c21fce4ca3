"""CoNLL-U: the format of Universal Dependencies, ten columns between tabs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from unroll.data.readers.base import Example, numbered_lines
from unroll.errors import BadInput

FORM, UPOS, MISC, WIDTH = 1, 3, 9, 10


def read(path: Path, probe: str | None, contrast: str | None) -> Iterator[Example]:
    """Sentences as words (FORM) with their parts of speech (UPOS); ranges and empty nodes are passed over.

    A comment ``# newdoc`` says that a document begins.

    Args:
        path: a UTF-8 file.
        probe: key of the MISC column whose value groups the tokens that are measured apart.
        contrast: key of the MISC column with the token that a probed one must beat.

    Raises:
        BadInput: a line has not ten columns, or its number is none.
    """
    tokens: list[str] = []
    labels: list[str] = []
    probes: list[tuple[int, str, str]] = []
    opens = False
    for number, line in numbered_lines(path):
        if not line:
            if tokens:
                yield Example(tokens, labels, probes, opens=opens)
                opens = False
            tokens, labels, probes = [], [], []
            continue
        if line.startswith("#"):
            opens = opens or re.match(r"#\s*newdoc\b", line) is not None
            continue
        cells = line.split("\t")
        if len(cells) != WIDTH:
            raise BadInput(
                f"{path}, line {number}: {len(cells)} columns, but CoNLL-U has ten between tabs; correct the line."
            )
        if not cells[0].isdigit():
            if cells[0].replace("-", "").replace(".", "").isdigit():
                continue  # a multiword range such as 3-4, or an empty node such as 8.1
            raise BadInput(f"{path}, line {number}: {cells[0]!r} is no token number; correct the first column.")
        if probe and f"{probe}=" in cells[MISC]:
            misc = dict(pair.partition("=")[::2] for pair in cells[MISC].split("|"))
            if probe in misc:
                probes.append((len(tokens), misc[probe], misc.get(contrast or "", "")))
        tokens.append(cells[FORM])
        labels.append(cells[UPOS])
    if tokens:
        yield Example(tokens, labels, probes, opens=opens)
