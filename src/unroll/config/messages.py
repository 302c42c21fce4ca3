"""One-sentence messages for invalid settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from unroll.config.explanation import keys
from unroll.config.origin import Origin, Source, line_of
from unroll.config.section import UNSAFE, plain
from unroll.errors import BadInput, nearest, no_such

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHOWN = 60  # characters of an invalid value that a message repeats
GROUPS = ("experiment", "data", "task", "arch", "training", "tracking")
TAGS = {  # names that pydantic gives to the members of a union of sections
    "recurrent", "convolutional", "feedforward", "ngram",
    "softmax", "crf", "feedback", "cnn", "bilstm", "choices", "range",
    "int", "float", "str", "bool",
}  # fmt: skip
# pydantic's names of errors about the type of a value
OTHER_KIND = re.compile(r"[a-z]+_(type|parsing|from_float|attributes_type)")
MOVED = ("probe", "contrast", "token_column", "label_column", "scheme", "unit")  # from data to data.reader
RENAMED = {f"data.{key}": f"data.reader.{key}" for key in MOVED}
EXPECTED = {  # the expected values, by the prefix of the name of pydantic's error
    "string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list",
    "dict": "{key: value}", "model": "{key: value}",
}  # fmt: skip


def first_sentence(message: str, overrides: Sequence[str]) -> str:
    """The first line of another package's message, as a sentence with its origin."""
    line = " ".join(message.split("\n")[0].split()).rstrip(".")
    return f"{line}; correct the settings ({' '.join(overrides)})."


def explain_error(error: ValidationError, origin: str | Path | Origin, kind: type[BaseModel], prefix: str = "") -> str:
    """One sentence for the first error.

    An unsafe name takes precedence, since it may be an attack; then an unknown key, which was probably meant to be one
    that is missing.

    Args:
        error: the error of pydantic.
        origin: where the settings come from.
        kind: model of the section that was checked.
        prefix: prefix of its keys.
    """
    first = _first(error)
    if isinstance(origin, Origin):
        return origin.located(_sentence(error, origin, kind, prefix), prefix + ".".join(_place(first)))
    return _sentence(error, origin, kind, prefix)


def has_unsafe_name(error: ValidationError) -> bool:
    """Whether a name or a path is refused."""
    return _first(error)["type"] == UNSAFE


def _first(error: ValidationError) -> ErrorDetails:
    order = (UNSAFE, "extra_forbidden")
    return min(error.errors(), key=lambda found: order.index(found["type"]) if found["type"] in order else len(order))


def _sentence(error: ValidationError, origin: str | Path | Origin, kind: type[BaseModel], prefix: str) -> str:
    first = _first(error)
    place, source = _place(first), origin
    if isinstance(origin, Path):
        origin = f"{origin}, line {line_of(origin, place)}" if place else str(origin)
    elif isinstance(origin, Origin):
        origin = origin.text
    key = (prefix + ".".join(place)).rstrip(".")
    if first["type"] == "extra_forbidden":
        siblings = [name for name in keys(kind) if name.rpartition(".")[0] == key.rpartition(".")[0]]
        if key in siblings:
            section = key.rpartition(".")[0]
            name = first["loc"][-2]
            return f"{key} is a setting of another {section}, not of {section}={name}; remove it ({origin})."
        return f"{no_setting(key, siblings)} ({origin}); see unroll config --explain."
    if place[-1:] == ["reader"] and isinstance(first["input"], str | list):
        return f"{no_reader(key, first['input'])} ({origin})."
    if first["type"] in ("union_tag_not_found", "no_name"):
        names = first.get("ctx", {}).get("names", [])
        choices = f", one of {', '.join(names)}" if names else ""
        return f"{key}={plain(first['input'])} has no name ({origin}); write {key}={{name: …}}{choices}."
    if first["type"] == "no_such_name":
        return f"{key}.name={plain(first['input']['name'])}: {first['msg'].rstrip('.')} ({origin})."
    if first["type"] == "no_option":
        return _no_option(key, first["ctx"], str(origin), source)
    if first["type"] == "union_tag_invalid":
        name, names = str(first["ctx"]["tag"]), re.findall("'([^']+)'", first["ctx"]["expected_tags"])
        return f"{key}={plain(first['input'])}: {str(no_such('choice', name, names)).rstrip('.')} ({origin})."
    if first["type"] == "missing":
        return f"The setting {key} is missing ({origin}); see unroll config --explain."
    here = [found for found in error.errors() if _place(found) == place]
    first = next((found for found in here if not OTHER_KIND.fullmatch(found["type"])), first)
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    if (
        first["type"] == "value_error" and place[:1] == ["space"] and place[1:]
    ):  # the section does not know the name of its key
        return f"{key}: {reason} ({origin})."
    if not key or first["type"] == "value_error":
        word = reason.split()[0]
        is_setting = (
            "=" in word or "." in word or word in (*kind.model_fields, *GROUPS)
        )  # the name of a setting stays in lower case
        return f"{reason if is_setting else reason[0].upper() + reason[1:]} ({origin})."
    if expected := _expected([found["type"] for found in here]):
        reason = f"expected {expected}"
    reason = reason.replace("input should be", "it must be").replace(" after validation", "")
    value = plain(first["input"])
    value = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    return f"{key}={value}: {reason} ({origin})."


def no_setting(key: str, known: Iterable[str]) -> str:
    """The message for an unknown key: it was renamed, or resembles a known one."""
    renamed = RENAMED.get(key) or RENAMED.get(f"data.{key}")  # a file of a corpus has no prefix data
    if renamed and key not in known:
        return f"The setting {key!r} was renamed to {renamed}; ~{renamed} removes it"
    return f"There is no setting {key!r}{nearest(key, list(known))}"


def refuse_one_for_several(sources: Iterable[Source]) -> None:
    """Refuse a single value or a list where a file must have a section.

    Raises:
        BadInput: names the first such value and its line.
    """
    inner = {key.rpartition(".")[0]: key for key in keys() if "." in key}  # a section, and a key in it
    for source in sources:
        for section, key in inner.items():
            value = source.value_of(section)
            if value is None or isinstance(value, dict):
                continue
            place = source.place_of(section) or source.path
            if section == "data.reader":
                raise BadInput(f"{no_reader(section, value)} ({place}).")
            raise BadInput(f"{no_section(section, plain(value), key)} ({place}).")


def no_section(section: str, value: str, key: str) -> str:
    """The message for a single value in place of a section with settings such as ``key``."""
    return f"{section}={value}: expected {{key: value}}, such as {{{key.rpartition('.')[2]}: …}}"


def no_reader(key: str, value: object) -> str:
    """The message for a reader given by its name only, perhaps in a list."""
    only = value[0] if isinstance(value, list) and len(value) == 1 else value
    name = only if isinstance(only, str) else "…"
    return f"{key}={plain(value)}: a reader has a name and options; write {{name: {name}}}"


def _no_option(section: str, found: Mapping[str, Any], origin: str, source: str | Path | Origin) -> str:
    """The message for an option that a choice lacks: a mistake, or left over from the choice of the experiment."""
    option, known = found["key"], found["known"]
    key = f"{section}.{option}"
    is_left_over = isinstance(source, Origin) and not source.gives(key)
    remedy = f"remove it with ~{key}" if is_left_over else f"it has {', '.join(known) or 'no options'}"
    return f"{section}.name={found['name']} has no option {option!r}{nearest(option, known)} ({origin}); {remedy}."


def _place(error: ErrorDetails) -> list[str]:
    return [str(part) for part in error["loc"] if not (isinstance(part, str) and part.lower() in TAGS)]


def _expected(errors: list[str]) -> str:
    """The expected kinds of value, from the names of the errors; empty if the kind is not what is wrong."""
    if not all(map(OTHER_KIND.fullmatch, errors)):
        return ""
    kinds = [kind for kind in EXPECTED if any(name.startswith(f"{kind}_") for name in errors)]
    return " or ".join(EXPECTED[kind] for kind in kinds if not (kind == "int" and "float" in kinds))
