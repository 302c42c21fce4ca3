"""What a file of settings may name: this project's tracker, database and folders, unless a person names others.

A config, a study or a run may have been written by somebody else. So the tracker and the database are those of this
project's ``conf/``, and a file outside this project is read only where ``conf/`` or the command line names it too.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from unroll.config.compose import CONF, check, check_section, load, load_data
from unroll.config.corpus import DataConfig
from unroll.config.file import Pairs, parsed, read
from unroll.config.origin import line_of
from unroll.config.schema import Config
from unroll.config.studies import StudySettings, load_study, study_defaults
from unroll.config.study import ChoiceConfig, StudyConfig
from unroll.config.trackers import say_of_another, study_file, tracking_here
from unroll.credentials import in_settings, public
from unroll.errors import BadInput

FILES = ("data.train", "data.validation", "data.test", "data.vectors")
PREPARED = "prepare the data and give --prepared FOLDER"


def load_here(path: Path, words: Sequence[str], reads_data: bool) -> Config:
    """Settings of a run from a file, with this project's tracker.

    Args:
        path: the file.
        words: settings of tracking and files of data from the command line, which come first.
        reads_data: whether the files of data will be read.

    Raises:
        BadInput: the file is bad, or names a file outside this project; or other settings were given.
    """
    typed = _typed(words, "--config", ("tracking", *FILES))
    if "defaults" in read(path):
        raise BadInput(f"{path} is a part of conf/, not the resolved settings of a run; leave out --config and name "
                       f"the experiment, as in experiment={path.stem} arch=lstm.")  # fmt: skip
    run, files = load(path), _files(typed)
    if files:
        run = check({**run.model_dump(), "data": {**run.data.model_dump(), **files}}, " ".join(words))
    if reads_data:
        check_files(run.data, path, ["data"], typed)
    own = [word for word in words if word.startswith("tracking")]
    return run.model_copy(update={"tracking": tracking_here(run, path, own)})


def load_data_here(path: Path, words: Sequence[str]) -> DataConfig:
    """Settings of a corpus from a file.

    Args:
        path: the file.
        words: files of data from the command line, which come first.

    Raises:
        BadInput: as :func:`load_here`.
    """
    typed = _typed(words, "--data", FILES)
    _refuse_unresolved(path)
    data = check_section(DataConfig, {**load_data(path).model_dump(), **_files(typed)}, " ".join(words))
    check_files(data, path, [], typed)
    return data


def _refuse_unresolved(path: Path) -> None:
    """Refuse a file of ``conf/``, which leaves settings to the defaults, with the command that reads it."""
    content, known = read(path), set(DataConfig.model_fields)
    if known <= set(content) or (set(content) - known and "defaults" not in content):
        return  # all are there, or one is misspelt, which is said where they are checked
    name = "NAME" if "defaults" in content else path.stem
    raise BadInput(f"{path} leaves settings to the defaults, and --data takes files that have all of them (data.yaml, "
                   "which unroll config --course conf/course.yaml writes for each experiment); leave out --data: "
                   f"unroll prepare experiment=EXPERIMENT data={name} --out FOLDER.")  # fmt: skip


def load_study_here(path: Path, words: Sequence[str], reads_data: bool) -> StudySettings:
    """A study from a file, with this project's tracker and database.

    Args:
        path: the file.
        words: ``storage``, settings of tracking and files of data from the command line, which come first.
        reads_data: whether the files of data will be read.

    Raises:
        BadInput: as :func:`load_here`.
    """
    typed = _typed(words, "--config", ("storage", "tracking"))
    settings = load_study(path)
    for key, value in _files_of(settings) if reads_data else ():
        _check_file(key, value, str(path), None)
    study, own = settings.study, [word for word in words if word.startswith("tracking")]
    tracking = tracking_here(settings.first(), path, own).model_dump()
    content = study.model_dump(mode="json")
    content["storage"] = _storage(study, path, dict(typed).get("storage"))
    for given in (content["settings"], content["retrain"]["settings"]):
        for key in [key for key in given if key.startswith("tracking.")]:
            del given[key]
    bases = {chosen: {**base, "tracking": tracking} for chosen, base in settings.bases.items()}
    return StudySettings(check_section(StudyConfig, content, path), bases, str(path))


def _storage(study: StudyConfig, path: Path, typed: str | None) -> Any:
    """The database of a study from a file: the one that was typed, or this project's."""
    if typed is not None:
        return typed
    here = study_file(study.name).get("storage") or study_defaults()["storage"]
    here = in_settings(here, public)
    say_of_another(path, "database", study.storage, here)
    return here


def check_files(data: DataConfig, origin: Path, section: list[str], typed: Pairs | None) -> None:
    """Refuse files of a corpus that lie outside this project, unless a person has named them.

    Args:
        data: settings of the corpus.
        origin: the file that has them.
        section: where in that file they are.
        typed: settings of the command line; None where there can be none.

    Raises:
        BadInput: with the first such file.
    """
    for key in FILES:
        last = key.partition(".")[2]
        if value := getattr(data, last):
            _check_file(key, value, f"{origin}, line {line_of(origin, [*section, last])}", typed)


def _check_file(key: str, value: str, place: str, typed: Pairs | None) -> None:
    if not (_is_inside(value) or (key, value) in (typed or ()) or _is_named(value)):
        remedy = PREPARED if typed is None else f"give {key}={value} on the command line"
        raise BadInput(f"{place}: {key}={value} is not a file of this project. If it is to be read, {remedy}.")


def _is_inside(file: str) -> bool:
    """Whether a path stays in the project, and away from hidden files, which may hold keys."""
    path = Path(os.path.normpath(file))
    if path.is_absolute():
        root = Path.cwd().resolve()
        if not path.resolve().is_relative_to(root):
            return False
        path = path.resolve().relative_to(root)
    return not any(part.startswith(".") for part in path.parts)


def _is_named(file: str) -> bool:
    """Whether a file of ``conf/`` names a path: a person wrote it there."""
    return any(file in _texts(read(path)) for path in sorted(CONF.rglob("*.yaml")))


def _texts(content: Any) -> Iterator[str]:
    """Every text in settings."""
    if isinstance(content, dict | list):
        for part in content.values() if isinstance(content, dict) else content:
            yield from _texts(part)
    elif isinstance(content, str):
        yield content


def _files_of(settings: StudySettings) -> Iterator[tuple[str, str]]:
    """Every file of data that a study may read."""
    study = settings.study
    data = [base["data"] for base in settings.bases.values() if isinstance(base.get("data"), dict)]
    bases = [{f"data.{key}": value for key, value in content.items()} for content in data]
    for key in FILES:
        part = study.space.get(key)
        searched = part.choices if isinstance(part, ChoiceConfig) else []
        given = [each.get(key) for each in (*bases, study.settings, study.retrain.settings)]
        yield from ((key, str(value)) for value in (*given, *searched) if value is not None)


def _files(typed: Pairs) -> dict[str, Any]:
    return {key.partition(".")[2]: value for key, value in typed if key in FILES}


def _typed(words: Sequence[str], option: str, keys: Sequence[str]) -> Pairs:
    """Settings of the command line that may stand beside a file."""
    typed = parsed(words, "tracking=none")
    for key, _ in typed:
        if key not in keys and (key.partition(".")[0], "tracking" in keys) != ("tracking", True):
            raise BadInput(f"Give {option} FILE or settings, not both: the file has every setting already. Only "
                           f"{', '.join(keys)} may differ, not {key}.")  # fmt: skip
    return typed
