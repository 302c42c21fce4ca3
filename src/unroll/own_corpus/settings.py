"""Settings of a corpus that are typed when it is added, spelled as for training: ``data.reader.token_column=1``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from unroll.config import setting_of
from unroll.data.corpus import SPLITS
from unroll.errors import BadInput


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
