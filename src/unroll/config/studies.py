"""Studies composed from their files and the command line, and resolved to one file each."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from unroll.config.compose import CONF, check_root, check_section, finished, unfinished
from unroll.config.file import parsed, read, with_sections
from unroll.config.messages import GROUPS
from unroll.config.origin import Origin
from unroll.config.overrides import split
from unroll.config.schema import Config
from unroll.config.searchable import refused
from unroll.config.section import plain
from unroll.config.study import ChoiceConfig, StudyConfig, Value
from unroll.config.study_keys import AWAY, check_keys, check_sections, refuse_misplaced
from unroll.credentials import in_settings, public, without_secrets
from unroll.errors import BadInput, no_such

NEUTRAL = ("solved", "judged_by", "training.devices", "training.checkpoint_seconds")  # change no result
SECTIONS = {"settings", "constraints", "sampler", "pruner", "retrain"}  # of several settings each


@dataclass(frozen=True)
class StudySettings:
    """A study with all that its trials are made of, so that it needs no other file.

    Args:
        study: its settings.
        bases: composed settings by what is chosen of the groups, such as ``arch=lstm``: a trial's other values are set
            in them.
        origin: where they come from, for messages; empty in a worker, which was given them whole.
    """

    study: StudyConfig
    bases: dict[str, dict[str, Any]]
    origin: str = field(default="", compare=False)

    def run(self, values: dict[str, Value], anew: bool = False) -> Config:
        """Settings of the run of a trial.

        Args:
            values: of keys of the space.
            anew: whether it is one that is trained anew.

        Raises:
            BadInput: an impossible value or pair.
        """
        given = {**self.study.settings, **values, **(self.study.retrain.settings if anew else {})}
        origin = f"{self.origin or f'study={self.study.name}'} {told(values)}".strip()
        if _groups(given) not in self.bases:
            raise BadInput(f"There are no settings of {_groups(given)} ({origin}); resolve the study again: "
                           "unroll config --course.")  # fmt: skip
        settings = copy.deepcopy(self.bases[_groups(given)])
        for key, value in given.items():
            if key not in GROUPS and not key.startswith(AWAY):
                _set(settings, key, value, origin)
        settings["experiment"] = self.study.name  # by which runs are grouped and named
        return finished(settings, Origin(origin, set(given).difference(GROUPS)))

    def first(self) -> Config:
        """A run of the study: what all of them have in common is as in this one."""
        values: dict[str, Value] = {}
        for key, part in self.study.space.items():
            if not part.when:
                values[key] = part.choices[0] if isinstance(part, ChoiceConfig) else part.low
        return self.run(values)

    def digest(self, data: str, code: str) -> str:
        """SHA-256 of what decides the result of a study: not where it is kept and tracked, nor how it is watched."""
        left_out = {"question", "storage", "heartbeat", "grace", "retries", "retrain", "settings"}
        given = {key: value for key, value in self.study.settings.items() if not _is_neutral(key)}
        bases = [{key: value for key, value in _dotted(settings) if not _is_neutral(key)}
                 for _, settings in sorted(self.bases.items())]  # fmt: skip
        content = json.dumps([self.study.model_dump(mode="json", exclude=left_out), given, bases], sort_keys=True)
        return hashlib.sha256(f"{content}\n{data}\n{code}".encode()).hexdigest()

    def dump(self) -> str:
        """Plain YAML from which the same settings are read again."""
        content = {"study": self.study.model_dump(mode="json"), "bases": self.bases}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _is_neutral(key: str) -> bool:
    """Whether a setting changes no result."""
    return key.partition(".")[0] == "tracking" or key in NEUTRAL


def _dotted(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in settings.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def told(values: dict[str, Any]) -> str:
    """Values as on the command line."""
    return " ".join(f"{key}={plain(value)}" for key, value in values.items())


def load_study(path: Path) -> StudySettings:
    """Read what :meth:`StudySettings.dump` wrote.

    Raises:
        BadInput: the file is missing or holds what is not allowed.
    """
    content = read(path)
    bases = content.get("bases")
    if (
        set(content) != {"study", "bases"}
        or not isinstance(bases, dict)
        or not all(isinstance(base, dict) and _has_arch(base) for base in bases.values())
    ):
        raise BadInput(f"{path} is not a resolved study; unroll config --course writes them.")
    settings = StudySettings(check_section(StudyConfig, content["study"], str(path)), content["bases"], str(path))
    check_keys(settings.study.model_dump(), str(path))
    _check_trials(settings, str(path))
    return settings


def _has_arch(base: dict[str, Any]) -> bool:
    """Whether settings have an architecture, and what architectures share."""
    return all(isinstance(base.get(section), dict) for section in ("arch", "recurrent"))


def studies(conf: Path = CONF) -> list[str]:
    """Names of the studies that have a file."""
    return sorted(path.stem for path in (conf / "study").glob("*.yaml"))


def study_defaults(conf: Path = CONF) -> dict[str, Any]:
    """What ``study.yaml`` has of every setting of a study.

    Raises:
        BadInput: a section is not there, or is something else.
    """
    return with_sections(conf / "study.yaml", dict.fromkeys(SECTIONS, dict) | {"storage": str})


def compose_study(name: str, overrides: dict[str, Any] | None = None, conf: Path = CONF) -> StudySettings:
    """Settings of a study: those of its file, the others as ``conf/study.yaml`` has them.

    Args:
        name: of the study.
        overrides: settings that differ, by their dotted keys; those that are none of a study's are of its trials.
        conf: folder of the YAML files.

    Raises:
        BadInput: there is no such study, or a setting is wrong or missing.
    """
    check_root(conf)
    overrides = in_settings(overrides or {}, public)
    if name not in studies(conf):
        raise no_such("study", name, studies(conf))
    path = conf / "study" / f"{name}.yaml"
    defaults, own = study_defaults(conf), read(path)
    content = in_settings(_merged(defaults, own), public)
    check_sections(content, defaults, str(path))
    for key, value in overrides.items():
        if key.startswith(AWAY) and key[1:] in content["settings"]:  # the study's own setting
            content["settings"] = {own: kept for own, kept in content["settings"].items() if own != key[1:]}
            continue
        section, _, rest = key.partition(".")
        if section not in StudyConfig.model_fields.keys() - {"name"}:  # that is its file's
            content["settings"] = {**content["settings"], key: value}
        elif not rest:
            content[section] = value
        elif isinstance(content.get(section), dict):
            content[section] = {**content[section], rest: value}
        else:
            raise BadInput(f"There is no setting {key!r} of a study; see conf/study.yaml.")
    given = [key if key.startswith(AWAY) else f"{key}={without_secrets(plain(value))}"
             for key, value in overrides.items()]  # fmt: skip
    origin = " ".join([str(path), *(["with", *given] if given else [])])
    check_sections(content, defaults, origin)
    refuse_misplaced(content, origin)
    check_keys(content, origin)
    if "balanced" not in {**own, **overrides} and not _can_balance(content):
        content["balanced"] = None
    study = check_section(StudyConfig, {**content, "name": name}, origin)
    bases = {}
    for choice in _group_choices(study):
        chosen = {**study.settings, **choice}
        words = [f"experiment={study.experiment}", *(f"{key}={chosen[key]}" for key in chosen if key in GROUPS)]
        try:
            bases[_groups(chosen)] = unfinished([*words, *(key for key in chosen if key.startswith(AWAY))], conf)
        except BadInput as error:
            raise BadInput(f"{str(error).rstrip('.')} ({origin}).") from None
    settings = StudySettings(study, bases, origin)
    _check_trials(settings, origin)
    return settings


def compose_study_from(words: Sequence[str], conf: Path = CONF) -> StudySettings:
    """Settings of a study from the command line: ``study=NAME``, and ``key=value`` of its own or of its trials.

    Raises:
        BadInput: no study is named, a word is not a setting, or a setting is wrong.
    """
    taken = [f"{AWAY}{split(word)[0]}" for word in words if word.startswith(AWAY)]
    given = dict(
        parsed([word.lstrip("+") for word in words if not word.startswith(AWAY)], "trials=20")
    ) | dict.fromkeys(taken)
    check_root(conf)
    if "study" not in given:
        raise BadInput(f"Which study? Add study=NAME, one of {', '.join(studies(conf))}.")
    return compose_study(str(given.pop("study")), given, conf)


def _can_balance(content: dict[str, Any]) -> bool:
    """Whether archs can get the same number of trials: they are searched, and not all points of a grid are tried."""
    return "arch" in content.get("space", {}) and content["sampler"].get("name") != "grid"


def _check_trials(settings: StudySettings, origin: str) -> None:
    """Refuse what depends on both the study and its experiment."""
    _check_seeds(settings, origin)
    data = [key for key in settings.study.space if key.startswith("data.")]
    if data and (reason := refused(data, settings.first().task.description.predicts_inputs)):
        raise BadInput(f"{reason} ({origin}); set it below settings, where all trials have the same value.")


def _check_seeds(settings: StudySettings, origin: str) -> None:
    """Refuse to train again on a seed that chose what is trained again: the best of many is better there by luck."""
    for seed in settings.study.retrain.seeds:
        if _is_tried(seed, settings.study, settings.bases):
            raise BadInput(f"{origin}: retrain.seeds has {seed}, a seed of the trials; name others, which the study "
                           "has not seen.")  # fmt: skip


def _is_tried(seed: int, study: StudyConfig, bases: dict[str, dict[str, Any]]) -> bool:
    """Whether trials are trained on a seed."""
    searched = study.space.get("seed")
    if searched is None:
        return any(study.settings.get("seed", base.get("seed")) == seed for base in bases.values())
    return seed in searched.choices if isinstance(searched, ChoiceConfig) else searched.low <= seed <= searched.high


def _group_choices(study: StudyConfig) -> list[dict[str, Value]]:
    """Every combination of what the space lets choose of the groups."""
    parts = study.space.items()
    groups = {key: part.choices for key, part in parts if key in GROUPS and isinstance(part, ChoiceConfig)}
    return [dict(zip(groups, chosen, strict=True)) for chosen in itertools.product(*groups.values())]


def _groups(given: dict[str, Value]) -> str:
    return told({key: given[key] for key in sorted(GROUPS) if key in given}) or "-"


def _set(settings: dict[str, Any], key: str, value: Value, origin: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise BadInput(f"{key} cannot be set, since {section} is {settings} here ({origin}); leave it out, or "
                           "choose an arch that has it.")  # fmt: skip
    settings[last] = value


def _merged(defaults: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """Defaults, but for what is given; sections key by key."""
    merged = defaults | given
    for key in (SECTIONS - {"settings"}) & given.keys():
        if isinstance(given[key], dict):
            merged[key] = defaults[key] | given[key]
    return merged
