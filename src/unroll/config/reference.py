"""Reference of all settings with their defaults, printed by ``unroll config --explain``."""

from __future__ import annotations

from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel

from unroll.config.experiments import CONF, project_defaults
from unroll.config.explanation import is_of, sections
from unroll.config.file import merged, read
from unroll.config.messages import GROUPS
from unroll.config.schema import Config
from unroll.config.section import Settings, plain
from unroll.config.studies import study_defaults
from unroll.config.study import StudyConfig
from unroll.errors import no_such

TOP = "top level"
ARCHS = (
    "archs: Settings of single architectures, in the file of an experiment only.",
    "  archs.NAME.KEY: Value of KEY for arch=NAME in place of the experiment's own, such as archs: {irnn: {training: "
    "{clip_norm: 0.1}}}; training and arch settings, except those that must be equal in a comparison.",
)
VARIANTS = (
    "variants: One architecture under several settings, in the file of an experiment only.",
    "  variants.NAME.arch.name: Architecture of the variant, which is chosen with arch=NAME.",
    "  variants.NAME.KEY: Value of KEY for the variant, as in archs, such as variants: {lstm-64: {arch: {name: lstm, "
    "encoder: {hidden_size: 64}}}}.",
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
    shared = project_defaults(conf) if _is_project(conf) else {}
    defaults = merged(shared, _chosen(shared, conf))
    parts = []
    for name, model in dict.fromkeys(sections(Config, "")):
        own = _below(defaults, name)
        if not is_of(model, own):  # of another kind than the default, which has the defaults that kinds share
            own = {key: value for key, value in _below(shared, name).items() if key != "name"}
        parts.append(_part(name, name or TOP, model, own))
    return [*parts, Part("archs", list(ARCHS)), Part("variants", list(VARIANTS))]


def _of_a_study(conf: Path) -> list[Part]:
    defaults = study_defaults(conf) if _is_project(conf) else {}
    return [_part(name, name.removesuffix(".KEY") or "study", model, _below(defaults, name))
            for name, model in sections(StudyConfig, "")]  # fmt: skip


def _part(name: str, title: str, model: type[BaseModel], defaults: Settings) -> Part:
    """The reference of one section.

    Args:
        name: dotted prefix of its settings.
        title: name of the section.
        model: model of the section.
        defaults: defaults of its settings.
    """
    sentence = (model.__doc__ or "").partition("\n")[0]  # which python -OO removes
    lines = [f"{name or title}: {sentence}".rstrip()]
    for key, field in model.model_fields.items():
        shape = _shape(field.annotation)
        if "Config" not in shape:
            value = defaults.get(key, "???" if field.is_required() else field.default)
            default = "" if value == "???" else f" Default: {plain(value)}."  # ??? marks a mandatory choice
            lines.append(f"  {name + '.' if name else ''}{key} ({shape}): {field.description}{default}")
    return Part(title, lines)


def _chosen(content: Settings, conf: Path) -> Settings:
    """Settings of the files that the defaults of the project choose."""
    entries = content.get("defaults", [])
    chosen = {group: name for entry in entries if isinstance(entry, dict) for group, name in entry.items()}
    return {
        group: read(conf / group / f"{chosen[group]}.yaml") for group in GROUPS if chosen.get(group, "???") != "???"
    }


def _is_project(conf: Path) -> bool:
    return (conf / "config.yaml").is_file()


def _below(defaults: Settings, name: str) -> Settings:
    """Defaults of the section with a dotted name."""
    for part in name.split(".") if name else ():
        inner = defaults.get(part)
        defaults = inner if isinstance(inner, dict) else {}
    return defaults


def _shape(annotation: Any) -> str:
    """A type as text, with values as in YAML, without the constraints that pydantic stores in it."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if hasattr(annotation, "__metadata__"):
        return _shape(annotation.__origin__)
    if origin is Literal:
        return " | ".join(map(str, inner))
    if origin in (Union, UnionType):
        return " | ".join(map(_shape, inner))
    if isinstance(origin, type):
        return f"{origin.__name__}[{', '.join('...' if part is ... else _shape(part) for part in inner)}]"
    if annotation is NoneType:
        return "null"
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).removeprefix("typing.")
