"""Settings from files and the command line: composed by Hydra, checked by the schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unroll.config.corpus import DataConfig
from unroll.config.differences import of_archs, of_variants
from unroll.config.experiments import CONF, files_of, group_choices, project_defaults, question
from unroll.config.file import read
from unroll.config.fitting import fitted, purpose
from unroll.config.format import current
from unroll.config.hydra import composed, resolved
from unroll.config.messages import GROUPS, explain_error, has_unsafe_name, refuse_one_for_several
from unroll.config.origin import Origin, SettingsSource
from unroll.config.overrides import apply, choices, for_hydra, split, typed
from unroll.config.schema import Config
from unroll.config.section import Settings, plain
from unroll.config.variants import variants_of
from unroll.credentials import in_settings, public, without_secrets
from unroll.errors import BadInput

S = TypeVar("S", bound=BaseModel)


def compose(overrides: Sequence[str], conf: Path = CONF) -> Config:
    """Compose and check the settings of one run, of an experiment or of a corpus and a task.

    Args:
        overrides: Hydra overrides such as ``arch=lstm`` and ``training.tokens=200000``.
        conf: folder of the YAML files.

    Raises:
        BadInput: a key or a choice is unknown, or a value or a combination is invalid.
    """
    settings = unfinished(overrides, conf)
    given = set().union(*map(typed, overrides))
    return finished(settings, Origin(" ".join(overrides), given, sources(choices(overrides, conf), conf)))


def unfinished(overrides: Sequence[str], conf: Path = CONF) -> Settings:
    """Compose the settings of one run without checking them, so that further settings can be applied first.

    Args:
        overrides: Hydra overrides.
        conf: folder of the YAML files.

    Raises:
        BadInput: an unknown key or choice.
    """
    check_root(conf)
    chosen = choices(overrides, conf)
    if "experiment" in chosen:
        question(chosen["experiment"], conf)
    project_defaults(conf)  # Hydra's own errors about this file give neither the line nor a remedy
    files = sources(chosen, conf)
    variants = variants_of(chosen.get("experiment"), conf)
    words = [*overrides]
    settings = composed(for_hydra(words, variants), files, conf)
    for group in GROUPS[1:]:
        if not isinstance(settings.get(group), dict):
            refuse_one_for_several(files)
            place = next(filter(None, (source.place_of(group) for source in files)), conf)
            raise BadInput(f"{group}={plain(settings.get(group))}: expected {{key: value}}; remove the line ({place}).")
    differing = _differing(settings, chosen, variants, conf)
    if differing:  # composed again, since the command line takes precedence
        words = [f"{key}={json.dumps(value)}" for key, value in differing.items()] + words
        settings = composed(for_hydra(words, variants), files, conf)
    apply(settings, words, " ".join(overrides))
    if "experiment" in chosen and "data" in chosen:
        _restore_reader(settings, chosen, overrides, conf)
    if chosen.get("arch") in variants:
        settings["arch"]["name"] = chosen["arch"]
    for section in ("archs", "variants"):
        settings.pop(section, None)
    settings.pop("plugins", None)  # folders on this machine, which are not a setting of a run
    settings["experiment"] = chosen.get("experiment", chosen.get("data"))  # without one, named after its corpus
    if not _can_be_judged(settings, overrides):
        settings["judged_by"] = None
    settings.pop("question", None)  # belongs to the experiment and does not affect a run
    public_settings: Settings = in_settings(settings, public)
    return public_settings


def _differing(settings: Settings, chosen: Mapping[str, str], variants: Mapping[str, str], conf: Path) -> Settings:
    """Settings of the experiment for the chosen architecture or variant alone."""
    files = files_of(chosen.get("experiment"), conf)
    of_arch = of_archs(settings.get("archs", {}), files, conf)
    of_variant = of_variants(settings.get("variants", {}), variants, files, conf)
    name = str(chosen.get("arch", settings["arch"].get("name")))
    return {**of_arch.get(variants.get(name, name), {}), **of_variant.get(name, {})}


def _restore_reader(settings: Settings, chosen: Mapping[str, str], overrides: Sequence[str], conf: Path) -> None:
    """With another corpus, leave out what the experiment sets in the reader: a probe is a mark in its own corpus."""
    is_typed = "data.reader" in (split(word)[0] for word in overrides)
    if is_typed or group_choices(chosen["experiment"], conf)["data"] == chosen["data"]:
        return
    reader = settings["data"].get("reader")
    own = read(conf / "data" / f"{chosen['data']}.yaml").get("reader")
    if isinstance(reader, dict) and isinstance(own, dict):  # the full check refuses other values
        given = set().union(*map(typed, overrides))
        kept = {key: value for key, value in reader.items() if f"data.reader.{key}" in given}
        stated = {key: value for key, value in own.items() if f"data.reader.{key}" not in given}
        settings["data"]["reader"] = {**stated, **kept}


def _can_be_judged(settings: Settings, overrides: Sequence[str]) -> bool:
    """Whether the runs have the figure that ``judged_by`` names, given that the data or the task may be overridden.

    An experiment declares the figure for its own question. With other data, which have no probe, the experiment is
    only a template: its runs are compared by the headline figure of the task.
    """
    keys = {split(word)[0].partition(".")[0] for word in overrides}
    if settings.get("judged_by") is None or "judged_by" in keys or not keys & {"data", "task"}:
        return True
    known = purpose(settings)
    return known is None or known[0].has(str(settings["judged_by"]), known[1])


def sources(chosen: Mapping[str, str], conf: Path = CONF) -> list[SettingsSource]:
    """Files that a run is composed from, in order of precedence.

    Args:
        chosen: the choice of each group on the command line.
        conf: folder of the YAML files.
    """
    own, project = files_of(chosen.get("experiment"), conf), conf / "config.yaml"
    variants = variants_of(chosen.get("experiment"), conf)
    files = group_choices(chosen.get("experiment"), conf) | dict(chosen)
    arch = files.get("arch", "")
    files["arch"] = variants.get(arch, arch)
    inner = [SettingsSource(conf / group / f"{files[group]}.yaml", section=group, is_own=group == "arch")
             for group in GROUPS[1:] if group in files]  # fmt: skip
    for source in inner:
        name = source.path.stem
        if name != "???" and not source.path.is_file():
            raise BadInput(
                f"{[*own, project][0]} uses {source.section}={name}, and {source.path} does not exist; restore the "
                f"file, or choose another with {source.section}=NAME."
            )
    return [
        *(SettingsSource(path, ("variants", arch), is_own=True) for path in own),
        *(SettingsSource(path, ("archs", files["arch"]), is_own=True) for path in own),
        *(SettingsSource(path, is_own=True) for path in own),
        *(source for source in inner if source.path.is_file()),
        SettingsSource(project),
    ]


def finished(settings: Settings, origin: Origin) -> Config:
    """Check composed settings, without the defaults that do not apply to the run.

    Args:
        settings: the result of :func:`unfinished`.
        origin: where they come from, for messages.

    Raises:
        BadInput: a value or a combination is invalid.
    """
    return check(fitted(settings, origin), origin)


def check_root(conf: Path = CONF) -> None:
    """Refuse to work outside a project, where there are no settings and outputs would be scattered.

    Raises:
        BadInput: the folder of the YAML files is not in the current folder.
    """
    if not (conf / "config.yaml").is_file():
        raise BadInput(f"There is no {conf}/config.yaml here; change to the root of the project.")


def load(path: Path) -> Config:
    """Read the resolved settings of a run.

    Raises:
        BadInput: the file is missing, is not YAML, or has an invalid setting.
    """
    content = read(path)
    refuse_unsafe_names(Config, content, path)
    return check(current(content, path), path)


def corpora(conf: Path = CONF) -> dict[str, DataConfig]:
    """All corpora with a file in ``conf/data``.

    Raises:
        BadInput: a file is invalid.
    """
    check_root(conf)
    return {
        path.stem: complete_data(resolved(read(path), path), path, conf)
        for path in sorted((conf / "data").glob("*.yaml"))
    }


def complete_data(content: Settings, origin: str | Path, conf: Path = CONF) -> DataConfig:
    """Data settings of a file in ``conf/data``, completed with the defaults in ``config.yaml``.

    Raises:
        BadInput: a setting is invalid; the message describes the first error.
    """
    content = in_settings({**project_defaults(conf)["data"], **content}, public)
    return check_section(DataConfig, content, origin)


def dump_data(data: DataConfig) -> str:
    """The data settings, on which preparation depends, as plain YAML."""
    return yaml.safe_dump(data.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def load_data(path: Path) -> DataConfig:
    """Read data settings written by :func:`dump_data`.

    Raises:
        BadInput: the file is missing or has an invalid setting.
    """
    return check_section(DataConfig, read(path), path)


def refuse_unsafe_names(kind: type[BaseModel], content: Any, origin: str | Path) -> None:
    """Refuse a name that could lead out of the project, whatever else is wrong with settings that someone has sent.

    Args:
        kind: model of the section.
        content: the settings.
        origin: their file.

    Raises:
        BadInput: there is such a name.
    """
    try:
        kind.model_validate(in_settings(content, without_secrets))
    except ValidationError as error:
        if has_unsafe_name(error):
            raise BadInput(explain_error(error, origin, kind)) from None


def check(content: Settings, origin: str | Path | Origin) -> Config:
    """Check plain settings.

    Args:
        content: the settings.
        origin: their file, or another name of their source for messages.

    Raises:
        BadInput: a setting is invalid; the message describes the first error.
    """
    return check_section(Config, content, origin)


def check_section(kind: type[S], content: Any, origin: str | Path | Origin) -> S:
    """Check plain settings of one section.

    Args:
        kind: model of the section.
        content: the settings.
        origin: their file, or another name of their source for messages.

    Raises:
        BadInput: a setting is invalid; the message describes the first error.
    """
    try:
        return kind.model_validate(in_settings(content, without_secrets))
    except ValidationError as error:
        raise BadInput(explain_error(error, origin, kind)) from None
