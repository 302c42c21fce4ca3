"""Settings from files and the command line: composed by Hydra, checked by the schema."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from unroll.config.architectures import NETWORKS, NgramConfig, SharedConfig
from unroll.config.corpus import DataConfig
from unroll.config.differences import differences
from unroll.config.explanation import keys
from unroll.config.file import read, with_sections
from unroll.config.messages import GROUPS, explain_error, first_sentence, line_of, no_setting
from unroll.config.overrides import for_hydra
from unroll.config.schema import Config
from unroll.credentials import in_settings, public, without_secrets
from unroll.errors import BadInput, no_such
from unroll.names import fault

CONF = Path("conf")
S = TypeVar("S", bound=BaseModel)


def compose(overrides: Sequence[str], conf: Path = CONF) -> Config:
    """Compose and check the settings of one run.

    Args:
        overrides: Hydra overrides such as ``arch=lstm`` and ``training.tokens=200000``.
        conf: folder of the YAML files.

    Raises:
        BadInput: an unknown key or choice, an impossible value or pair.
    """
    settings = unfinished(overrides, conf)
    path, own = conf / "experiment" / f"{settings['experiment']}.yaml", ["archs", str(settings["arch"].get("name"))]
    has_own = own[1] in read(path).get("archs", {})
    origin = [*overrides, f"{path}, line {line_of(path, own)}"] if has_own else overrides
    run = finished(settings, " ".join(origin))
    ignored = [override for override in overrides if override.startswith("recurrent.")]
    if ignored and isinstance(run.arch, NgramConfig):
        raise BadInput(
            f"{ignored[0]} has no effect on arch={run.arch.name}, which is not a recurrent network; leave it out."
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
    check_root(conf)
    chosen = _choices(overrides, conf)
    path = conf / "experiment" / f"{chosen['experiment']}.yaml"
    question(chosen["experiment"], conf)
    settings = _composed(overrides, conf)
    differing = differences(settings.get("archs", {}), path, conf).get(chosen.get("arch", settings["arch"]["name"]))
    if differing:  # composed again, so that the command line, which comes last, has the last word
        settings = _composed([f"{key}={json.dumps(value)}" for key, value in differing.items()] + [*overrides], conf)
    settings.pop("archs", None)
    settings["experiment"] = chosen["experiment"]
    settings.pop("question")  # asked by the experiment; a run is the same whatever the words
    return settings


def _composed(overrides: Sequence[str], conf: Path) -> dict[str, Any]:
    """What Hydra makes of the files and the overrides, the later of which win."""
    from hydra import compose as hydra_compose
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    project_defaults(conf)  # of this file Hydra's own errors name neither the place nor a remedy
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            composed = hydra_compose("config", [_readable(text) for text in for_hydra(overrides)])
            content = OmegaConf.to_container(composed, resolve=True)
    except yaml.MarkedYAMLError as error:
        raise BadInput(f"{_marked(error, conf)}: {error.problem}; correct the file.") from None
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(first_sentence(str(error), overrides)) from None
    assert isinstance(content, dict)
    settings: dict[str, Any] = in_settings({str(key): value for key, value in content.items()}, public)
    return settings


def _readable(override: str) -> str:
    """An override as Hydra reads it: a text with characters that its grammar lacks, as ~, # or ü, is quoted."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    key, _, value = override.partition("=")
    if value.startswith(("'", '"', "[", "{")):
        return override
    try:
        OverridesParser.create().parse_override(override)
    except HydraException:
        escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), value)
        return f"{key}='{escaped}'"
    return override


def _marked(error: yaml.MarkedYAMLError, conf: Path) -> str:
    """File and line of what is not YAML."""
    mark = error.problem_mark
    return f"{conf / Path(mark.name).relative_to(conf.resolve())}, line {mark.line + 1}" if mark else str(conf)


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
        raise BadInput(explain_error(error, origin, Config, "recurrent.")) from None
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


def asked(name: str, conf: Path = CONF) -> str:
    """What an experiment or a study asks; nothing where ``conf/`` has none of this name, as with another's settings."""
    for path in (conf / "experiment" / f"{name}.yaml", conf / "study" / f"{name}.yaml"):
        if path.is_file():
            return str(read(path).get("question") or "")
    return ""


def check_root(conf: Path = CONF) -> None:
    """Refuse to work outside a project, where settings are not found and outputs would be scattered.

    Raises:
        BadInput: the folder of the YAML files is not here.
    """
    if not (conf / "config.yaml").is_file():
        raise BadInput(f"There is no {conf}/config.yaml here; change to the root of the project.")


def project_defaults(conf: Path = CONF) -> dict[str, Any]:
    """What ``config.yaml`` has of every setting, before any other file.

    Raises:
        BadInput: a section is not there, or is something else.
    """
    return with_sections(conf / "config.yaml", {"defaults": list, "data": dict, "recurrent": dict})


def load(path: Path) -> Config:
    """Read the resolved settings of a run.

    Raises:
        BadInput: the file is missing, is not YAML, or holds what is not allowed.
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
    """Data settings of a file in ``conf/data``, with the defaults of ``config.yaml``.

    Raises:
        BadInput: with one sentence for the first thing that is wrong.
    """
    content = in_settings({**project_defaults(conf)["data"], **content}, public)
    return check_section(DataConfig, content, origin)


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
        return kind.model_validate(in_settings(content, without_secrets))
    except ValidationError as error:
        raise BadInput(explain_error(error, origin, kind)) from None


def _choices(overrides: Sequence[str], conf: Path) -> dict[str, str]:
    """Choice of each group that is overridden.

    Raises:
        BadInput: an override is not ``key=value``, a key is unknown, a file is missing, or no experiment is named.
    """
    chosen: dict[str, str] = {}
    known = sorted(keys())
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals and not key.startswith("~"):
            raise BadInput(f"{override!r} is not a setting; write key=value, such as arch=lstm.")
        key = key.lstrip("+~")
        if key in GROUPS:
            files = sorted(path.stem for path in (conf / key).glob("*.yaml"))
            if value not in files:
                raise no_such(key, value, files)
            if reason := fault(value):
                raise BadInput(f"{conf / key / value}.yaml cannot be chosen by its name: {reason}.")
            chosen[key] = value
        elif key.startswith("arch.") and key.removeprefix("arch.") in SharedConfig.model_fields:
            raise BadInput(f"{key} is shared by architectures; write recurrent.{key.removeprefix('arch.')}=….")
        elif key.rpartition(".")[0] in ("arch.cell_arguments", "data.reader", "data.roles"):
            continue  # of a cell, a reader or a task, which are known once all is composed
        elif key not in known and key not in {name.rpartition(".")[0] for name in known}:
            raise BadInput(f"{no_setting(key, known)}; see unroll config --explain.")
    if "experiment" not in chosen:
        files = sorted(path.stem for path in (conf / "experiment").glob("*.yaml"))
        raise BadInput(f"Which experiment? Add experiment=NAME, one of {', '.join(files)}.")
    return chosen
