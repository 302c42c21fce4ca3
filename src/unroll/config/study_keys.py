"""Checks that keys are in the right place: those of a study itself, and those of its trials."""

from __future__ import annotations

from pathlib import Path

from unroll.config.explanation import keys
from unroll.config.messages import ARGUMENTS, GROUPS, no_setting
from unroll.config.section import Settings, plain
from unroll.config.study import StudyConfig
from unroll.errors import BadInput

REMOVED = "~"  # prefix of a key of the experiment that trials do not have


def check_sections(content: Settings, defaults: Settings, origin: str) -> None:
    """Refuse a single value in place of a section."""
    for section, default in {**defaults, "space": {"arch": None}}.items():
        if isinstance(default, dict) and not isinstance(content.get(section, default), dict):
            raise BadInput(f"{section}={plain(content[section])}: expected a section with settings such as {section}."
                           f"{next(iter(default), 'seed')} ({origin}).")  # fmt: skip


def refuse_misplaced(content: Settings, origin: str) -> None:
    """Refuse keys that are in the wrong section of a study."""
    if "name" in content:
        raise BadInput(f"name={plain(content['name'])}: a study is named after its file; remove name ({origin}).")
    if isinstance(content.get("seed"), str | list):
        raise BadInput(f"seed={plain(content['seed'])} is not a whole number: it is the seed of the sampler; the seeds "
                       f"of retrained runs are retrain.seeds, such as [10, 11, 12] ({origin}).")  # fmt: skip
    for key in content.keys() - StudyConfig.model_fields.keys():
        if key in {*keys(), *GROUPS}:
            raise BadInput(
                f"{key} is a setting of trials; move it under settings, or under space to search it ({origin})."
            )
    for key, value in content["settings"].items():
        if isinstance(value, dict) and value:
            raise BadInput(f"settings.{key} is a section; write single settings by their dotted names, such as "
                           f"{key}.{next(iter(value))} ({origin}).")  # fmt: skip


def check_keys(content: Settings, path: Path, origin: str) -> None:
    """Refuse unknown keys of trials.

    Args:
        content: settings of a study.
        path: file of the study.
        origin: where the settings come from, for messages about those that are not in the file.

    Raises:
        BadInput: names the first such key.
    """
    known = [*keys(), *GROUPS]
    again = content["retrain"].get("settings") or {}
    for key in again:
        if key in GROUPS:
            raise BadInput(f"{origin}: retrain.settings cannot select another {key}; set single keys.")
    for key in map(str, [*content.get("space", {}), *_set_in(content["settings"], origin), *again]):
        if key in StudyConfig.model_fields and key not in (*known, "name"):
            raise BadInput(
                f"{key} is a setting of the study itself, not of its trials; move it to the top level ({origin})."
            )
        if key not in known and key.rpartition(".")[0] not in (*ARGUMENTS, "data.roles"):
            raise BadInput(f"{no_setting(key, known)} ({_place(path, key, origin)}); see unroll config --explain.")


def _place(path: Path, key: str, origin: str) -> str:
    """File and line of a dotted key; its origin if it is not in the file."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return next((f"{path}, line {number}" for number, line in enumerate(lines, 1) if f"{key}:" in line), origin)


def _set_in(settings: Settings, origin: str) -> list[str]:
    """Keys that are set rather than removed; removals are checked when the experiment is composed."""
    for key, value in settings.items():
        if str(key).startswith(REMOVED) and value is not None:
            raise BadInput(f"{key}={plain(value)} removes a setting, whatever its value; set it to null ({origin}).")
    return [key for key in settings if not str(key).startswith(REMOVED)]
