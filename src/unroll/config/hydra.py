"""The only module that imports Hydra: composes files and parses values of the command line with its grammar."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from unroll.config.messages import first_sentence, refuse_one_for_several
from unroll.config.origin import SettingsSource
from unroll.config.section import Settings
from unroll.errors import BadInput
from unroll.outputs import MISREAD

if TYPE_CHECKING:
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.core.override_parser.types import Override


def composed(words: Sequence[str], sources: Sequence[SettingsSource], conf: Path) -> Settings:
    """Compose files and overrides with Hydra; later overrides take precedence.

    Args:
        words: overrides in Hydra's syntax.
        sources: the files, for messages.
        conf: their folder.

    Raises:
        BadInput: a file is invalid, or does not fit another one.
    """
    from hydra import compose, initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf.resolve()), version_base="1.3"):
            content = OmegaConf.to_container(compose("config", [*words]), resolve=True)
    except yaml.MarkedYAMLError as error:
        raise BadInput(f"{_marked(error, conf)}: {error.problem}; correct the file.") from None
    except InterpolationResolutionError as error:
        raise BadInput(
            f"{error.full_key}: ${{…}} refers to a key that does not exist; write the value itself ({' '.join(words)})."
        ) from None
    except (HydraException, OmegaConfBaseException, yaml.YAMLError, AssertionError, *MISREAD) as error:
        refuse_one_for_several(sources)
        raise BadInput(first_sentence(str(error) or "Hydra cannot read a file of conf/", words)) from None
    assert isinstance(content, dict)
    return {str(key): value for key, value in content.items()}


def resolved(content: Settings, path: Path) -> Settings:
    """Settings of a file that is read without the others, with what ``${…}`` stands for.

    Raises:
        BadInput: it does not stand for anything.
    """
    if "${" not in str(content):
        return content
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    try:
        made: Settings = OmegaConf.to_container(OmegaConf.create(content), resolve=True)  # type: ignore[assignment]
    except OmegaConfBaseException as error:
        raise BadInput(f"{path}: {first_sentence(str(error), [str(path)])}") from None
    return made


def literal(content: Any) -> Any:
    """Settings as a file of ``conf/`` must have them, so that ``${`` stands for itself."""
    if isinstance(content, dict):
        return {key: literal(value) for key, value in content.items()}
    is_text = isinstance(content, str)  # a path or a title; no list of a corpus of one's own has text
    return re.sub(r"(\\*)\$\{", lambda found: 2 * found[1] + r"\${", content) if is_text else content


def _marked(error: yaml.MarkedYAMLError, conf: Path) -> str:
    """File and line of a YAML error."""
    mark = error.problem_mark
    return f"{conf / Path(mark.name).relative_to(conf.resolve())}, line {mark.line + 1}" if mark else str(conf)


def readable(key: str, value: str) -> str:
    """An override in Hydra's syntax: text with characters that its grammar lacks, such as ~, # or ü, is quoted."""
    word = f"{key}={value}"
    if value.startswith(("'", '"', "[", "{")) or parsed(word) is not None:
        return word
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), value)
    return f"{key}='{escaped}'"


@lru_cache(maxsize=1_000)  # each word of a command line is needed several times, and parsing takes about 1 ms
def parsed(word: str) -> Override | None:
    """Parse an override; None if it does not match Hydra's grammar."""
    from hydra.errors import HydraException

    try:
        return _parser().parse_override(word)
    except HydraException:
        return None


@cache
def _parser() -> OverridesParser:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create()
