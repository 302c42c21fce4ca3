"""Settings from files and the command line: composed by Hydra, checked by the schema, wrong ones told in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unroll.config.architectures import NETWORKS, NgramConfig, SharedConfig
from unroll.config.corpus import DataConfig
from unroll.config.explanation import keys
from unroll.config.schema import Config
from unroll.config.section import plain
from unroll.errors import BadInput, nearest, no_such
from unroll.names import fault

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

CONF = Path("conf")
SHOWN = 60  # characters of a wrong value that an error repeats
GROUPS = ("experiment", "data", "task", "arch", "training", "tracking")
S = TypeVar("S", bound=BaseModel)
TAGS = {  # by which pydantic names a choice of sections
    "language_model", "cloze", "tagger", "regressor", "recurrent", "convolutional", "feedforward", "ngram",
    "softmax", "crf", "feedback", "cnn", "bilstm", "choices", "range",
    "int", "float", "str", "bool",
}  # fmt: skip
DUE = {  # what pydantic's errors miss, by the beginnings of their names
    "string": "text", "int": "a whole number", "float": "a number", "bool": "true or false", "list": "a list",
    "dict": "{key: value}", "model": "{key: value}",
}  # fmt: skip


def compose(overrides: Sequence[str], conf: Path = CONF) -> Config:
    """Compose and check the settings of one run.

    Args:
        overrides: Hydra overrides such as ``arch=lstm`` and ``training.tokens=200000``.
        conf: folder of the YAML files.

    Raises:
        BadInput: an unknown key or choice, an impossible value or pair.
    """
    run = finished(unfinished(overrides, conf), " ".join(overrides))
    ignored = [override for override in overrides if override.startswith("recurrent.")]
    if ignored and isinstance(run.arch, NgramConfig):
        raise BadInput(
            f"{ignored[0]} has no effect on arch={run.arch.name}, which is no recurrent network; leave it out."
        )
    return run


def unfinished(overrides: Sequence[str], conf: Path = CONF) -> dict[str, Any]:
    """Compose the settings of one run, in which others may be set before they are checked.

    Args:
        overrides: Hydra overrides.
        conf: folder of the YAML files.

    Raises:
        BadInput: an unknown key or choice.
    """
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    check_root(conf)
    chosen = _choices(overrides, conf)
    question(chosen["experiment"], conf)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            # Hydra would refuse an argument that the file of the arch leaves to its default
            free = [f"++{text.lstrip('+')}" if "arch.cell_arguments." in text else text for text in overrides]
            composed = hydra_compose("config", free)
            content = OmegaConf.to_container(composed, resolve=True)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(_first_sentence(str(error), overrides)) from None
    assert isinstance(content, dict)
    settings = {str(key): value for key, value in content.items()}
    settings["experiment"] = chosen["experiment"]
    settings.pop("question")  # asked by the experiment; a run is the same whatever the words
    return settings


def finished(settings: dict[str, Any], origin: str) -> Config:
    """Check composed settings.

    Args:
        settings: those of :func:`unfinished`.
        origin: where they come from, for messages.

    Raises:
        BadInput: an impossible value or pair.
    """
    arch = _with_shared(settings["arch"], settings["recurrent"], origin)
    return check({**{key: value for key, value in settings.items() if key != "recurrent"}, "arch": arch}, origin)


def _with_shared(arch: dict[str, Any], shared: dict[str, Any], origin: str) -> dict[str, Any]:
    """Settings of an architecture: what its kind of network shares with others, unless its own file differs.

    Raises:
        BadInput: a shared setting is wrong.
    """
    try:
        SharedConfig.model_validate(shared)
    except ValidationError as error:
        raise BadInput(_explain_error(error, origin, Config, "recurrent.")) from None
    network = NETWORKS.get(str(arch.get("network")))
    known = network.model_fields if network else {}
    return {key: value for key, value in shared.items() if key in known} | arch


def question(experiment: str, conf: Path = CONF) -> str:
    """What an experiment asks, in words.

    Raises:
        BadInput: its file asks nothing.
    """
    path = conf / "experiment" / f"{experiment}.yaml"
    asked = read(path).get("question")
    if path.read_text(encoding="utf-8").partition("\n")[0].strip() != "# @package _global_":
        raise BadInput(f"{path}, line 1: it must be # @package _global_, by which Hydra knows where the rest belongs.")
    if not isinstance(asked, str) or not asked.strip():
        raise BadInput(f'{path} asks nothing; add a line such as question: "Does a GRU match an LSTM here?"')
    return asked


def check_root(conf: Path = CONF) -> None:
    """Refuse to work outside a project, where settings are not found and outputs would be scattered.

    Raises:
        BadInput: the folder of the YAML files is not here.
    """
    if not (conf / "config.yaml").is_file():
        raise BadInput(f"There is no {conf}/config.yaml here; change to the root of the project.")


def load(path: Path) -> Config:
    """Read the resolved settings of a run.

    Raises:
        BadInput: the file is missing, is no YAML, or holds what is not allowed.
    """
    return check(read(path), path)


def corpora(conf: Path = CONF) -> dict[str, DataConfig]:
    """Every corpus that has a file in ``conf/data``.

    Raises:
        BadInput: a file is bad.
    """
    check_root(conf)
    return {path.stem: complete_data(read(path), path, conf) for path in sorted((conf / "data").glob("*.yaml"))}


def complete_data(content: dict[str, Any], origin: str | Path, conf: Path = CONF) -> DataConfig:
    """Data settings as a file of ``conf/data`` tells them, the others as ``config.yaml`` has them.

    Raises:
        BadInput: with one sentence for the first thing that is wrong.
    """
    return check_section(DataConfig, {**read(conf / "config.yaml")["data"], **content}, origin)


def dump_data(data: DataConfig) -> str:
    """Plain YAML of the data settings alone, on which preparing depends."""
    return yaml.safe_dump(data.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)


def load_data(path: Path) -> DataConfig:
    """Read what :func:`dump_data` wrote.

    Raises:
        BadInput: the file is missing or holds what is not allowed.
    """
    return check_section(DataConfig, read(path), path)


def check(content: dict[str, Any], origin: str | Path) -> Config:
    """Check plain settings.

    Args:
        content: the settings.
        origin: the file that they are from, or what else is named in an error.

    Raises:
        BadInput: with one sentence for the first thing that is wrong.
    """
    return check_section(Config, content, origin)


def check_section(kind: type[S], content: Any, origin: str | Path) -> S:
    """Check plain settings of one kind.

    Args:
        kind: of the section.
        content: the settings.
        origin: the file that they are from, or what else is named in an error.

    Raises:
        BadInput: with one sentence for the first thing that is wrong.
    """
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        raise BadInput(_explain_error(error, origin, kind)) from None


def read(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        BadInput: it is missing, is no YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        raise BadInput(
            f"{path} does not exist as a file; name another, or change to the root of the project."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict):
        raise BadInput(f"{path} holds no settings, which are lines of the form key: value.")
    return content


def _choices(overrides: Sequence[str], conf: Path) -> dict[str, str]:
    """Choice of each group that is overridden.

    Raises:
        BadInput: an override is no ``key=value``, a key is unknown, a file is missing, or no experiment is named.
    """
    chosen: dict[str, str] = {}
    known = sorted(keys())
    for override in overrides:
        key, equals, value = override.partition("=")
        key = key.lstrip("+~")
        if not equals:
            raise BadInput(f"{override!r} is no setting; write key=value, such as arch=lstm.")
        if key in GROUPS:
            files = sorted(path.stem for path in (conf / key).glob("*.yaml"))
            if value not in files:
                raise no_such(key, value, files)
            if reason := fault(value):
                raise BadInput(f"{conf / key / value}.yaml cannot be chosen by its name: {reason}.")
            chosen[key] = value
        elif key.startswith("arch.") and key.removeprefix("arch.") in SharedConfig.model_fields:
            raise BadInput(f"{key} is shared by architectures; write recurrent.{key.removeprefix('arch.')}=….")
        elif key.rpartition(".")[0] == "arch.cell_arguments":
            continue  # an argument of the cell, which is known once all is composed
        elif key not in known and key not in {name.rpartition(".")[0] for name in known}:
            raise BadInput(f"There is no setting {key!r}{nearest(key, known)}; see unroll config --explain.")
    if "experiment" not in chosen:
        files = sorted(path.stem for path in (conf / "experiment").glob("*.yaml"))
        raise BadInput(f"Which experiment? Add experiment=NAME, one of {', '.join(files)}.")
    return chosen


def _first_sentence(message: str, overrides: Sequence[str]) -> str:
    line = " ".join(message.split("\n")[0].split()).rstrip(".")
    return f"{line}; mend the settings ({' '.join(overrides)})."


def _explain_error(error: ValidationError, origin: str | Path, kind: type[BaseModel], prefix: str = "") -> str:
    """One sentence for the first error; a key that is none comes before the one that it may have been meant for."""
    first = min(error.errors(), key=lambda found: found["type"] != "extra_forbidden")
    place = _place(first)
    if isinstance(origin, Path):
        origin = f"{origin}, line {line_of(origin, place)}" if place else str(origin)
    key = prefix + ".".join(place)
    if first["type"] == "extra_forbidden":
        siblings = [name for name in keys(kind) if name.rpartition(".")[0] == key.rpartition(".")[0]]
        return f"There is no setting {key!r}{nearest(key, siblings)} ({origin}); see unroll config --explain."
    if first["type"] == "missing":
        return f"The setting {key} is missing ({origin}); see unroll config --explain."
    reason = first["msg"].removeprefix("Value error, ")
    reason = reason[0].lower() + reason[1:]
    if first["type"] == "value_error" and place[:1] == ["space"] and place[1:]:  # of a key that the part does not know
        return f"{key}: {reason} ({origin})."
    if not key or first["type"] == "value_error":
        word = reason.split()[0]
        is_setting = "=" in word or "." in word or word in (*kind.model_fields, *GROUPS)  # which keeps its name
        return f"{reason if is_setting else reason[0].upper() + reason[1:]} ({origin})."
    due = _due([found["type"] for found in error.errors() if _place(found) == place])
    if due:
        reason = f"{due} is due"
    reason = reason.replace("input should be", "it must be").replace(" after validation", "")
    value = plain(first["input"])
    value = value if len(value) <= SHOWN else f"{value[:SHOWN]}…"
    return f"{key}={value}: {reason} ({origin})."


def line_of(path: Path, place: Sequence[str]) -> int:
    """Line of a setting in its file, or of the section that should have it."""
    node, line = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader), 1
    for part in place:
        if isinstance(node, yaml.SequenceNode):
            node = node.value[int(part)]
        elif isinstance(node, yaml.MappingNode):
            pairs = {key.value: (key, value) for key, value in node.value}
            if part not in pairs:
                break
            line, node = pairs[part][0].start_mark.line + 1, pairs[part][1]
    return line


def _place(error: ErrorDetails) -> list[str]:
    return [str(part) for part in error["loc"] if not (isinstance(part, str) and part.lower() in TAGS)]


def _due(errors: list[str]) -> str:
    """What may be where a value of another kind is, from the names of the errors; nothing if they tell other faults."""
    if not all(re.fullmatch(r"[a-z]+_(type|parsing|from_float|attributes_type)", name) for name in errors):
        return ""
    kinds = [kind for kind in DUE if any(name.startswith(f"{kind}_") for name in errors)]
    return " or ".join(DUE[kind] for kind in kinds if not (kind == "int" and "float" in kinds))
