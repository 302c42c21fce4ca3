"""Dotted names of all settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from unroll.config.architectures import SharedConfig
from unroll.config.schema import Config
from unroll.config.section import Named


def keys(kind: type[BaseModel] = Config) -> Iterator[str]:
    """Yield the dotted name of each setting."""
    for name, model in sections(kind, ""):
        yield from (f"{name}.{key}".lstrip(".") for key, _ in fields(name, model))
    if kind is Config:
        yield from (f"recurrent.{key}" for key in SharedConfig.model_fields)


def fields(name: str, model: type[BaseModel]) -> list[tuple[str, Any]]:
    """Settings of a section, without those of ``arch`` that the section ``recurrent`` shares between architectures."""
    shared = SharedConfig.model_fields if name == "arch" else {}
    return [(key, field) for key, field in model.model_fields.items() if key not in shared]


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
