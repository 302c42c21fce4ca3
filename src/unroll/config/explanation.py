"""Dotted names of all settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

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


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, Named):
        return list(annotation.kinds().values())
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
