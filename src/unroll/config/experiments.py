"""The files of an experiment: its own, and those of the experiments that it builds on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unroll.config.file import read, with_sections
from unroll.config.messages import refuse_former_names
from unroll.config.origin import line_of
from unroll.config.section import Settings
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
    return with_sections(path, {"defaults": list, "data": dict, "arch": dict})


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
        names = [entry for entry in read(path).get("defaults") or [] if isinstance(entry, str) and entry != "_self_"]
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
        *(read(path).get("defaults") or [] for path in files_of(experiment, conf)[::-1]),
    ]
    pairs = [pair for entries in lists for entry in entries if isinstance(entry, dict) for pair in entry.items()]
    return {str(key).rpartition("/")[2].removeprefix("override "): str(name) for key, name in pairs}
