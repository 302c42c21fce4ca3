"""Run sets, the two sides of a verdict: figures of one architecture from ``evaluate``, or from run folders."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from glob import glob
from pathlib import Path

import yaml

from unroll.analysis.comparison import by_arch, load_results
from unroll.analysis.item_level import Runs
from unroll.analysis.likeness import Basis, bases, basis_of, refuse_other_data, refuse_unlike
from unroll.analysis.rows import Row, are_counts, check_entry
from unroll.analysis.samples import declared, figure_of, sample, task_by
from unroll.analysis.verdict import Sample
from unroll.errors import BadInput, no_such
from unroll.formats import RUN, SETTINGS, refuse_format
from unroll.metrics import Metric, Solved
from unroll.outputs import MISREAD, from_json, restored
from unroll.tasks.registry import description_of, metric_of, task_of

Decisive = Callable[[Row], Row]  # settings of a run → those that affect its result


@dataclass(frozen=True)
class RunSet:
    """Runs of one architecture that differ only in their seeds.

    Args:
        name: the set as typed on the command line.
        arch: architecture of the runs.
        experiment: experiment of the runs.
        basis: what their figures depend on, besides the architecture.
        solved: what the experiment declares as solved, in its own notation; None if nothing.
        is_constant: whether the network is deterministic, so that all seeds are one measurement.
        items: number of items of each figure; empty if not recorded.
        is_file: whether the figures come from a file of ``evaluate``; only then can measured speeds belong to them.
        runs: entries of the runs, for intervals over items.
        figures: figures by seed.
        validation: best validation figures by seed.
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
        """Task of the runs."""
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
        """Figures as a sample, ordered by seed.

        Args:
            name: name of the metric.
            solved: what counts as solved; None if it is not needed.
        """
        return sample(self.name, [self.figures[seed] for seed in sorted(self.figures)], name, solved, self.is_constant)


def read_run_set(text: str, decisive: Decisive) -> RunSet:
    """Read a run set.

    Args:
        text: ``FILE:ARCH`` for a file of ``evaluate``; otherwise a run, a folder of runs, or a glob pattern.
        decisive: selects the settings of a run that affect its result.

    Raises:
        BadInput: nothing matches, or the runs differ in more than their seeds.
    """
    file, colon, arch = text.rpartition(":")
    if Path(text).is_file():
        known = list(by_arch(load_results(Path(text))))
        raise BadInput(f"{text} has {', '.join(known)}; select one of them, such as {text}:{known[0]}.")
    if colon and (Path(file).is_file() or file.endswith(".json")):
        return _of_file(text, Path(file), arch)
    return _of_runs(text, decisive)


def _of_file(text: str, file: Path, arch: str) -> RunSet:
    groups = by_arch(load_results(file))
    if arch not in groups:
        raise no_such(f"arch in {file} named", arch, groups)
    runs = groups[arch]
    bases(str(file), {arch: runs})  # refuses seeds that are not comparable
    first = runs[0]
    declared(text, (run.get("solved") for run in runs), task_by(first))  # refuses seeds with different declarations
    return RunSet(
        name=text, arch=arch, experiment=file.stem, basis=basis_of(runs, first["split"], figure_of(first)),
        solved=first.get("solved"), is_constant=bool(first.get("deterministic")), items=first.get("items", {}),
        is_file=True, runs=runs,
        figures={run["seed"]: run["test"] for run in runs},
        validation={run["seed"]: run["validation"] for run in runs},
    )  # fmt: skip


def _of_runs(text: str, decisive: Decisive) -> RunSet:
    folders = list(_folders(text))
    if not folders:
        raise BadInput(f"{text} is not a run and has no runs; name a run, a folder of runs, a quoted pattern such as "
                       "'outputs/runs/recall/lstm/[0-4]', or FILE:ARCH.")  # fmt: skip
    runs = [_read(folder) for folder in folders]
    config, facts = runs[0]
    figures = _figures_by_seed(text, folders, runs, decisive)
    task = config["task"]["name"]
    headline = next((name for name in description_of(task).headlines if name in facts["best"]), "loss")
    metric = config.get("judged_by") or headline
    every = [basis_of([found], "validation", metric) for _, found in runs]
    refuse_other_data(text, [basis.data for basis in every])
    for folder, other_basis in zip(folders[1:], every[1:], strict=True):
        refuse_unlike((str(folders[0]), str(folder)), every[0], other_basis)
    basis = basis_of([found for _, found in runs], "validation", metric)
    return RunSet(
        name=text,
        arch=config["arch"]["name"],
        experiment=config["experiment"],
        basis=basis,
        solved=config.get("solved"),
        is_constant=bool(facts.get("deterministic")),
        items=facts.get("items", {}),
        is_file=False,
        runs=[{"test": best} for best in figures.values()],
        figures=figures,
        validation=figures,
    )


def _figures_by_seed(
    text: str, folders: Sequence[Path], runs: Sequence[tuple[Row, Row]], decisive: Decisive
) -> dict[int, dict[str, float]]:
    """Best validation figures of runs that differ only in their seeds.

    Raises:
        BadInput: two runs differ otherwise, or have the same seed.
    """
    archs = sorted({config["arch"]["name"] for config, _ in runs})
    if len(archs) > 1:
        raise BadInput(f"{text} has runs of {', '.join(archs)}; select one architecture, such as "
                       f"'{folders[0].parent}/{archs[0]}-[0-9]*'.")  # fmt: skip
    figures: dict[int, dict[str, float]] = {}
    for folder, (config, facts) in zip(folders, runs, strict=True):
        if _shared(config, decisive) != _shared(runs[0][0], decisive):
            raise BadInput(f"{folder} and {folders[0]} have different settings; the runs of one side may differ only "
                           "in their seeds.")  # fmt: skip
        if config["seed"] in figures:
            raise BadInput(f"{folder} is a second run with seed {config['seed']}; keep only one of them.")
        figures[config["seed"]] = facts["best"]
    return figures


def _folders(text: str) -> Iterator[Path]:
    """A run, the runs in a folder, or the runs that match a pattern."""
    path = Path(text)
    if (path / "run.json").is_file():
        yield path
    elif path.is_dir():
        yield from (child for child in sorted(path.iterdir()) if (child / "run.json").is_file())
    else:
        matched = [Path(found) for found in sorted(glob(text))]  # noqa: PTH207  # the pattern may be absolute
        yield from (found for found in matched if (found / "run.json").is_file())


def _read(folder: Path) -> tuple[Row, Row]:
    """Settings and facts of a run.

    Raises:
        BadInput: they are missing or damaged, or have another format.
    """
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        facts = from_json((folder / "run.json").read_bytes())
        refuse_format(config.get("format", 0), SETTINGS, folder / "config.yaml")
        refuse_format(facts.get("format", 0), RUN, folder / "run.json")
        facts["best"] = restored(facts["best"])
        if "loss" not in facts["best"] or not isinstance(facts["vocabulary"], str):
            raise TypeError
        names = config["experiment"], config["arch"]["name"], config["task"]["name"]
        if not all(isinstance(name, str) for name in names) or not are_counts([config["seed"]]):
            raise TypeError
        if not all(isinstance(config.get(name), str | None) for name in ("solved", "judged_by")):
            raise TypeError
        check_entry(facts)
        _ = basis_of([facts], "validation", "loss"), dict(config["training"])
    except BadInput:
        raise
    except (OSError, yaml.YAMLError, *MISREAD):
        raise BadInput(f"{folder} is damaged, or was not written by unroll train; train the run again.") from None
    return config, facts


def _shared(config: Row, decisive: Decisive) -> Row:
    """Settings that the runs of one side must share: those that affect the result or declare what is judged."""
    declared = {name: config.get(name) for name in ("solved", "judged_by")}
    return {**decisive(config), **declared, "seed": None}
