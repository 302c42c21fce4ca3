"""The files of an experiment: its own, and those of the experiments that it builds on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.config.file import read, with_sections
from unroll.config.messages import refuse_former_names
from unroll.config.origin import line_of
from unroll.config.section import Settings, plain
from unroll.errors import BadInput

CONF = Path("conf")
PACKAGE = "# @package _global_"


def project_defaults(conf: Path = CONF) -> Settings:
    """The defaults in ``config.yaml``.

    Raises:
        BadInput: a section is missing or of another kind, or has a former name.
    """
    path = conf / "config.yaml"
    content = read(path)
    if not isinstance(content.get("arch"), dict):
        refuse_former_names(content, path)
    content = with_sections(path, {"defaults": list, "data": dict, "arch": dict})
    defaults_in(path)
    return content


def defaults_in(path: Path) -> list[str | dict[str, str | None]]:
    """Hydra's list of defaults in a file; empty if it has none.

    Raises:
        BadInput: an entry is neither a name nor ``group: name``, at which Hydra itself would fail.
    """
    entries = read(path).get("defaults", [])
    if not isinstance(entries, list):
        raise BadInput(f"{_place_of_defaults(path)}: defaults must be a list of lines such as - override /arch: lstm.")
    for entry in entries:
        pairs = list(entry.items()) if isinstance(entry, dict) else [(entry, None)]
        if len(pairs) != 1 or not all(isinstance(key, str) and key and _is_name(name) for key, name in pairs):
            reason = f"{plain(entry)} is not one of the defaults, which are lines such as - override /arch: lstm"
            raise BadInput(f"{_place_of_defaults(path)}: {reason}.")
    return entries


def _is_name(value: Any) -> bool:
    return value is None or (isinstance(value, str) and bool(value))


def _place_of_defaults(path: Path) -> str:
    return f"{path}, line {line_of(path, ['defaults'])}"


def question(experiment: str, conf: Path = CONF) -> str:
    """The question of an experiment.

    Raises:
        BadInput: its file has no question.
    """
    path = conf / "experiment" / f"{experiment}.yaml"
    asked = read(path).get("question")
    if path.read_text(encoding="utf-8").partition("\n")[0].strip() != PACKAGE:
        raise BadInput(f"{path}, line 1: must be {PACKAGE}, which makes Hydra merge the file at the top level.")
    if not isinstance(asked, str) or not asked.strip():
        raise BadInput(f'{path} has no question; add a line such as question: "Does a GRU match an LSTM here?"')
    return asked


def asked(name: str, conf: Path = CONF) -> str:
    """The question of an experiment or a study; empty if ``conf/`` has no such file."""
    for path in (conf / "experiment" / f"{name}.yaml", conf / "study" / f"{name}.yaml"):
        if path.is_file():
            return str(read(path).get("question") or "")
    return ""


def files_of(experiment: str | None, conf: Path = CONF) -> list[Path]:
    """The file of an experiment, followed by those of the experiments that it builds on; empty without one."""
    found = [conf / "experiment" / f"{experiment}.yaml"] if experiment else []
    for path in found:  # which grows
        names = [entry for entry in defaults_in(path) if isinstance(entry, str) and entry != "_self_"]
        bases = [conf / "experiment" / f"{name}.yaml" for name in reversed(names)]
        found += [base for base in bases if base.is_file() and base not in found]
    return found


def place_in(files: Sequence[Path], names: Sequence[str]) -> str:
    """File and line of a setting in the first of the files that has it.

    Args:
        files: the files of an experiment.
        names: names of the sections around the setting, and its own.
    """
    path = next((path for path in files if _has(read(path), names)), files[0])
    return f"{path}, line {line_of(path, names)}"


def _has(content: Any, names: Sequence[str]) -> bool:
    for name in names:
        if not isinstance(content, dict) or name not in content:
            return False
        content = content[name]
    return True


def group_choices(experiment: str | None, conf: Path = CONF) -> dict[str, str]:
    """The file of each group, such as ``data``, that is chosen without the command line.

    Args:
        experiment: name of the experiment; None for none.
        conf: folder of the YAML files.
    """
    lists = [
        project_defaults(conf)["defaults"],
        *(defaults_in(path) for path in files_of(experiment, conf)[::-1]),
    ]
    pairs = [pair for entries in lists for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return {str(key).rpartition("/")[2].removeprefix("override "): str(name) for key, name in pairs}
