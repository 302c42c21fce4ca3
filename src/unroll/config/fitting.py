"""The blocks that a run uses: defaults for other kinds of block, other tasks and other data are left out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from unroll.config.blocks import BLOCKS
from unroll.config.corpus import DataConfig
from unroll.config.origin import Origin
from unroll.config.section import Settings
from unroll.data.fields import Field, Symbols
from unroll.tasks.description import Description
from unroll.tasks.registry import description_of

# parts of an arch that only some tasks use: those with this block
PARTS = {"inputs.characters": "spelling", "encoder.readout": "readout", "decoder": "decoder", "output": "labels"}


def purpose(settings: Mapping[str, Any]) -> tuple[Description, Mapping[str, Field]] | None:
    """The task of composed settings and the fields that fill its roles; None if they are invalid, which the full check
    reports.
    """
    try:
        task = description_of(str(settings["task"]["name"]))
        return task, DataConfig.model_validate(settings["data"]).role_fields(task)
    except (ValueError, KeyError, TypeError):
        return None


def with_min_count(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Settings in which ``data.min_count`` has the default of the task in place of null."""
    data = settings.get("data")
    if not isinstance(data, Mapping) or data.get("min_count", 1) is not None or (known := purpose(settings)) is None:
        return settings
    task, fields = known
    return {**settings, "data": {**data, "min_count": task.min_count(fields)}}


def fitted(settings: Settings, origin: Origin) -> Settings:
    """Composed settings without the blocks, and the settings of blocks, that the run does not use.

    Args:
        settings: the settings, with the defaults that all architectures share.
        origin: where they come from. What was typed for this run, or is set for this architecture alone, stays, and the
            full check refuses it.
    """
    arch = settings["arch"]
    known = purpose(settings)
    if not isinstance(arch, dict):
        return dict(settings)
    unused = set(_unused(arch, *known)) if known else set()
    if isinstance(arch.get("decoder"), dict) and "name" not in arch["decoder"]:
        unused.add("decoder")  # an architecture without a decoder has the defaults of one
    is_frames = known is not None and getattr(known[1].get(known[0].source), "kind", "") == "frames"
    kept = {}
    for name, block in arch.items():
        if name in unused and not origin.insists(f"arch.{name}"):
            continue
        if name == "inputs" and is_frames and isinstance(block, dict) and not origin.insists("arch.inputs.name"):
            block = {**block, "name": "frames"}
        if kind := _kind(name, block):
            left = {key for other in BLOCKS[name].kinds().values() for key in other.model_fields} - {*kind.model_fields}
            left |= {part.partition(".")[2] for part in unused if part.startswith(f"{name}.")}
            block = {
                key: value for key, value in block.items() if key not in left or origin.insists(f"arch.{name}.{key}")
            }
        kept[name] = block
    return {**settings, "arch": kept}


def _unused(arch: Settings, task: Description, fields: Mapping[str, Field]) -> Iterator[str]:
    """Yield the dotted keys of the parts of an arch that do not go with its encoder, the task or the data."""
    encoder = _kind("encoder", arch.get("encoder"))
    if encoder is not None and encoder.counts:
        yield "inputs"
    yield from (part for part, block in PARTS.items() if block not in task.blocks)
    if not any(isinstance(field, Symbols) and field.unit == "words" for field in fields.values()):
        yield "inputs.characters"


def _kind(block: str, content: Any) -> type[Any] | None:
    """The kind of a block; None if it has no valid name."""
    has_kinds = block in BLOCKS and isinstance(content, dict)
    return BLOCKS[block].kinds().get(str(content.get("name"))) if has_kinds else None
