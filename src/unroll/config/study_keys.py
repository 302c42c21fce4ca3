"""What stands where in the settings of a study: its own keys, and those of its trials."""

from __future__ import annotations

from typing import Any

from unroll.config.explanation import keys
from unroll.config.messages import GROUPS, no_setting
from unroll.config.section import plain
from unroll.config.study import StudyConfig
from unroll.errors import BadInput

AWAY = "~"  # before a key that trials do not have, though the experiment has it


def check_sections(content: dict[str, Any], defaults: dict[str, Any], origin: str) -> None:
    """Refuse one value where there are several settings."""
    for section, default in {**defaults, "space": {"arch": None}}.items():
        if isinstance(default, dict) and not isinstance(content.get(section, default), dict):
            raise BadInput(f"{section}={plain(content[section])} is not a setting: it is several, such as {section}."
                           f"{next(iter(default), 'seed')} ({origin}).")  # fmt: skip


def refuse_misplaced(content: dict[str, Any], origin: str) -> None:
    """Refuse what is written of a study in a place that is not its own."""
    if "name" in content:
        raise BadInput(f"name={plain(content['name'])}: a study is named by its file; leave name out ({origin}).")
    for key in content.keys() - StudyConfig.model_fields.keys():
        if key in {*keys(), *GROUPS}:
            raise BadInput(f"{key} is a setting of trials; write it below settings, or below space to have it searched "
                           f"({origin}).")  # fmt: skip
    for key, value in content["settings"].items():
        if isinstance(value, dict) and value:
            raise BadInput(f"settings.{key} is several settings; write each with its dots, such as "
                           f"{key}.{next(iter(value))} ({origin}).")  # fmt: skip


def check_keys(content: dict[str, Any], origin: str) -> None:
    """Refuse unknown keys of trials.

    Args:
        content: settings of a study.
        origin: where they come from.

    Raises:
        BadInput: with the first such key.
    """
    known = [*keys(), *GROUPS]
    again = content["retrain"].get("settings") or {}
    for key in again:
        if key in GROUPS:
            raise BadInput(f"{origin}: retrain.settings cannot choose another {key}; name single settings.")
    for key in map(str, [*content.get("space", {}), *_set_in(content["settings"], origin), *again]):
        if key in StudyConfig.model_fields and key not in (*known, "name"):
            raise BadInput(f"{key} is a setting of the study itself, not of its trials; write it without a section "
                           f"above it ({origin}).")  # fmt: skip
        if key not in known and key.rpartition(".")[0] not in ("arch.cell_arguments", "data.roles"):
            raise BadInput(f"{no_setting(key, known)} ({origin}); see unroll config --explain.")


def _set_in(settings: dict[str, Any], origin: str) -> list[str]:
    """Keys that are set, and not taken away: those are checked where an experiment is composed without them."""
    for key, value in settings.items():
        if str(key).startswith(AWAY) and value is not None:
            raise BadInput(f"{key}={plain(value)} takes a setting away, whatever its value; give it null ({origin}).")
    return [key for key in settings if not str(key).startswith(AWAY)]
