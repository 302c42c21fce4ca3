"""Settings of the command line: checked, translated for Hydra, and removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from unroll.config.corpus import tasks_for
from unroll.config.explanation import keys
from unroll.config.file import leaves, read
from unroll.config.habits import InEpochs, is_in_epochs, several
from unroll.config.hydra import parsed, readable
from unroll.config.messages import FREE, GROUPS, no_section, no_setting
from unroll.config.section import Settings
from unroll.config.variants import variants_of
from unroll.config.words import is_text, text_of
from unroll.errors import BadInput, nearest, no_such
from unroll.names import fault


def choices(overrides: Sequence[str], conf: Path) -> dict[str, str]:
    """The choice of each overridden group.

    Raises:
        BadInput: a word is not ``key=value`` or ``~key``, a key or a choice is unknown, or no experiment is
            named, nor a corpus and a task.
    """
    chosen: dict[str, str] = {}
    known = [*keys()]
    for word in overrides:
        _refuse_name(word, conf)
        key, value = split(word)
        if value is None:
            _check_removal(word, key, known)
        elif key == "arch":
            chosen[key] = value  # checked below, since the experiment may have variants
        elif key in GROUPS:
            chosen[key] = _choice(key, value, conf)
        else:
            _check_key(key, known)
            _check_section(key, value, known)
    if "arch" in chosen:
        _choice("arch", chosen["arch"], conf, variants_of(chosen.get("experiment"), conf))
    if "experiment" not in chosen:
        _check_purpose(chosen, conf)
    return chosen


def _check_purpose(chosen: Mapping[str, str], conf: Path) -> None:
    """Refuse a run of no experiment that lacks a corpus or a task, which together take its place."""
    lacking = [group for group in ("data", "task") if group not in chosen]
    if not lacking:
        return
    names = {group: ", ".join(_files(group, conf)) for group in ("experiment", "data", "task")}
    if len(lacking) == 2:
        raise BadInput(f"Which experiment? Add experiment=NAME, one of {names['experiment']}; or data=NAME and "
                       "task=NAME, which need no experiment.")  # fmt: skip
    (group,) = lacking
    if group == "task":
        reader = read(conf / "data" / f"{chosen['data']}.yaml").get("reader")
        names["task"] = ", ".join(tasks_for(reader) or _files("task", conf))
    raise BadInput(f"Which {'corpus' if group == 'data' else group}? Without an experiment, add {group}=NAME, one of "
                   f"{names[group]}.")  # fmt: skip


def _refuse_name(word: str, conf: Path) -> None:
    """Refuse the name of a group, or of a file of a group, alone."""
    if word in GROUPS:
        raise BadInput(f"{word!r} is not a setting; write key=value: {word}=NAME.")
    group = next((group for group in GROUPS if word in _files(group, conf)), None)
    if group:
        raise BadInput(f"{word!r} is not a setting; write key=value: {group}={word}.")


def split(word: str) -> tuple[str, str | None]:
    """Key and value of a word; the value is None if the word removes the key. Hydra's + and ++ make no difference.

    Raises:
        BadInput: it is neither ``key=value`` nor ``~key``.
    """
    key, equals, value = word.partition("=")
    name = key.lstrip("+~")
    if not name or not (equals or key.startswith("~")):
        raise BadInput(f"{word!r} is not a setting; write key=value, such as arch=lstm.")
    if key.startswith("~") and equals:
        raise BadInput(f"{word!r} removes a setting, whatever its value; write ~{name} without a value.")
    return name, value if equals else None


def typed(word: str) -> set[str]:
    """Keys that a word sets or removes: of a section in braces, those in it; none of the choice of a group."""
    key, value = split(word)
    if key in GROUPS:
        return set()
    return {".".join((key, *names)) for names, _ in leaves(value_of(key, value))} if value else {key}


def setting_of(word: str) -> tuple[str, Any]:
    """Key and value of a setting.

    Raises:
        BadInput: it is not ``key=value``.
    """
    key, value = split(word)
    if value is None:
        raise BadInput(f"{word!r} removes a setting; write key=value.")
    return key, value_of(key, value)


def for_hydra(overrides: Sequence[str], variants: Mapping[str, str]) -> list[str]:
    """The overrides that Hydra applies, in its syntax: all but those of text and of free sections.

    Args:
        overrides: words of the command line.
        variants: the architecture of each variant, which has no file.
    """
    words = []
    for key, given in map(split, overrides):
        value = variants.get(given, given) if given and key == "arch" else given
        if value is not None and _free(key) is None and (key in GROUPS or not is_text(key)):
            # ++ lets a key pass that the files lack, such as one of another task; the schema refuses it later
            words.append(readable(key if key in GROUPS else f"++{key}", value))
    has_experiment = any(split(word)[0] == "experiment" for word in overrides)  # which Hydra's list of defaults needs
    return words if has_experiment else ["~experiment", *words]


def apply(settings: Settings, overrides: Sequence[str], origin: str) -> None:
    """Set and remove what Hydra cannot: text, keys that the files need not have, and whole sections of such keys.

    Args:
        settings: composed settings, changed in place.
        overrides: words of the command line; later ones take precedence.
        origin: what was typed, for messages.

    Raises:
        BadInput: a key to remove does not exist.
    """
    for word in overrides:
        key, value = split(word)
        section = _free(key)
        if section is None:
            if value is not None and key not in GROUPS and is_text(key):
                _set(settings, key, text_of(key, value))
            continue
        *above, name = section.split(".")
        group = _section(settings, above)
        option = key.removeprefix(section).removeprefix(".")
        options = group.setdefault(name, {})
        if not option:
            group[name] = {} if value is None else value_of(key, value)
        elif not isinstance(options, dict):  # the schema refuses it later
            continue
        elif value is not None:
            options[option] = value_of(key, value)
        elif options.pop(option, word) is word:
            has = f"has {', '.join(f'{section}.{each}' for each in options)}" if options else "is empty"
            raise BadInput(
                f"{word} removes a setting that does not exist{nearest(option, options)}: {section} {has} ({origin})."
            )


def _set(settings: Settings, key: str, value: Any) -> None:
    *above, name = key.split(".")
    _section(settings, above)[name] = value


def _section(settings: Settings, names: Sequence[str]) -> Settings:
    for name in names:
        inner = settings.setdefault(name, {})
        settings = inner if isinstance(inner, dict) else {}  # the schema refuses what is not a section
    return settings


def value_of(key: str, value: str) -> Any:
    """Parse a value of the command line.

    Raises:
        BadInput: it is not text, and a list or section that is not closed, or several values.
    """
    if is_text(key):
        return text_of(key, value)
    override = parsed(readable(key, value))
    if override is None:
        raise BadInput(f"{key}={value}: the value has a bracket or a quotation mark that is not closed; close "
                       "it, or put quotation marks around a text.")  # fmt: skip
    if override.is_sweep_override() and key == "seed":
        raise BadInput(f"{several(key, value)}.")
    if override.is_sweep_override():
        raise BadInput(f"{key}={value} is several values; give one, or search the values in a study (unroll tune).")
    return override.value()


def _free(key: str) -> str | None:
    """The free section that a key is or belongs to; None if its section is not free."""
    return next((section for section in FREE if key == section or key.rpartition(".")[0] == section), None)


def _choice(group: str, name: str, conf: Path, variants: Iterable[str] = ()) -> str:
    """Check the name of a file of a group, or of a variant."""
    files = [*_files(group, conf), *variants]
    if name not in files and not name.startswith("{") and re.search(r"[,(]|^\[", name):
        raise BadInput(f"{several(group, name)}.")
    if name.startswith(("{", "[")):
        inner = next((key for key in keys() if key.startswith(f"{group}.")), None)
        remedy = f"; write single settings by their dotted names, such as {inner}=…" if inner else ""
        raise BadInput(f"{group}={name} is not the name of a file in {conf / group}{remedy}.")
    if name not in files and group == "data" and Path(name).exists():
        raise BadInput(
            f"data={name} is a path, not the name of a corpus; run unroll data add {name}, then use its name."
        )
    if name not in files:
        raise no_such(group, name, files)
    if reason := fault(name):
        raise BadInput(f"{conf / group / name}.yaml cannot be chosen by its name: {reason}.")
    return name


def _files(group: str, conf: Path) -> list[str]:
    """Names of the files of a group."""
    return sorted(path.stem for path in (conf / group).glob("*.yaml"))


def _check_key(key: str, known: Sequence[str]) -> None:
    """Refuse an unknown key."""
    if _free(key) is None and key not in known and key not in {name.rpartition(".")[0] for name in known}:
        kind = InEpochs if is_in_epochs(key) else BadInput
        raise kind(f"{no_setting(key, sorted(known))}; see unroll config --explain.")


def _check_section(key: str, text: str, known: Sequence[str]) -> None:
    """Refuse a malformed value, several seeds, and a single value in place of a section."""
    value = value_of(key, text)
    if key == "seed" and isinstance(value, list):
        raise BadInput(f"{several(key, text)}.")
    inner = next((name for name in known if name.startswith(f"{key}.")), None)
    if inner and key not in FREE and value is not None and not isinstance(value, dict):
        raise BadInput(f"{no_section(key, text, inner)}, or {inner}=….")


def _check_removal(word: str, key: str, known: Sequence[str]) -> None:
    """Refuse to remove a setting that every run has."""
    if key in GROUPS:
        raise BadInput(f"{word} removes all of {key}, which every run has; choose another with {key}=NAME.")
    _check_key(key, known)
    if key == "data.reader":
        raise BadInput(f"{word} removes the reader, which every corpus has; choose another with {key}={{name: …}}.")
    if _free(key) is None:
        raise BadInput(f"{word}: every run has {key}; set another value with {key}=…. Only options of "
                       f"{', '.join(FREE)} can be removed.")  # fmt: skip
