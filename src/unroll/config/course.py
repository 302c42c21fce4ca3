"""The grid of a course: experiments, architectures and seeds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypedDict

from unroll.config.compose import check, compose, dump_data
from unroll.config.experiments import CONF, question
from unroll.config.file import read
from unroll.config.origin import line_of
from unroll.config.schema import Config
from unroll.config.section import Settings, plain
from unroll.config.studies import compose_study, studies
from unroll.config.study import ChoiceConfig, StudyConfig
from unroll.errors import BadInput, no_such
from unroll.names import fault
from unroll.outputs import whole


class Chapter(TypedDict):
    """A chapter of a course: its runs are all combinations of the first three."""

    experiments: list[str]
    archs: list[str]
    seeds: list[int]
    certified: list[str]


Chapters = dict[str, Chapter]


def course(path: Path = CONF / "course.yaml") -> Chapters:
    """Chapters of the course in order, each with its experiments, archs, seeds and certified runs.

    Raises:
        BadInput: the file is missing or has another shape, or a certified run is not in its chapter.
    """
    content = read(path)
    for chapter, grid in content.items():
        if isinstance(grid, dict) and "variants" in grid:
            raise BadInput(f"{path}, line {line_of(path, [chapter, 'variants'])}: variants belong in the file of their "
                           "experiment, in conf/experiment; list only their names, under archs.")  # fmt: skip
        if not isinstance(grid, dict) or {"experiments", "archs", "seeds"} != grid.keys() - {"certified"}:
            raise BadInput(
                f"{path}: chapter {chapter!r} needs the lists experiments, archs and seeds, and may have certified."
            )
        grid.setdefault("certified", [])
        if not all(isinstance(names, list) for names in grid.values()):
            raise BadInput(f"{path}: chapter {chapter!r} needs experiments, archs and seeds as lists: seeds: [0, 1].")
        _check_names(grid, f"{path}, line {line_of(path, [chapter])}: chapter {chapter!r}")
        runs = [f"{arch}-{seed}" for arch in grid["archs"] for seed in grid["seeds"]]
        for run in grid["certified"]:
            if run not in runs:
                raise no_such(f"run in chapter {chapter} to certify,", run, runs)
        if grid["experiments"] and not (grid["archs"] and grid["seeds"]):
            raise BadInput(f"{path}: chapter {chapter!r} has experiments but no archs or no seeds.")
    chapters: Chapters = content
    return chapters


def _check_names(grid: Mapping[str, list[object]], place: str) -> None:
    """Refuse names that cannot be part of the path of a run."""
    for key in ("experiments", "archs"):
        for name in grid[key]:
            if (
                reason := fault(name)
                if isinstance(name, str)
                else "YAML does not read this as text; choose another name"
            ):
                raise BadInput(f"{place} has {plain(name)} in {key}: {reason}.")
    for seed in grid["seeds"]:
        if type(seed) is not int or not 0 <= seed < 2**32:
            raise BadInput(f"{place} has {plain(seed)} in seeds: a seed is a whole number from 0 to {2**32 - 1}.")


def _check_study(study: StudyConfig, grid: Chapter, place: str) -> None:
    """Refuse a chapter whose archs or seeds differ from those that its study writes."""
    searched = study.space.get("arch")
    archs = searched.choices if isinstance(searched, ChoiceConfig) else [study.settings.get("arch")]
    if set(grid["archs"]) != set(archs):
        raise BadInput(
            f"{place} has archs {grid['archs']}, and study={study.name} searches {archs}; use the same in both."
        )
    if grid["seeds"] != study.retrain.seeds:
        raise BadInput(f"{place} has seeds {grid['seeds']}, and study={study.name} retrain.seeds "
                       f"{study.retrain.seeds}; use the same in both.")  # fmt: skip


def grid(chapters: Chapters) -> Iterator[tuple[str, str, int]]:
    """Yield the experiment, arch and seed of each run of a course."""
    for chapter in chapters.values():
        for experiment in chapter["experiments"]:
            for arch in chapter["archs"]:
                yield from ((experiment, arch, seed) for seed in chapter["seeds"])


def resolve(path: Path, out: Path) -> None:
    """Write the settings of each run of a course, ``<experiment>/<arch>/<seed>.yaml``, and of its data, ``data.yaml``.

    For a study, whose runs are not known yet, write ``study.yaml`` instead.

    Args:
        path: file of the course.
        out: output folder.
    """
    composed: dict[tuple[str, str], Config] = {}
    with whole(out, replaces=("*/data.yaml",)) as folder:
        folder.mkdir()
        chapters = course(path)
        for chapter, searched in chapters.items():
            for study in [name for name in searched["experiments"] if name in studies()]:
                settings = compose_study(study)
                _check_study(settings.study, searched, f"{path}: chapter {chapter!r}")
                (folder / study).mkdir()
                (folder / study / "study.yaml").write_text(settings.dump(), encoding="utf-8")
                (folder / study / "data.yaml").write_text(dump_data(settings.first().data), encoding="utf-8")
        for experiment, arch, seed in grid(chapters):
            if experiment in studies():
                continue
            if (experiment, arch) not in composed:  # composing is slow, and only the seed differs
                composed[experiment, arch] = compose([f"experiment={experiment}", f"arch={arch}"])
            run = check({**composed[experiment, arch].model_dump(), "seed": seed}, str(path))
            target = folder / experiment / arch / f"{seed}.yaml"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(run.dump(), encoding="utf-8")
            (folder / experiment / "data.yaml").write_text(dump_data(run.data), encoding="utf-8")


def about(chapters: Chapters) -> dict[str, Settings]:
    """Question and data of each experiment of a course, and what the groups are that have figures of their own."""
    found = {}
    for grid in chapters.values():
        for name in grid["experiments"]:
            study = compose_study(name) if name in studies() else None
            data = study.first().data if study else compose([f"experiment={name}", f"arch={grid['archs'][0]}"]).data
            found[name] = {
                "question": study.study.question if study else question(name), "data": data.title,
                "grouped_by": data.build_reader().grouped_by,
            }  # fmt: skip
    return found
