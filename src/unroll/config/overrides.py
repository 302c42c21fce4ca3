"""Settings of the command line: checked, given to Hydra as it reads them, and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.config.architectures import SharedConfig
from unroll.config.explanation import keys
from unroll.config.hydra import parsed, readable
from unroll.config.messages import GROUPS, no_section, no_setting
from unroll.errors import BadInput, nearest, no_such
from unroll.names import fault

FREE = ("arch.cell_arguments", "data.reader", "data.roles")  # whose keys depend on the cell, the reader or the task


def choices(overrides: Sequence[str], conf: Path) -> dict[str, str]:
    """Choice of each group that is overridden.

    Raises:
        BadInput: a word is not ``key=value`` or ``~key``, a key or a choice is unknown, or no experiment is named.
    """
    chosen: dict[str, str] = {}
    for word in overrides:
        key, value = split(word)
        if value is None:
            _check_taken_away(word, key)
        elif key in GROUPS:
            chosen[key] = _choice(key, value, conf)
        else:
            _check_key(key)
            _check_section(key, value)
    if "experiment" not in chosen:
        files = sorted(path.stem for path in (conf / "experiment").glob("*.yaml"))
        raise BadInput(f"Which experiment? Add experiment=NAME, one of {', '.join(files)}.")
    return chosen


def split(word: str) -> tuple[str, str | None]:
    """Key and value of a word; no value where it takes the key away. Hydra's + and ++ make no difference here.

    Raises:
        BadInput: it is neither ``key=value`` nor ``~key``.
    """
    key, equals, value = word.partition("=")
    name = key.lstrip("+~")
    if not name or not (equals or key.startswith("~")):
        raise BadInput(f"{word!r} is not a setting; write key=value, such as arch=lstm.")
    if key.startswith("~") and equals:
        raise BadInput(f"{word!r} takes a setting away, whatever its value; write ~{name} alone.")
    return name, value if equals else None


def for_hydra(overrides: Sequence[str]) -> list[str]:
    """Those overrides that Hydra applies, each as it reads a text: all but those of free sections."""
    words = []
    for key, value in map(split, overrides):
        if value is not None and _free(key) is None:
            # with ++, a key that the files do not have, as one of another task, comes through, and is refused later
            words.append(readable(key if key in GROUPS else f"++{key}", value))
    return words


def apply(settings: dict[str, Any], overrides: Sequence[str], origin: str) -> None:
    """Set and take away what Hydra cannot: keys that the files need not have, and whole sections of such keys.

    Args:
        settings: those composed of the others, which are changed.
        overrides: words of the command line, the later of which win.
        origin: what was typed, for messages.

    Raises:
        BadInput: what is to be taken away is not there.
    """
    for word in overrides:
        key, value = split(word)
        section = _free(key)
        if section is None:
            continue
        group, _, name = section.partition(".")
        option = key.removeprefix(section).removeprefix(".")
        options = settings[group].setdefault(name, {})
        if not option:
            settings[group][name] = {} if value is None else value_of(key, value)
        elif not isinstance(options, dict):  # which is refused when all is checked
            continue
        elif value is not None:
            options[option] = value_of(key, value)
        elif options.pop(option, word) is word:
            there = f"there is {', '.join(f'{section}.{each}' for each in options)}" if options else "it is empty"
            raise BadInput(f"{word} takes away what is not there{nearest(option, options)}: of {section} {there} "
                           f"({origin}).")  # fmt: skip


def value_of(key: str, value: str) -> Any:
    """The value that a text of the command line stands for.

    Raises:
        BadInput: it is a list or section that does not end, or several values.
    """
    override = parsed(readable(key, value))
    if override is None:
        raise BadInput(f"{key}={value}: what follows = has a bracket, or a quotation mark, that is not closed; close "
                       "it, or put quotation marks around a text.")  # fmt: skip
    if override.is_sweep_override():
        raise BadInput(f"{key}={value} is several values; give one, quote a text with commas ({key}='\"a, b\"'), or "
                       "search values in a study (unroll tune).")  # fmt: skip
    return override.value()


def _free(key: str) -> str | None:
    """The section whose keys depend on a choice that a key is of, or is."""
    return next((section for section in FREE if key == section or key.rpartition(".")[0] == section), None)


def _choice(group: str, name: str, conf: Path) -> str:
    """A file of a group, by its name."""
    files = sorted(path.stem for path in (conf / group).glob("*.yaml"))
    if name.startswith(("{", "[")):
        inner = next((key for key in keys() if key.startswith(f"{group}.")), None)
        remedy = f"; write single settings with their dots, such as {inner}=…" if inner else ""
        raise BadInput(f"{group}={name} does not choose a file of {conf / group}{remedy}.")
    if name not in files:
        raise no_such(group, name, files)
    if reason := fault(name):
        raise BadInput(f"{conf / group / name}.yaml cannot be chosen by its name: {reason}.")
    return name


def _check_key(key: str) -> None:
    """Refuse an unknown key."""
    known = sorted(keys())
    shared = key.removeprefix("arch.")
    if key.startswith("arch.") and shared in SharedConfig.model_fields:
        raise BadInput(f"{key} is shared by architectures; write recurrent.{shared}=….")
    if _free(key) is None and key not in known and key not in {name.rpartition(".")[0] for name in known}:
        raise BadInput(f"{no_setting(key, known)}; see unroll config --explain.")


def _check_section(key: str, text: str) -> None:
    """Refuse what is no value, and one value where there are several settings."""
    value, inner = value_of(key, text), next((name for name in keys() if name.startswith(f"{key}.")), None)
    if inner and key not in FREE and value is not None and not isinstance(value, dict):
        raise BadInput(f"{no_section(key, text, inner)}, or {inner}=….")


def _check_taken_away(word: str, key: str) -> None:
    """Refuse to take away what every run has."""
    if key in GROUPS:
        raise BadInput(f"{word} takes away all of {key}, which every run has; choose another with {key}=NAME.")
    _check_key(key)
    if key == "data.reader":
        raise BadInput(f"{word} takes away the reader, which every corpus has; choose another with {key}={{name: …}}.")
    if _free(key) is None:
        raise BadInput(f"{word}: every run has {key}; give it another value with {key}=…. Only options of "
                       f"{', '.join(FREE)} can be taken away.")  # fmt: skip
