"""One-sentence messages for invalid settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from unroll.config.explanation import keys
from unroll.config.file import dotted, leaves
from unroll.config.habits import meant
from unroll.config.origin import Origin, SettingsSource, line_of
from unroll.config.section import UNSAFE, Settings, plain
from unroll.errors import BadInput, nearest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

SHOWN = 60  # characters of an invalid value that a message repeats
GROUPS = ("experiment", "data", "task", "arch", "training", "tracking")
ARGUMENTS = ("arch.encoder.cell_arguments", "arch.decoder.cell_arguments")
FREE = (*ARGUMENTS, "data.reader", "data.roles")  # sections whose keys depend on the cell, reader or task
LISTS = ("data.sources",)  # sections of which there may be several
TAGS = {"choices", "range", "int", "float", "str", "bool"}  # names that pydantic gives to the members of a union
# pydantic's names of errors about the type of a value
OTHER_KIND = re.compile(r"[a-z]+_(type|parsing|from_float|attributes_type)")
ENCODER = "layers hidden_size dropout variational weight_dropout layer_norm initializer learned_state readout"
RENAMED = {  # settings by their former names
    f"{old}.{key}": f"{new}.{key}"
    for old, new, keys in (
        ("data", "data.reader", "probe contrast token_column label_column scheme unit"),
        ("recurrent", "arch.encoder", ENCODER),
        ("arch", "arch.encoder", f"{ENCODER} cell cell_arguments bidirectional kernel_width order direct"),
        ("arch", "arch.inputs", "characters"),
    )
    for key in keys.split()
} | {
    "recurrent": "arch.encoder", "recurrent.inputs": "arch.inputs.name", "arch.network": "arch.encoder.name",
    "recurrent.embedding_size": "arch.inputs.size", "recurrent.embedding_scale": "arch.inputs.scale",
    "arch.embedding_size": "arch.inputs.size", "arch.embedding_scale": "arch.inputs.scale",
}  # fmt: skip
UNKNOWN = ("extra_forbidden", "no_option")  # names of the errors about unknown keys
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
        key = prefix + ".".join(_place(first))
        value = first["input"]
        if first["type"] == "no_option":
            option = first["ctx"]["key"]
            key, value = f"{key}.{option}", value[option]
        key = _leaf(key, value) if first["type"] in UNKNOWN else key
        return origin.located(_sentence(error, origin, kind, prefix), key)
    return _sentence(error, origin, kind, prefix)


def has_unsafe_name(error: ValidationError) -> bool:
    """Whether a name or a path is refused."""
    return _first(error)["type"] == UNSAFE


def _first(error: ValidationError) -> ErrorDetails:
    order = (UNSAFE, *UNKNOWN)
    return min(error.errors(), key=lambda found: order.index(found["type"]) if found["type"] in order else len(order))


def _sentence(error: ValidationError, origin: str | Path | Origin, kind: type[BaseModel], prefix: str) -> str:
    first = _first(error)
    place, text = _place(first), str(origin)
    if isinstance(origin, Path) and place:
        text = f"{origin}, line {line_of(origin, place)}"
    elif isinstance(origin, Origin):
        text = origin.text
    key = (prefix + ".".join(place)).rstrip(".")
    if first["type"] == "no_option":
        return _no_option(key, first["ctx"], text, origin)
    if of_key := _of_key(first, key, kind):
        return f"{of_key[0]} ({text}){of_key[1]}."
    return f"{_of_value(error, first, key, kind)} ({text})."


def _of_key(first: ErrorDetails, key: str, kind: type[BaseModel]) -> tuple[str, str] | None:
    """The message and the remedy for a key that is unknown, missing or has no name; None for other errors."""
    explained = "; see unroll config --explain"
    match first["type"]:
        case "extra_forbidden" if _renamed(key):  # a section, whose settings may have moved to several places
            return no_setting(_leaf(key, first["input"]), keys(kind)), explained
        case "extra_forbidden":
            siblings = [name for name in keys(kind) if name.rpartition(".")[0] == key.rpartition(".")[0]]
            return no_setting(key, siblings), explained
        case _ if _place(first)[-1:] == ["reader"] and isinstance(first["input"], str | list):
            return no_reader(key, first["input"]), ""
        case "no_name":
            choices = ", ".join(first["ctx"]["names"])
            return f"{key}={plain(first['input'])} has no name", f"; write {key}={{name: …}}, one of {choices}"
        case "no_such_name":
            return f"{key}.name={plain(first['input']['name'])}: {first['msg'].rstrip('.')}", ""
        case "missing":
            return f"The setting {key} is missing", explained
    return None


def _of_value(error: ValidationError, first: ErrorDetails, key: str, kind: type[BaseModel]) -> str:
    """The message for a value, or a combination of values, that is invalid."""
    here = [found for found in error.errors() if _place(found) == _place(first)]
    first = next((found for found in here if not OTHER_KIND.fullmatch(found["type"])), first)
    reason = first["msg"].removeprefix("Value error, ").rstrip(".")
    reason = reason[0].lower() + reason[1:]
    if first["type"] == "value_error" and _place(first)[:1] == ["space"] and _place(first)[1:]:
        return f"{key}: {reason}"  # the section does not know the name of its key
    if not key or first["type"] == "value_error":
        word = reason.split()[0]  # the name of a setting stays in lower case
        is_setting = "=" in word or "." in word or word in (*kind.model_fields, *GROUPS)
        return reason if is_setting else reason[0].upper() + reason[1:]
    if expected := _expected([found["type"] for found in here]):
        reason = f"expected {expected}"
    reason = reason.replace("input should be", "it must be").replace(" after validation", "")
    value = plain(first["input"])
    return f"{key}={value if len(value) <= SHOWN else f'{value[:SHOWN]}…'}: {reason}"


def no_setting(key: str, known: Iterable[str]) -> str:
    """The message for an unknown key: it was renamed, is a habit from elsewhere, or resembles a known one."""
    known = list(known)
    renamed = _renamed(key) or _renamed(f"data.{key}")  # a file of a corpus has no prefix data
    if renamed and key not in known:
        removal = f"; ~{renamed} removes it" if renamed.startswith("data.") else ""
        return f"The setting {key!r} was renamed to {renamed}{removal}"
    found = meant(key, known)
    if found and " " in found:
        return f"There is no setting {key!r}; {found}"
    return f"There is no setting {key!r}{f' (did you mean {found}?)' if found else nearest(key, known)}"


def refuse_former_names(content: Settings, path: Path) -> None:
    """Refuse a file of an older version of a project.

    Raises:
        BadInput: names the first setting that was renamed, and its present name.
    """
    for key, _ in dotted(content):
        if _renamed(key):
            place = f"{path}, line {line_of(path, key.split('.'))}"
            raise BadInput(f"{no_setting(key, keys())} ({place}); see unroll config --explain.")


def _renamed(key: str) -> str | None:
    """The present name of a setting; None if it had no other one."""
    section, _, last = key.rpartition(".")
    if key in RENAMED or section not in RENAMED:
        return RENAMED.get(key)
    return f"{RENAMED[section]}.{last}" if section != "recurrent" else None  # whose settings are listed


def _leaf(key: str, value: object) -> str:
    """The first setting of a section; the key itself of a single setting."""
    return ".".join((key, *next(leaves(value))[0]))


def refuse_one_for_several(sources: Iterable[SettingsSource]) -> None:
    """Refuse a single value or a list where a file must have a section.

    Raises:
        BadInput: names the first such value and its line.
    """
    inner = {key.rpartition(".")[0]: key for key in keys() if "." in key}  # a section, and a key in it
    for source in sources:
        for section, key in inner.items():
            value = source.value_of(section)
            if value is None or isinstance(value, dict) or section in LISTS:
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
    name = plain(only) if isinstance(only, str) else "…"
    return f"{key}={plain(value)}: a reader has a name and options; write {{name: {name}}}"


def _no_option(section: str, found: Mapping[str, Any], origin: str, source: str | Path | Origin) -> str:
    """The message for an option that a choice lacks: a mistake, or left over from the choice of the experiment."""
    option, known = found["key"], found["known"]
    key = f"{section}.{option}"
    is_left_over = section in FREE and isinstance(source, Origin) and not source.gives(key)
    remedy = f"remove it with ~{key}" if is_left_over else f"it has {', '.join(known)}" if known else "remove it"
    return f"{section}.name={found['name']} has no option {option!r}{nearest(option, known)} ({origin}); {remedy}."


def _place(error: ErrorDetails) -> list[str]:
    return [str(part) for part in error["loc"] if not (isinstance(part, str) and part.lower() in TAGS)]


def _expected(errors: list[str]) -> str:
    """The expected kinds of value, from the names of the errors; empty if the kind is not what is wrong."""
    if not all(map(OTHER_KIND.fullmatch, errors)):
        return ""
    kinds = [kind for kind in EXPECTED if any(name.startswith(f"{kind}_") for name in errors)]
    return " or ".join(EXPECTED[kind] for kind in kinds if not (kind == "int" and "float" in kinds))
