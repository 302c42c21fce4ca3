"""Studies: composed from files and the command line, and resolved to a single file."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from unroll.config.compose import check_root, check_section, finished, refuse_unsafe_names, sources, unfinished
from unroll.config.experiments import CONF
from unroll.config.file import dotted, read, with_sections
from unroll.config.format import with_added
from unroll.config.messages import GROUPS
from unroll.config.origin import Origin, SettingsSource
from unroll.config.overrides import choices, split
from unroll.config.schema import Config, is_neutral
from unroll.config.searchable import refused
from unroll.config.section import Settings, plain
from unroll.config.study import ChoiceConfig, StudyConfig, Value
from unroll.config.study_keys import REMOVED, check_keys, check_sections, refuse_misplaced
from unroll.config.words import pairs_of
from unroll.credentials import in_settings, public, without_secrets
from unroll.errors import BadInput, no_such

Files = list[tuple[dict[str, Value], list[SettingsSource]]]  # a choice of groups, and the files it is composed from
SECTIONS = {"settings", "constraints", "sampler", "pruner", "retrain"}  # keys that are sections


@dataclass(frozen=True)
class StudySettings:
    """A study with all settings of its trials, independent of other files.

    Args:
        study: settings of the study.
        bases: composed settings for each choice of groups, such as ``arch=lstm``; a trial sets its other values in
            them.
        origin: where they come from, for messages; empty in a worker, which receives resolved settings.
    """

    study: StudyConfig
    bases: dict[str, Settings]
    origin: str = field(default="", compare=False)

    @property
    def shared(self) -> list[str]:
        """Settings of all trials that need not have an effect on every arch, since several are searched."""
        return [key for key in self.study.settings if key.startswith("arch.") and "arch" in self.study.space]

    def run(self, values: dict[str, Value], retrained: bool = False, sources: Sequence[SettingsSource] = ()) -> Config:
        """Settings of the run of a trial.

        Args:
            values: values of keys of the space.
            retrained: whether the run retrains the best trial.
            sources: files that the settings were composed from; none for settings that have been checked with them.

        Raises:
            BadInput: a value or a combination is invalid.
        """
        given = {**self.study.settings, **values, **(self.study.retrain.settings if retrained else {})}
        origin = f"{self.origin or f'study={self.study.name}'} {as_words(values)}".strip()
        if _groups(given) not in self.bases:
            raise BadInput(f"There are no settings of {_groups(given)} ({origin}); resolve the study again: "
                           "unroll config --course.")  # fmt: skip
        settings = copy.deepcopy(self.bases[_groups(given)])
        for key, value in given.items():
            if key not in GROUPS and not key.startswith(REMOVED):
                _set(settings, key, value, origin)
        settings["experiment"] = self.study.name  # groups and names the runs
        return finished(settings, Origin(origin, set(given).difference(GROUPS, self.shared), sources))

    def first(self, choice: Mapping[str, Value] | None = None, sources: Sequence[SettingsSource] = ()) -> Config:
        """The first run of the study, for settings that all runs share.

        Args:
            choice: values of some keys; None for the first of each key.
            sources: see :meth:`run`.
        """
        values: dict[str, Value] = {}
        for key, part in self.study.space.items():
            if not part.when:
                values[key] = part.choices[0] if isinstance(part, ChoiceConfig) else part.low
        return self.run({**values, **(choice or {})}, sources=sources)

    def digest(self, data: str, code: str) -> str:
        """SHA-256 of what affects the result of a study: not its storage, tracking and monitoring."""
        left_out = {"question", "storage", "heartbeat", "grace", "retries", "retrain", "settings"}
        given = {key: value for key, value in self.study.settings.items() if not is_neutral(key)}
        settings = [dict(dotted(base)) for _, base in sorted(self.bases.items())]
        bases = [{key: value for key, value in base.items() if not is_neutral(key)} for base in settings]
        content = json.dumps([self.study.model_dump(mode="json", exclude=left_out), given, bases], sort_keys=True)
        return hashlib.sha256(f"{content}\n{data}\n{code}".encode()).hexdigest()

    def dump(self) -> str:
        """Plain YAML from which the same settings can be loaded."""
        content = {"study": self.study.model_dump(mode="json"), "bases": self.bases}
        return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def as_words(values: Settings) -> str:
    """Values as written on the command line."""
    return " ".join(f"{key}={plain(value)}" for key, value in values.items())


def load_study(path: Path) -> StudySettings:
    """Load settings written by :meth:`StudySettings.dump`.

    Raises:
        BadInput: the file is missing or has an invalid setting.
    """
    content = read(path)
    bases = content.get("bases")
    refuse_unsafe_names(StudyConfig, content.get("study"), str(path))
    for base in bases.values() if isinstance(bases, dict) else ():
        refuse_unsafe_names(Config, base, str(path))
    if (
        set(content) != {"study", "bases"}
        or not isinstance(bases, dict)
        or not all(isinstance(base, dict) and isinstance(base.get("arch"), dict) for base in bases.values())
    ):
        raise BadInput(f"{path} is not a resolved study; write one with unroll config --course.")
    bases = {arch: with_added(base) for arch, base in bases.items()}
    settings = StudySettings(check_section(StudyConfig, content["study"], str(path)), bases, str(path))
    check_keys(settings.study.model_dump(), path, str(path))
    _check_trials(settings, str(path))
    return settings


def studies(conf: Path = CONF) -> list[str]:
    """Names of the studies in ``conf/study``."""
    return sorted(path.stem for path in (conf / "study").glob("*.yaml"))


def study_defaults(conf: Path = CONF) -> Settings:
    """The defaults in ``study.yaml``.

    Raises:
        BadInput: a section is missing or of another kind.
    """
    return with_sections(conf / "study.yaml", dict.fromkeys(SECTIONS, dict) | {"storage": str})


def compose_study(name: str, overrides: Settings | None = None, conf: Path = CONF) -> StudySettings:
    """Compose the settings of a study: those of its file, completed with the defaults in ``conf/study.yaml``.

    Args:
        name: name of the study.
        overrides: overridden settings by dotted key; keys that a study lacks are settings of its trials.
        conf: folder of the YAML files.

    Raises:
        BadInput: there is no such study, or a setting is invalid or missing.
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
        _override(content, key, value)
    given = [
        key if key.startswith(REMOVED) else f"{key}={without_secrets(plain(value))}" for key, value in overrides.items()
    ]
    origin = " ".join([str(path), *(["with", *given] if given else [])])
    check_sections(content, defaults, origin)
    refuse_misplaced(content, origin)
    check_keys(content, path, origin)
    if "balanced" not in {**own, **overrides} and not _can_balance(content):
        content["balanced"] = None
    study = check_section(StudyConfig, {**content, "name": name}, origin)
    settings, files = _with_bases(study, origin, conf)
    _check_archs(settings, files, origin)
    _check_trials(settings, origin)
    return settings


def _override(content: Settings, key: str, value: object) -> None:
    """Apply a setting of the command line to those of a study.

    Raises:
        BadInput: a study has no such setting.
    """
    section, _, rest = key.partition(".")
    if key.startswith(REMOVED) and key[1:] in content["settings"]:  # a setting in the file of the study
        content["settings"] = {own: kept for own, kept in content["settings"].items() if own != key[1:]}
    elif section not in StudyConfig.model_fields.keys() - {"name"}:  # which follows from the file
        content["settings"] = {**content["settings"], key: value}
    elif not rest:
        content[section] = value
    elif isinstance(content.get(section), dict):
        content[section] = {**content[section], rest: value}
    else:
        raise BadInput(f"There is no setting {key!r} of a study; see conf/study.yaml.")


def _with_bases(study: StudyConfig, origin: str, conf: Path) -> tuple[StudySettings, Files]:
    """A study with the settings that each choice of groups starts from, and their files."""
    bases, files = {}, []
    for choice in _group_choices(study):
        chosen = {**study.settings, **choice}
        of_experiment = [f"experiment={study.experiment}"] if study.experiment else []
        words = [*of_experiment, *(f"{key}={chosen[key]}" for key in chosen if key in GROUPS)]
        try:
            bases[_groups(chosen)] = unfinished([*words, *(key for key in chosen if key.startswith(REMOVED))], conf)
            files.append((choice, sources(choices(words, conf), conf)))
        except BadInput as error:
            raise BadInput(f"{str(error).rstrip('.')} ({origin}).") from None
    return StudySettings(study, bases, origin), files


def compose_study_from(words: Sequence[str], conf: Path = CONF) -> StudySettings:
    """Compose the settings of a study from the command line: ``study=NAME``, and settings of it or of its trials.

    Raises:
        BadInput: no study is named, a word is not a setting, or a setting is invalid.
    """
    removed = [f"{REMOVED}{split(word)[0]}" for word in words if word.startswith(REMOVED)]
    example = next((f"study={word}" for word in words if word in studies(conf)), "trials=20")
    given = dict(pairs_of([word for word in words if not word.startswith(REMOVED)], example)) | dict.fromkeys(removed)
    check_root(conf)
    if "study" not in given:
        raise BadInput(f"Which study? Add study=NAME, one of {', '.join(studies(conf))}.")
    return compose_study(str(given.pop("study")), given, conf)


def _can_balance(content: Settings) -> bool:
    """Whether trials can be balanced over archs: archs are searched, and the sampler is not grid."""
    return "arch" in content.get("space", {}) and content["sampler"].get("name") != "grid"


def _check_trials(settings: StudySettings, origin: str) -> None:
    """Check what depends on both the study and its experiment."""
    _check_seeds(settings, origin)
    data = [key for key in settings.study.space if key.startswith("data.")]
    if data and (reason := refused(data, settings.first().task.description.predicts_inputs)):
        raise BadInput(f"{reason} ({origin}); move it under settings, which gives all trials the same value.")


def _check_archs(settings: StudySettings, files: Files, origin: str) -> None:
    """Check the first trial of each arch against the files of the arch, and that no arch setting is without effect."""
    runs = [dict(dotted(settings.first(choice, sources).model_dump())) for choice, sources in files]
    for key in settings.shared:
        if not any(f"{found}.".startswith(f"{key}.") for run in runs for found in run):
            raise BadInput(f"{key} has no effect on any trial ({origin}); remove it.")


def _check_seeds(settings: StudySettings, origin: str) -> None:
    """Refuse to retrain on a seed of the trials: the best of many trials is partly lucky on its own seed."""
    for seed in settings.study.retrain.seeds:
        if _is_tried(seed, settings.study, settings.bases):
            raise BadInput(
                f"{origin}: retrain.seeds has {seed}, a seed of the trials; choose seeds that the study has not used."
            )


def _is_tried(seed: int, study: StudyConfig, bases: dict[str, Settings]) -> bool:
    """Whether trials are trained with a seed."""
    searched = study.space.get("seed")
    if searched is None:
        return any(study.settings.get("seed", base.get("seed")) == seed for base in bases.values())
    return seed in searched.choices if isinstance(searched, ChoiceConfig) else searched.low <= seed <= searched.high


def _group_choices(study: StudyConfig) -> list[dict[str, Value]]:
    """All combinations of the groups in the space."""
    parts = study.space.items()
    groups = {key: part.choices for key, part in parts if key in GROUPS and isinstance(part, ChoiceConfig)}
    return [dict(zip(groups, chosen, strict=True)) for chosen in itertools.product(*groups.values())]


def _groups(given: dict[str, Value]) -> str:
    return as_words({key: given[key] for key in sorted(GROUPS) if key in given}) or "-"


def _set(settings: Settings, key: str, value: Value, origin: str) -> None:
    *sections, last = key.split(".")
    for section in sections:
        settings = settings.setdefault(section, {})
        if not isinstance(settings, dict):
            raise BadInput(f"{key} cannot be set, since {section} is {settings} here ({origin}); remove it, or "
                           "choose an arch that has it.")  # fmt: skip
    settings[last] = value


def _merged(defaults: Settings, given: Settings) -> Settings:
    """Defaults updated with the given settings; sections are merged key by key."""
    merged = defaults | given
    for key in (SECTIONS - {"settings"}) & given.keys():
        if isinstance(given[key], dict):
            merged[key] = defaults[key] | given[key]
    return merged
