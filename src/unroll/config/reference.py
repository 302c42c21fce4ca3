"""Reference of all settings with their defaults, printed by ``unroll config --explain``."""

from __future__ import annotations

import re
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from unroll.config.architectures import SharedConfig
from unroll.config.compose import CONF, project_defaults
from unroll.config.explanation import fields, sections
from unroll.config.file import read
from unroll.config.messages import GROUPS
from unroll.config.schema import Config
from unroll.config.section import plain
from unroll.config.studies import study_defaults
from unroll.config.study import StudyConfig
from unroll.errors import no_such

TOP = "top level"
ARCHS = (
    "archs: Settings of single architectures, in the file of an experiment only.",
    "  archs.NAME.KEY: Value of KEY for arch=NAME in place of the experiment's own, such as archs: {irnn: {training: "
    "{clip_norm: 0.1}}}; training and recurrent settings, except those that must be equal in a comparison.",
)


class Part(NamedTuple):
    """The reference of a section.

    Args:
        name: name of the section.
        lines: a line for the section and one for each setting.
    """

    name: str
    lines: list[str]


def explain(section: str | None = None, conf: Path = CONF) -> str:
    """Settings of runs and studies, each with its type, description and, inside a project, default.

    Args:
        section: the section to explain, including nested ones; None for all.
        conf: folder of the YAML files.

    Raises:
        BadInput: there is no such section.
    """
    run, study = _of_a_run(conf), _of_a_study(conf)
    if section is None:
        return "\n".join([*_lines(run), "", "A study, in conf/study/NAME.yaml:", "", *_lines(study)])
    chosen = [part for part in (*run, *study) if f"{part.name}.".startswith(f"{section}.")]
    if not chosen:
        raise no_such("section", section, dict.fromkeys(part.name for part in (*run, *study)))
    return "\n".join(_lines(chosen))


def _lines(parts: list[Part]) -> list[str]:
    return [line for part in parts for line in part.lines]


def _of_a_run(conf: Path) -> list[Part]:
    defaults = _defaults(conf)
    known: list[tuple[str, type[BaseModel]]] = [*sections(Config, ""), ("recurrent", SharedConfig)]
    return [*(_part(name, name or TOP, model, _below(defaults, name)) for name, model in known),
            Part("archs", list(ARCHS))]  # fmt: skip


def _of_a_study(conf: Path) -> list[Part]:
    defaults = study_defaults(conf) if _is_project(conf) else {}
    return [_part(name, name.removesuffix(".KEY") or "study", model, _below(defaults, name))
            for name, model in sections(StudyConfig, "")]  # fmt: skip


def _part(name: str, title: str, model: type[BaseModel], defaults: dict[str, Any]) -> Part:
    """The reference of one section.

    Args:
        name: dotted prefix of its settings.
        title: name of the section.
        model: model of the section.
        defaults: defaults of its settings.
    """
    lines = [f"{name or title}: {(model.__doc__ or '').strip().splitlines()[0]}"]
    defaults = defaults if _is_of(model, defaults) else {}
    for key, field in fields(name, model):
        shape = re.sub(r"unroll\.config\.|typing\.|<class '|'>", "", str(_plain(field.annotation)))
        if "Config" not in shape:
            value = defaults.get(key, "???" if field.is_required() else field.default)
            default = "" if value == "???" else f" Default: {plain(value)}."  # ??? marks a mandatory choice
            lines.append(f"  {name + '.' if name else ''}{key} ({shape}): {field.description}{default}")
    return Part(title, lines)


def _is_of(model: type[BaseModel], content: dict[str, Any]) -> bool:
    """Whether defaults belong to this member of a union of models, which differ in ``name`` or ``network``."""
    for key in ("name", "network"):
        annotation = model.model_fields[key].annotation if key in model.model_fields else None
        if get_origin(annotation) is Literal and content.get(key) not in (None, *get_args(annotation)):
            return False
    return True


def _defaults(conf: Path) -> dict[str, Any]:
    """Defaults of a run in ``conf/`` before anything is chosen; empty outside a project."""
    if not _is_project(conf):
        return {}
    content = project_defaults(conf)
    chosen = {group: name for entry in content["defaults"] if isinstance(entry, dict) for group, name in entry.items()}
    files = {group: read(conf / group / f"{chosen[group]}.yaml")
             for group in GROUPS if chosen.get(group, "???") != "???"}  # fmt: skip
    return {**content, **files}


def _is_project(conf: Path) -> bool:
    return (conf / "config.yaml").is_file()


def _below(defaults: dict[str, Any], name: str) -> dict[str, Any]:
    """Defaults of the section with a dotted name."""
    for part in name.split(".") if name else ():
        inner = defaults.get(part)
        defaults = inner if isinstance(inner, dict) else {}
    return defaults


def _plain(annotation: Any) -> Any:
    """A type without the constraints that pydantic stores in it."""
    inner = getattr(annotation, "__args__", ())
    if hasattr(annotation, "__metadata__"):
        return _plain(annotation.__origin__)
    if get_origin(annotation) in (Union, UnionType):
        return reduce(or_, map(_plain, inner))
    return list[_plain(inner[0])] if getattr(annotation, "__origin__", None) is list else annotation  # type: ignore[misc]
