"""Every setting by its dotted name, and all of them in words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_origin

from pydantic import BaseModel

from unroll.config.architectures import SharedConfig
from unroll.config.schema import Config

ARCHS = (
    "archs.NAME.KEY: What arch=NAME has in place of the experiment's own KEY, such as archs: {irnn: {training: "
    "{clip_norm: 0.1}}}; training and recurrent settings, but for those that must be equal in a comparison."
)


def explain(kind: type[BaseModel] = Config) -> str:
    """Every field with its type and its sentence, a line each."""
    lines = []
    shared: list[tuple[str, type[BaseModel]]] = [("recurrent", SharedConfig)] if kind is Config else []
    for name, model in [*sections(kind, ""), *shared]:
        lines.append(f"{name or 'top level'}: {(model.__doc__ or '').strip().splitlines()[0]}")
        for key, field in fields(name, model):
            shape = re.sub(r"unroll\.config\.|typing\.|<class '|'>", "", str(_plain(field.annotation)))
            if "Config" not in shape:
                lines.append(f"  {name + '.' if name else ''}{key} ({shape}): {field.description}")
    if kind is Config:
        lines += ["archs: Settings of one architecture, in the file of an experiment alone.", f"  {ARCHS}"]
    return "\n".join(lines)


def keys(kind: type[BaseModel] = Config) -> Iterator[str]:
    """Dotted name of every setting."""
    for name, model in sections(kind, ""):
        yield from (f"{name}.{key}".lstrip(".") for key, _ in fields(name, model))
    if kind is Config:
        yield from (f"recurrent.{key}" for key in SharedConfig.model_fields)


def fields(name: str, model: type[BaseModel]) -> list[tuple[str, Any]]:
    """Settings of a section, but for those of an architecture that the section ``recurrent`` has for all of them."""
    shared = SharedConfig.model_fields if name == "arch" else {}
    return [(key, field) for key, field in model.model_fields.items() if key not in shared]


def sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """A section and all below it, each with its dotted name."""
    yield name, model
    for key, field in model.model_fields.items():
        inner = f"{key}.KEY" if getattr(field.annotation, "__origin__", None) is dict else key
        for part in _models(field.annotation):
            yield from sections(part, f"{name}.{inner}".lstrip("."))


def _plain(annotation: Any) -> Any:
    """A type without its bounds, which pydantic keeps within it."""
    inner = getattr(annotation, "__args__", ())
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_plain, inner))
    return list[_plain(inner[0])] if getattr(annotation, "__origin__", None) is list else annotation  # type: ignore[misc]


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
