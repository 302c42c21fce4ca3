"""The grid of a course in DVC's form: one entry per stage, over which ``foreach`` in ``dvc.yaml`` runs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypedDict

import yaml

from unroll.config.compose import compose
from unroll.config.corpus import DataConfig
from unroll.config.course import Chapters, course
from unroll.config.studies import compose_study, studies
from unroll.errors import BadInput
from unroll.outputs import write_text

HEAD = "# Written by unroll course, from {} beside it, and read by dvc.yaml; do not edit.\n"
Entry = dict[str, str | int]  # what dvc.yaml reads of a stage: its experiment, arch and seed, or its folders


class StageGrid(TypedDict):
    """The stages of each kind: entries by name, or names alone."""

    prepare: dict[str, Entry]
    train: dict[str, Entry]
    tune: list[str]
    retrain: dict[str, Entry]
    evaluate: dict[str, Entry]
    certify: dict[str, Entry]


def grid_file(path: Path) -> Path:
    """The file of the grid of a course."""
    return path.with_name("grid.yaml")


def write_grid(path: Path) -> bool:
    """Write the grid of a course beside it. Returns whether it has changed.

    Args:
        path: file of the course.

    Raises:
        BadInput: the course is invalid, or two stages would have the same name.
    """
    text = _text(path)
    if _written(path) == text:
        return False
    write_text(grid_file(path), text)
    return True


def refuse_stale(path: Path) -> None:
    """Refuse a course whose grid was written from another version of it.

    Args:
        path: file of the course; one without a grid beside it is not part of a pipeline.

    Raises:
        BadInput: the grid must be written again.
    """
    if _written(path) not in (None, _text(path)):
        raise BadInput(f"{grid_file(path)} is older than {path}, so that DVC would run other stages; run unroll course "
                       f"{path}, then the same command again.")  # fmt: skip


def stages(path: Path) -> StageGrid:
    """Entries of the stages of a course, by kind of stage.

    Raises:
        BadInput: the course is invalid, or two stages would have the same name.
    """
    chapters = course(path)
    known = studies()
    found: StageGrid = {"prepare": {}, "train": {}, "tune": [], "retrain": {}, "evaluate": {}, "certify": {}}
    for name, chapter in chapters.items():
        for experiment in chapter["experiments"]:
            if experiment in found["evaluate"]:
                raise BadInput(f"{path}: the experiment {experiment} is in two chapters; remove it from one.")
            found["evaluate"][experiment] = {"experiment": experiment, "archs": " ".join(chapter["archs"])}
            found["prepare"][experiment] = _corpus(_data(experiment, chapters, name))
            trained = found["retrain" if experiment in known else "train"]
            for arch in chapter["archs"]:
                _add(trained, f"{experiment}-{arch}", {"experiment": experiment, "arch": arch}, path)
            for run in chapter["certified"]:
                arch, _, seed = run.rpartition("-")
                entry: Entry = {"experiment": experiment, "arch": arch, "seed": int(seed)}
                _add(found["certify"], f"{experiment}-{run}", entry, path)
            if experiment in known:
                found["tune"].append(experiment)
    return found


def _add(entries: dict[str, Entry], name: str, entry: Entry, path: Path) -> None:
    """Add the entry of a stage.

    Raises:
        BadInput: another one has its name.
    """
    if name in entries:
        raise BadInput(f"{path}: two stages would be named {name}, of {entries[name]} and {entry}; rename one of them.")
    entries[name] = entry


def _data(experiment: str, chapters: Chapters, chapter: str) -> DataConfig:
    """Data settings of an experiment or a study."""
    if experiment in studies():
        return compose_study(experiment).first().data
    return compose([f"experiment={experiment}", f"arch={chapters[chapter]['archs'][0]}"]).data


def _corpus(data: DataConfig) -> Entry:
    """Folders that the prepared data depend on: of the corpus, and of its vectors, if it has any."""
    files = [file for file in (data.train, data.validation, data.test) if file]
    folder = _place(Path(os.path.commonpath([Path.cwd() / Path(file).parent for file in files])), files[0])
    return {"corpus": folder, "vectors": str(Path(data.vectors).parent) if data.vectors else folder}


def _place(folder: Path, file: str) -> str:
    """A folder, relative to the project if inside it; one of its files, if the folder contains the project."""
    if Path.cwd().is_relative_to(folder):
        return file
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def _text(path: Path) -> str:
    content = yaml.safe_dump(stages(path), sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return HEAD.format(path.name) + content


def _written(path: Path) -> str | None:
    """The grid as it is written; None if it is not."""
    file = grid_file(path)
    return file.read_text(encoding="utf-8") if file.is_file() else None
