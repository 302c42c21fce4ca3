"""Settings of a corpus that are typed when it is added, spelled as for training: ``data.reader.token_column=1``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unroll.config import setting_of
from unroll.config.section import plain
from unroll.data.corpus import SPLITS
from unroll.errors import BadInput
from unroll.terminal import printable


def refuse_no_names(header: object) -> None:
    """Refuse a header that is not a list of names, such as true.

    Raises:
        BadInput: says how to write it.
    """
    if header is not None and (isinstance(header, str) or not isinstance(header, Sequence)):
        raise BadInput(f"data.reader.header={plain(header)}: give the names of the columns, such as "
                       "data.reader.header=[word,tag].")  # fmt: skip


def refuse_other_header(header: Sequence[str], firsts: Mapping[Path, Sequence[str]]) -> None:
    """Refuse a typed header with which no file begins.

    Args:
        header: names of the columns; empty for none.
        firsts: the first line of each file.
    """
    if header and [*header] not in firsts.values():
        file, first = next(iter(firsts.items()))
        raise BadInput(f"{file} begins with {printable(', '.join(first))}, and data.reader.header has "
                       f"{printable(', '.join(header))}; correct the names, or leave them out.")  # fmt: skip


def typed_settings(words: Sequence[str]) -> dict[str, Any]:
    """The section ``data`` that words of the command line give.

    Raises:
        BadInput: a word is not a setting of data, or gives its name.
    """
    content: dict[str, Any] = {}
    for word in words:
        key, value = setting_of(word)
        first, *names = key.split(".")
        if first != "data" or not names:
            raise BadInput(f"{word!r} is not a setting of a corpus; write data.KEY=VALUE, such as "
                           "data.reader.token_column=1 (unroll config --explain lists them).")  # fmt: skip
        if names == ["name"]:
            raise BadInput(f"{word!r}: name the corpus with --name {value}.")
        section = content
        for name in names[:-1]:
            section = section.setdefault(name, {})
            if not isinstance(section, dict):
                raise BadInput(f"{word!r} is a part of a setting that is given as a whole; give only one.")
        section[names[-1]] = value
    for split in SPLITS:
        if split in content and not isinstance(content[split], str):
            raise BadInput(f"data.{split}={content[split]}: expected the path of a file.")
    if not isinstance(content.get("reader", {}), dict):
        raise BadInput(f"data.reader={content['reader']}: a reader has a name and options; write "
                       f"data.reader.name={content['reader']}.")  # fmt: skip
    return content
