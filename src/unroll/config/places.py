"""Places that a file of settings may use: this project's tracker, database and files, unless the user names others.

A config, a study or a run may come from someone else. Therefore the tracker and the database are those in this
project's ``conf/``, and a file outside the project is read only if ``conf/`` or the command line names it, too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unroll.config.compose import check, check_section, load, load_data, refuse_unsafe_names
from unroll.config.corpus import DataConfig
from unroll.config.experiments import CONF
from unroll.config.file import Pairs, read
from unroll.config.origin import line_of
from unroll.config.schema import Config
from unroll.config.section import Settings
from unroll.config.studies import StudySettings, load_study, study_defaults
from unroll.config.study import ChoiceConfig, StudyConfig
from unroll.config.trackers import report_other_store, study_file, tracking_here
from unroll.config.words import pairs_of
from unroll.credentials import in_settings, public
from unroll.errors import BadInput

FILES = ("data.train", "data.validation", "data.test", "data.vectors")
PREPARED = "prepare the data and give --prepared FOLDER"


def load_here(path: Path, words: Sequence[str], reads_data: bool) -> Config:
    """Load the settings of a run from a file, with this project's tracker.

    Args:
        path: the file.
        words: tracking settings and data files from the command line, which take precedence.
        reads_data: whether the data files will be read.

    Raises:
        BadInput: the file is invalid or names a file outside the project, or other settings are given.
    """
    typed = _typed(words, "--config", ("tracking", *FILES))
    refuse_unsafe_names(Config, read(path), path)
    if "defaults" in read(path):
        raise BadInput(f"{path} is a part of conf/, not the resolved settings of a run; omit --config and name "
                       f"the experiment, as in experiment={path.stem} arch=lstm.")  # fmt: skip
    run, files = load(path), _files(typed)
    if files:
        run = check({**run.model_dump(), "data": {**run.data.model_dump(), **files}}, " ".join(words))
    if reads_data:
        check_files(run.data, path, ["data"], typed)
    own = [word for word in words if word.startswith("tracking")]
    return run.model_copy(update={"tracking": tracking_here(run, path, own)})


def load_data_here(path: Path, words: Sequence[str]) -> DataConfig:
    """Load the settings of a corpus from a file.

    Args:
        path: the file.
        words: data files from the command line, which take precedence.

    Raises:
        BadInput: as for :func:`load_here`.
    """
    typed = _typed(words, "--data", FILES)
    refuse_unsafe_names(DataConfig, read(path), path)
    _refuse_unresolved(path)
    data = check_section(DataConfig, {**load_data(path).model_dump(), **_files(typed)}, " ".join(words))
    check_files(data, path, [], typed)
    return data


def _refuse_unresolved(path: Path) -> None:
    """Refuse a file of ``conf/``, which relies on defaults, and name the command that reads it."""
    content = read(path)
    known = DataConfig.model_fields
    needed = {name for name, field in known.items() if field.is_required()}
    if needed <= set(content) or (set(content) - set(known) and "defaults" not in content):
        return  # complete, or misspelt, which the schema reports
    name = "NAME" if "defaults" in content else path.stem
    raise BadInput(f"{path} relies on defaults, but --data needs a file with all settings (the data.yaml that "
                   "unroll config --course conf/course.yaml writes for each experiment); omit --data: "
                   f"unroll prepare experiment=EXPERIMENT data={name} --out FOLDER.")  # fmt: skip


def load_study_here(path: Path, words: Sequence[str], reads_data: bool) -> StudySettings:
    """Load a study from a file, with this project's tracker and database.

    Args:
        path: the file.
        words: ``storage`` and tracking settings from the command line, which take precedence.
        reads_data: whether the data files will be read.

    Raises:
        BadInput: as for :func:`load_here`.
    """
    typed = _typed(words, "--config", ("storage", "tracking"))
    settings = load_study(path)
    for key, value in _files_of(settings) if reads_data else ():
        _check_file(key, value, str(path), None)
    study = settings.study
    own = [word for word in words if word.startswith("tracking")]
    tracking = tracking_here(settings.first(), path, own).model_dump()
    content = study.model_dump(mode="json")
    content["storage"] = _storage(study, path, dict(typed).get("storage"))
    for given in (content["settings"], content["retrain"]["settings"]):
        for key in [key for key in given if key.startswith("tracking.")]:
            del given[key]
    bases = {chosen: {**base, "tracking": tracking} for chosen, base in settings.bases.items()}
    return StudySettings(check_section(StudyConfig, content, path), bases, str(path))


def _storage(study: StudyConfig, path: Path, typed: str | None) -> Any:
    """The database of a study: the one that was typed, or this project's."""
    if typed is not None:
        return typed
    here = study_file(study.name).get("storage") or study_defaults()["storage"]
    here = in_settings(here, public)
    report_other_store(path, "database", study.storage, here)
    return here


def check_files(data: DataConfig, origin: Path, section: list[str], typed: Pairs | None) -> None:
    """Refuse files of a corpus outside the project, unless the user has named them.

    Args:
        data: settings of the corpus.
        origin: the file with the settings.
        section: the section of that file.
        typed: settings of the command line; None where the command accepts none.

    Raises:
        BadInput: names the first such file.
    """
    for key in FILES:
        last = key.partition(".")[2]
        if value := getattr(data, last):
            _check_file(key, value, f"{origin}, line {line_of(origin, [*section, last])}", typed)


def _check_file(key: str, value: str, place: str, typed: Pairs | None) -> None:
    if not (_is_inside(value) or (key, value) in (typed or ()) or _is_named(value)):
        remedy = PREPARED if typed is None else f"give {key}={value} on the command line"
        raise BadInput(f"{place}: {key}={value} is not a file of this project. To read it, {remedy}.")


def _is_inside(file: str) -> bool:
    """Whether a path is inside the project and not hidden; hidden files may contain keys."""
    path = Path(os.path.normpath(file))
    if path.is_absolute():
        root = Path.cwd().resolve()
        if not path.resolve().is_relative_to(root):
            return False
        path = path.resolve().relative_to(root)
    return not any(part.startswith(".") for part in path.parts)


def _is_named(file: str) -> bool:
    """Whether a file of ``conf/``, which belongs to the user, names the path."""
    return any(file in _texts(read(path)) for path in sorted(CONF.rglob("*.yaml")))


def _texts(content: Any) -> Iterator[str]:
    """Yield each string in nested settings."""
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)
    elif isinstance(content, str):
        yield content


def _files_of(settings: StudySettings) -> Iterator[tuple[str, str]]:
    """Yield each data file that a study may read."""
    study = settings.study
    data = [base["data"] for base in settings.bases.values() if isinstance(base.get("data"), dict)]
    bases = [{f"data.{key}": value for key, value in content.items()} for content in data]
    for key in FILES:
        part = study.space.get(key)
        searched = part.choices if isinstance(part, ChoiceConfig) else []
        given = [each.get(key) for each in (*bases, study.settings, study.retrain.settings)]
        yield from ((key, str(value)) for value in (*given, *searched) if value is not None)


def _files(typed: Pairs) -> Settings:
    return {key.partition(".")[2]: value for key, value in typed if key in FILES}


def _typed(words: Sequence[str], option: str, keys: Sequence[str]) -> Pairs:
    """Parse the settings of the command line that are allowed together with a file."""
    typed = pairs_of(words, "tracking=none")
    for key, _ in typed:
        if key not in keys and (key.partition(".")[0], "tracking" in keys) != ("tracking", True):
            raise BadInput(f"Give {option} FILE or settings, not both: the file has all settings. Only "
                           f"{', '.join(keys)} can be overridden, not {key}.")  # fmt: skip
    return typed
