"""Words of the command line: settings whose value is text take it as it is, others by a grammar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import yaml

from unroll.config.explanation import sections
from unroll.config.file import Pairs
from unroll.config.hydra import parsed
from unroll.config.messages import GROUPS
from unroll.config.schema import Config
from unroll.config.study import StudyConfig
from unroll.errors import BadInput

CHOICES = (*GROUPS, "study")  # keys whose value is the name of a file


def is_text(key: str) -> bool:
    """Whether the value of a setting is text, such as a path or a title."""
    kinds = [*_kinds(key)]
    return key in CHOICES or (bool(kinds) and all(set(kind) <= {str, NoneType} for kind in kinds))


def text_of(key: str, value: str) -> str | None:
    """The text that a word gives to a setting: as it is, or what stands between quotation marks around all of it.

    Args:
        key: a setting whose value is text.
        value: what follows the equals sign; null, without quotation marks, for a setting that may have no value.
    """
    if value == "null" and any(NoneType in kind for kind in _kinds(key)):
        return None
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        quoted = parsed(f"x={value}")
        text = quoted.value() if quoted is not None else None
        return text if isinstance(text, str) else value
    return value


def pairs_of(words: Sequence[str], example: str) -> Pairs:
    """Settings as keys and values; those that are not text are YAML. Hydra's + and ++ make no difference.

    Args:
        words: settings such as ``seed=1``.
        example: an example of a setting, for messages.

    Raises:
        BadInput: a word is not a setting.
    """
    found: Pairs = []
    for word in words:
        key, equals, value = word.lstrip("+").partition("=")
        if not equals:
            raise BadInput(f"{word!r} is not a setting; write key=value, such as {example}.")
        try:
            found.append((key, text_of(key, value) if is_text(key) else yaml.safe_load(value)))
        except (yaml.YAMLError, ValueError):  # a date that does not exist, such as 2003-99-99, is a ValueError
            raise BadInput(f"{word!r}: the text after = is not a value; quote it.") from None
    return found


def _kinds(key: str) -> Iterator[tuple[Any, ...]]:
    """The types that a setting may have, in each section that has it."""
    section, _, last = key.rpartition(".")
    for model in (Config, StudyConfig):
        for name, part in sections(model, ""):
            if name == section and last in part.model_fields:
                yield _members(part.model_fields[last].annotation)
            elif section.startswith(name) and (rest := section[len(name) :].lstrip(".")) in part.model_fields:
                of_section = part.model_fields[rest].annotation
                if get_origin(of_section) is dict:  # with keys of the user's
                    yield _members(get_args(of_section)[1])


def _members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union; of another type, that type."""
    while hasattr(annotation, "__metadata__"):
        annotation = annotation.__origin__
    if get_origin(annotation) in (Union, UnionType):
        return tuple(member for part in get_args(annotation) for member in _members(part))
    return (annotation,)
