"""One side of a verdict: an architecture's figures in a file of ``evaluate``, or the validation figures of runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path
from typing import Any

import yaml

from unroll.analysis.comparison import by_arch, load_results
from unroll.analysis.item_level import Runs
from unroll.analysis.likeness import Basis, bases, basis_of, refuse_other_data, refuse_unlike
from unroll.analysis.samples import figure_of, sample
from unroll.analysis.verdict import Sample
from unroll.errors import BadInput, no_such
from unroll.metrics import Metric, Solved
from unroll.outputs import MISREAD, restored
from unroll.tasks.registry import description_of, metric_of, task_of


@dataclass(frozen=True)
class Side:
    """Runs of one architecture that differ in nothing but their seeds.

    Args:
        name: as it was typed.
        arch: their architecture.
        experiment: what they are runs of.
        basis: what they were trained on and judged on, and how.
        solved: what the experiment declares to be a solution, as it is written; None for nothing.
        is_constant: whether the network has no randomness, so that all seeds are one measurement.
        items: over how many items each figure was measured; empty where that was not recorded.
        is_file: whether ``evaluate`` wrote the figures, which are then those of the runs that it measured the speed of.
        runs: what was written of each, for intervals over items.
        figures: by seed.
        validation: figures by seed of the best validation.
    """

    name: str
    arch: str
    experiment: str
    basis: Basis
    solved: str | None
    is_constant: bool
    items: dict[str, int]
    is_file: bool
    runs: Runs
    figures: dict[int, dict[str, float]]
    validation: dict[int, dict[str, float]]

    @property
    def task(self) -> str:
        """What the runs learned."""
        return self.basis.task or task_of(self.basis.metric)

    def metric(self, name: str) -> Metric:
        """A metric of the runs.

        Raises:
            BadInput: the runs have no such metric.
        """
        if any(name not in figures for figures in self.figures.values()):
            raise no_such("metric", name, next(iter(self.figures.values())))
        return replace(metric_of(self.task, name), items=self.items.get(name))

    def sample(self, name: str, solved: Solved | None) -> Sample:
        """Figures, one per seed in the order of the seeds.

        Args:
            name: of the metric.
            solved: what counts as a solution; None where that is not asked.
        """
        return sample(self.name, [self.figures[seed] for seed in sorted(self.figures)], name, solved, self.is_constant)


def read_side(text: str) -> Side:
    """Read a side.

    Args:
        text: ``FILE:ARCH`` for what ``evaluate`` wrote; otherwise a run, a folder of runs or a pattern of their names.

    Raises:
        BadInput: there is no such thing, or its runs are not of one kind.
    """
    file, colon, arch = text.rpartition(":")
    if Path(text).is_file():
        known = list(by_arch(load_results(Path(text))))
        raise BadInput(f"{text} has {', '.join(known)}; name one of them, such as {text}:{known[0]}.")
    if colon and (Path(file).is_file() or file.endswith(".json")):
        return _of_file(text, Path(file), arch)
    return _of_runs(text)


def _of_file(text: str, file: Path, arch: str) -> Side:
    groups = by_arch(load_results(file))
    if arch not in groups:
        raise no_such(f"figure in {file} of", arch, groups)
    runs = groups[arch]
    bases(str(file), {arch: runs})  # refuses seeds that were not measured alike
    first = runs[0]
    return Side(
        name=text, arch=arch, experiment=file.stem, basis=basis_of(runs, first["split"], figure_of(first)),
        solved=first.get("solved"), is_constant=bool(first.get("deterministic")), items=first.get("items", {}),
        is_file=True, runs=runs,
        figures={run["seed"]: run["test"] for run in runs},
        validation={run["seed"]: run["validation"] for run in runs},
    )  # fmt: skip


def _of_runs(text: str) -> Side:
    folders = list(_folders(text))
    if not folders:
        raise BadInput(f"{text} is no run and has none; name a run, a folder of runs, a pattern in quotes such as "
                       "'outputs/runs/recall/lstm-*', or FILE:ARCH.")  # fmt: skip
    runs = [_read(folder) for folder in folders]
    (config, facts), archs = runs[0], sorted({config["arch"]["name"] for config, _ in runs})
    if len(archs) > 1:
        raise BadInput(f"{text} has runs of {', '.join(archs)}; name those of one, such as '{folders[0].parent}/"
                       f"{archs[0]}-[0-9]*'.")  # fmt: skip
    figures: dict[int, dict[str, float]] = {}
    for folder, (other, found) in zip(folders, runs, strict=True):
        if _but_for_the_seed(other) != _but_for_the_seed(config):
            raise BadInput(f"{folder} has other settings than {folders[0]}; runs of one side differ in seeds alone.")
        if other["seed"] in figures:
            raise BadInput(f"{folder} is a second run of seed {other['seed']}; leave one of them out.")
        figures[other["seed"]] = found["best"]
    task = config["task"]["name"]
    headline = next((name for name in description_of(task).headlines if name in facts["best"]), "loss")
    metric = config.get("judged_by") or headline
    every = [basis_of([found], "validation", metric) for _, found in runs]
    refuse_other_data(text, [basis.data for basis in every])
    for folder, other_basis in zip(folders[1:], every[1:], strict=True):
        refuse_unlike((str(folders[0]), str(folder)), every[0], other_basis)
    basis = basis_of([found for _, found in runs], "validation", metric)
    return Side(
        name=text, arch=archs[0], experiment=config["experiment"], basis=basis, solved=config.get("solved"),
        is_constant=bool(facts.get("deterministic")), items=facts.get("items", {}), is_file=False,
        runs=[{"test": best} for best in figures.values()], figures=figures, validation=figures,
    )  # fmt: skip


def _folders(text: str) -> Iterator[Path]:
    """A run, those in a folder, or those that a pattern matches."""
    path = Path(text)
    if (path / "run.json").is_file():
        yield path
    elif path.is_dir():
        yield from (child for child in sorted(path.iterdir()) if (child / "run.json").is_file())
    else:
        matched = [Path(found) for found in sorted(glob(text))]  # noqa: PTH207  # the pattern may be absolute
        yield from (found for found in matched if (found / "run.json").is_file())


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings and facts of a run.

    Raises:
        BadInput: they are missing or torn.
    """
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        facts["best"] = restored(facts["best"])
        if "loss" not in facts["best"] or not isinstance(facts["vocabulary"], str):
            raise TypeError
        if not isinstance(config.get("judged_by"), str | None):
            raise TypeError
        _ = config["experiment"], config["arch"]["name"], config["task"]["name"], int(config["seed"])
        _ = basis_of([facts], "validation", "loss"), _but_for_the_seed(config)
    except (OSError, yaml.YAMLError, *MISREAD):
        raise BadInput(f"{folder} is damaged, or was not written by unroll train; train the run again.") from None
    return config, facts


def _but_for_the_seed(config: dict[str, Any]) -> dict[str, Any]:
    """Settings that decide the result, its seed aside."""
    free = ("devices", "checkpoint_seconds")
    training = {key: value for key, value in config["training"].items() if key not in free}
    return {**config, "training": training, "seed": None, "tracking": None}
