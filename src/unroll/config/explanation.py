"""Dotted names of all settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from unroll.config.schema import Config
from unroll.config.section import Named


def keys(kind: type[BaseModel] = Config) -> Iterator[str]:
    """Yield the dotted name of each setting."""
    for name, model in sections(kind, ""):
        yield from (f"{name}.{key}".lstrip(".") for key in model.model_fields)


def sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """Yield a section and all sections below it, each with its dotted name."""
    yield name, model
    for key, field in model.model_fields.items():
        inner = f"{key}.KEY" if getattr(field.annotation, "__origin__", None) is dict else key
        for part in _models(field.annotation):
            yield from sections(part, f"{name}.{inner}".lstrip("."))


def is_of(model: type[BaseModel], content: Mapping[str, Any]) -> bool:
    """Whether settings belong to this member of a union of models, which differ in ``name``."""
    field = model.model_fields.get("name")
    is_kind = field is not None and get_origin(field.annotation) is Literal
    return not is_kind or content.get("name") in (None, *get_args(field and field.annotation))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Named):
        return list(annotation.kinds().values())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
