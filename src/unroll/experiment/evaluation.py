"""Evaluation of finished runs on the test split, and of tasks on any split."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from unroll.config import Config, tracking_here
from unroll.data.batch import Batch
from unroll.data.loader import Endless, Loader
from unroll.data.prepared import Split, open_vocabularies
from unroll.data.seal import check
from unroll.errors import BadInput
from unroll.experiment.building import build_task
from unroll.experiment.loading import WINDOW, evaluation_loader, evaluation_settings, loaders
from unroll.experiment.measured import measured_on
from unroll.experiment.prepared_data import PreparedData
from unroll.experiment.tally import Tally
from unroll.experiment.throughput import tokens_per_second
from unroll.experiment.trained import Trained, read_facts
from unroll.networks.language import CountingNetwork
from unroll.outputs import restored, to_json, write_text
from unroll.terminal import Progress, say
from unroll.tracking.provenance import short_digest
from unroll.training.threads import use_threads

if TYPE_CHECKING:
    from unroll.tasks.base import Task

ROUNDS, SECONDS = 6, 0.1  # number and duration of the measurements of speed of each architecture


def evaluate(
    runs: Sequence[Path],
    prepared: Path | Sequence[Path],
    out: Path | None,
    costs: Path | None,
    tracking: Sequence[str] = (),
) -> dict[str, Any]:
    """Evaluate finished runs of one experiment on the test split, which nothing else opens.

    Args:
        runs: folders of the runs.
        prepared: folder with ``fit/`` and ``test/``, for all runs or one for each.
        out: JSON file with the figures of each run; None to write none. Answers that are texts are written beside it,
            one per line: ``NAME/RUN/hypotheses.txt`` beside ``NAME.json``.
        costs: JSON file with the speed of each architecture, in tokens per second, and the fingerprint of the measured
            run; None to skip the measurement. Speeds vary, so they are not part of the figures.
        tracking: tracking settings that override those of the project.

    Raises:
        BadInput: a folder is not a run, it was trained on other data, or runs differ in more than arch and seed.
    """
    folders = [prepared] * len(runs) if isinstance(prepared, Path) else prepared
    opened = {folder: _Prepared(folder) for folder in dict.fromkeys(folders)}
    settings: dict[str, Config] = {}
    results: dict[str, Any] = {}
    answers: dict[str, list[str]] = {}
    firsts: dict[str, tuple[str, Trained, Path]] = {}  # by architecture, since seeds have the same speed
    marks: dict[str, str] = {}
    progress = Progress(len(runs), "run" if len(runs) == 1 else "runs")
    for folder, place in zip(runs, folders, strict=True):
        run = Trained.load(folder)
        data = opened[place]
        data.refuse(folder, run)
        _same_but_for_the_seed(run.config, settings, folder)
        facts = read_facts(folder)
        name = run.config.name.partition("/")[2]
        marks[name] = facts["fingerprint"]
        results[name], answers[name] = _judged(run, facts, folder, data, partial(_shown, progress, len(results), name))
        firsts.setdefault(run.config.arch.name, (name, run, place))
    if costs:
        splits = {arch: PreparedData(run.config, place).split("train") for arch, (_, run, place) in firsts.items()}
        speeds = measure({arch: run for arch, (_, run, _) in firsts.items()}, splits)
        fingerprints = {arch: marks[folder] for arch, (folder, *_) in firsts.items()}
        found = {arch: {"run": fingerprints[arch], "tokens_per_second": speeds[arch]} for arch in speeds}
        write_text(costs, to_json(found))
    if out:
        write_text(out, to_json(results))
        for name, texts in answers.items():
            if texts:
                write_text(out.with_suffix("") / name / "hypotheses.txt", "".join(f"{text}\n" for text in texts))
    tracker = tracking_here(next(iter(settings.values())), runs[0] / "config.yaml", tracking)
    if tracker.uri:
        from unroll.tracking.mlflow import log_test_metrics

        log_test_metrics(tracker.uri, {marks[name]: result for name, result in results.items()})
    return results


class _Prepared:
    """Prepared data on which runs are evaluated.

    Args:
        folder: prepared folder, with ``fit/`` and ``test/``.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.vocabularies = open_vocabularies(folder)
        check(folder / "fit")
        self.has_test, self.is_reported = (folder / "test" / "test").is_dir(), False
        paths = {split: folder / "fit" / split for split in ("train", "validation")}
        if self.has_test:
            paths["test"] = folder / "test" / "test"
        self.paths = paths
        self.digests = {split: short_digest(path) for split, path in paths.items()}
        self.fit_digest = short_digest(folder / "fit")

    def refuse(self, folder: Path, run: Trained) -> None:
        """Refuse a run that cannot be evaluated on this data.

        Raises:
            BadInput: its vocabulary differs, or the test split is missing.
        """
        if run.vocabularies.digest != self.vocabularies.digest:
            raise BadInput(f"{folder} has a vocabulary from another run than {self.folder}; train it on this data.")
        if run.config.data.has_test and not self.has_test:
            raise BadInput(f"{self.folder} has no test split, but data={run.config.data.name} has; prepare it again.")

    def judged(self, run: Trained, data: PreparedData) -> str:
        """The split on which a run is evaluated: test, unless there is none, or all its labels are unknown to the run.

        Labels of a test split may be withheld, as in shared tasks.
        """
        if not self.has_test:
            return "validation"
        predicts = run.config.task.description.predicts
        names = run.vocabulary.spec[predicts].names if predicts else ()
        if not names or (data.split("test")[predicts].values >= 0).any():
            return "test"
        if not self.is_reported:
            say(f"unroll: no value of {predicts} in the test split of data={run.config.data.name} is given and known "
                "from train, so there are no figures of it; runs are evaluated on validation.")  # fmt: skip
        self.is_reported = True
        return "validation"

    def of(self, folder: Path, facts: dict[str, Any], judged: str) -> dict[str, str | None]:
        """Digests of the splits on which a run was trained, validated and is evaluated; None if unknown.

        Raises:
            BadInput: the run was trained or validated on other data.
        """
        fit: dict[str, str | None] = {"train": None, "validation": None}
        if "data" in facts:
            fit = dict(facts["data"])
        elif facts["order"].get("data") == self.fit_digest:  # a run of an older version on the same files
            fit = {split: self.digests[split] for split in fit}
        for split, digest in fit.items():
            if digest is not None and digest != self.digests[split]:
                raise BadInput(f"{folder} was trained on other data: its {split} split is not that of {self.folder}; "
                               "name the data that it was trained on, or train it again on this data.")  # fmt: skip
        return {**fit, judged: self.digests[judged]}


def _judged(run: Trained, facts: dict[str, Any], folder: Path, prepared: _Prepared,
            followed: Callable[[Loader], Iterator[Batch]]) -> tuple[dict[str, Any], list[str]]:  # fmt: skip
    """Entry of one run in the file of figures, and its answers if they are texts.

    ``followed`` yields the batches of a loader and shows the progress.
    """
    use_threads(run.config.training.threads)
    data = PreparedData(run.config, prepared.folder)
    spec = run.vocabulary.spec
    judged = prepared.judged(run, data)
    digests = prepared.of(folder, facts, judged)
    split = data.split(judged)
    tally = Tally(run.config, spec, split)
    run.task.thorough = True
    figures = evaluate_task(run.task, followed(evaluation_loader(run.config, spec, split)), tally)
    found = counts(run.task, figures)
    paths = {name: path for name, path in prepared.paths.items() if digests.get(name)}
    measured = measured_on(run.config, data, paths)
    result = {
        "arch": run.config.arch.name, "seed": run.config.seed, "fingerprint": facts["fingerprint"],
        "split": judged,
        "parameters": facts["parameters"], "tokens": facts["tokens"], "order": facts["order"],
        "vocabulary": run.vocabularies.digest, "data": digests, "evaluation": evaluation_settings(run.config),
        "test": figures, **found, "sequences": tally.few(found["items"]),
        "validation": restored(facts["best"]), "headline": run.task.headline, "mode": run.task.mode,
        "task": run.config.task.name, "solved": run.config.solved, "judged_by": run.config.judged_by,
        "deterministic": not run.network.is_random, **({"measured_on": measured} if measured else {}),
        **({"signatures": signatures} if (signatures := run.task.signatures()) else {}),
    }  # fmt: skip
    return result, tally.answers


def _shown(progress: Progress, before: int, name: str, loader: Loader) -> Iterator[Batch]:
    """The batches of the split, while the progress is shown.

    Args:
        progress: progress of all runs.
        before: number of runs that were evaluated before.
        name: name of the run.
        loader: loader of the batches.
    """
    total = len(loader)
    for number, batch in enumerate(loader):
        progress.show(before + number / total, name)
        yield batch


def counts(task: Task, figures: dict[str, float]) -> dict[str, Any]:
    """Number of items of each figure, and the reason if a figure is not finite.

    Args:
        task: the task after evaluation.
        figures: figures of that evaluation.
    """
    items = {name: count for name, count in task.items().items() if name in figures}
    lost = {name: "the run diverged" if items.get(name, 1) else "nothing to score" for name, value in figures.items()
            if not math.isfinite(value)}  # fmt: skip
    return {"items": items, "not_finite": lost} if lost else {"items": items}


def _same_but_for_the_seed(config: Config, seen: dict[str, Config], folder: Path) -> None:
    """Refuse runs of one architecture that differ in more than the seed, or with other evaluation settings."""
    first = seen.setdefault(config.arch.name, config)
    if first is not config and first.seed == config.seed:
        raise BadInput(f"{folder} is a second run of {config.name}; evaluate them separately.")
    if first.model_copy(update={"seed": config.seed}).digest() != config.digest():
        raise BadInput(
            f"{folder} has other settings than the first run of arch={config.arch.name}; evaluate them separately."
        )
    other = next(iter(seen.values()))
    if config.experiment != other.experiment:
        raise BadInput(
            f"{folder} is a run of {config.experiment}, not of {other.experiment}; evaluate them separately."
        )
    for key in ("solved", "judged_by"):
        mine, first_one = getattr(config, key), getattr(other, key)
        if mine != first_one:
            raise BadInput(f"{folder} was trained with {key}={mine or 'null'}, and the first run with {key}="
                           f"{first_one or 'null'}; all runs must share what is declared before training: train "
                           "them again with one declaration.")  # fmt: skip
    how, others = evaluation_settings(config), evaluation_settings(other)
    for key in how:
        if key != WINDOW and how[key] != others.get(key):
            raise BadInput(f"{folder} has {key}={how[key]} and arch={other.arch.name} {others.get(key)}, which changes "
                           "the figures; train both with the same value.")  # fmt: skip


def evaluate_task(task: Task, loader: Iterable[Batch], tally: Tally | None = None) -> dict[str, float]:
    """Figures of a task over a whole split.

    Args:
        task: the task.
        loader: batches of the split.
        tally: receives the scores by sequence; None for none.
    """
    task.eval()
    task.on_validation_epoch_start()
    numbers = tally.numbers() if tally else None
    with torch.inference_mode():
        for batch in loader:
            precise = task.network.precise(batch)
            scores = task.judge(precise)
            if tally and numbers:
                tally.add(next(numbers), task.parts(scores, precise), scores.texts)
    return task.metrics()


def measure(runs: dict[str, Trained], splits: dict[str, Split]) -> dict[str, list[float]]:
    """Training speed of each architecture in tokens per second, measured ``ROUNDS`` times.

    Args:
        runs: one run of each architecture.
        splits: the training split of each architecture.

    Architectures are measured in turn, so that changes in the speed of the machine affect all of them.
    """
    meters = {arch: throughput(run, splits[arch]) for arch, run in runs.items()}
    speeds: dict[str, list[float]] = {arch: [] for arch in runs}
    for _ in range(ROUNDS):
        for arch, meter in meters.items():
            use_threads(runs[arch].config.training.threads)
            speeds[arch].append(next(meter))
    return speeds


def throughput(run: Trained, split: Split) -> Iterator[float]:
    """Yield measurements of the speed of training, or of counting, without end."""
    fresh = build_task(run.config, run.network.spec)
    if fresh.network.counting is not None:
        return _counting(fresh.network.counting, split)
    loader, _ = loaders(run.config, run.network.spec, {"train": split, "validation": split})
    return tokens_per_second(fresh, Endless(loader), run.config.training.precision, SECONDS)


def _counting(network: CountingNetwork, split: Split) -> Iterator[float]:
    while True:
        start = time.perf_counter()
        network.fit(split["inputs"].values)
        yield split["inputs"].steps / (time.perf_counter() - start)
