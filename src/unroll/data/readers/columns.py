"""CoNLL columns: one token per line, columns between tabs or blanks, an empty line after each sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from unroll.data.readers.base import Example, numbered_lines
from unroll.errors import BadInput

COMMENT = re.compile(r"# [^\t=]+ = [^\t]*")  # as CoNLL-U has it: "# name = value"; "#" alone may be a token


def read(path: Path, token_column: int, label_column: int, scheme: str | None) -> Iterator[Example]:
    """Sentences of a file in CoNLL columns; comments ``# name = value`` before a sentence are passed over.

    A line ``-DOCSTART-`` says that a document begins.

    Args:
        path: a UTF-8 file.
        token_column: column of the token, from 0; negative counts from the last.
        label_column: column of the label, likewise.
        scheme: ``bio`` if labels must be ``O``, ``B-…`` or ``I-…``; an ``I-X`` that goes on with nothing is read as
            ``B-X``, as the scorers of shared tasks count it. None if any label will do.

    Raises:
        BadInput: a line has another number of columns than the first, token and label are one column, or a label
            breaks the scheme.
    """
    tokens: list[str] = []
    labels: list[str] = []
    width, opens = 0, False
    for number, line in numbered_lines(path):
        if not line.strip() or line.startswith("-DOCSTART-"):
            if tokens:
                yield Example(tokens, labels, opens=opens)
                opens = False
            opens = opens or line.startswith("-DOCSTART-")
            tokens, labels = [], []
            continue
        if not tokens and COMMENT.fullmatch(line):
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        width = width or len(cells)
        if (
            len(cells) != width
            or not -width <= min(token_column, label_column) <= max(token_column, label_column) < width
        ):
            raise BadInput(
                f"{path}, line {number}: {len(cells)} columns, but the first line has {width} and token_column "
                f"{token_column}, label_column {label_column} are asked for; correct the line or the columns."
            )
        if token_column % width == label_column % width:
            raise BadInput(f"{path}, line {number}: {_one_column(width, token_column, label_column)}.")
        label = cells[label_column].strip()
        if scheme == "bio" and label != "O" and not re.fullmatch(r"[BI]-.+", label):
            raise BadInput(f"{path}, line {number}: {label!r} is no BIO label; write O, B-TYPE or I-TYPE.")
        if scheme == "bio" and label[0] == "I" and not (labels and labels[-1] in (f"B-{label[2:]}", label)):
            label = f"B-{label[2:]}"
        tokens.append(cells[token_column].strip())
        labels.append(label)
    if tokens:
        yield Example(tokens, labels, opens=opens)


def _one_column(width: int, token_column: int, label_column: int) -> str:
    """Why tokens have no labels where both are in one column, with what to do."""
    if width == 1:
        return ("there is one column, so that its words have no labels; put tabs or blanks between word and label, or "
                "read text without labels from a .txt file (data.reader=text)")  # fmt: skip
    return (f"data.token_column={token_column} and data.label_column={label_column} are one column of {width}; give "
            "each its own")  # fmt: skip
