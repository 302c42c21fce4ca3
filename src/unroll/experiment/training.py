"""One run: trained, written, and told to the tracker."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import seed_everything
from safetensors.torch import save

from unroll.config import Config, NgramConfig
from unroll.data.prepared import Split, open_split
from unroll.data.vectors import load_vectors
from unroll.data.vocabulary import Vocabulary
from unroll.errors import BadInput
from unroll.experiment.building import build_task, loaders
from unroll.experiment.evaluation import evaluate_task
from unroll.experiment.trained import tensors
from unroll.networks.ngram import KneserNey
from unroll.outputs import whole
from unroll.tasks import LanguageModel, Task
from unroll.tracking.provenance import code_digest, digest_of, environment, fingerprint, git_state
from unroll.tracking.tracker import NullTracker, RunRecord, Status, Tracker
from unroll.training.callbacks import History, Interruption
from unroll.training.trainer import build_trainer

POINTS = 10  # of the training curve between two validations


def train(config: Config, prepared: Path, out: Path) -> dict[str, float]:
    """Train one run and write its folder: ``weights.safetensors``, settings, vocabulary, history, ``run.json``.

    Args:
        config: settings of the run.
        prepared: folder with ``fit/``.
        out: the run's folder, which appears whole or not at all.

    Returns:
        The best validation's figures.

    Raises:
        BadInput: data and settings do not fit each other.
    """
    torch.set_num_threads(config.training.threads)
    seed_everything(config.seed, verbose=False)
    vocabulary = Vocabulary.load(prepared / "fit" / "vocabulary.json")
    splits = {name: open_split(prepared / "fit" / name) for name in ("train", "validation")}
    loader, validation = loaders(config, vocabulary.spec, splits)
    vectors = load_vectors(prepared / "fit") if vocabulary.vector_size else None
    task = build_task(config, vocabulary.spec, vectors)
    data = digest_of([prepared / "fit"])
    mark = fingerprint(config.digest(), data, code_digest())
    tracker = build_tracker(config)
    status: Status = "KILLED"
    try:
        with whole(out, replaces="run.json") as folder:  # refuses a bad folder before the tracker hears of the run
            tracker.start(_record(config, mark, data))
            folder.mkdir()
            figures = _fit(config, task, splits["train"], loader, validation, folder, tracker)
            (folder / "weights.safetensors").write_bytes(save(tensors(task)))
            (folder / "config.yaml").write_text(config.dump(), encoding="utf-8")
            (folder / "vocabulary.json").write_text(vocabulary.dumps(), encoding="utf-8")
            parameters = sum(parameter.numel() for parameter in task.parameters())
            record = {"fingerprint": mark, "vocabulary": vocabulary.digest, "parameters": parameters,
                      "tokens": task.tokens_seen, "best": figures}  # fmt: skip
            (folder / "run.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        tracker.log_result(out)
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        tracker.end(status)
    return figures


def _fit(
    config: Config, task: Task, split: Split, loader: Any, validation: Any, folder: Path, tracker: Tracker
) -> dict[str, float]:
    """Train, by gradient or by counting, and leave the best validation's weights in the task."""
    if isinstance(config.arch, NgramConfig):
        assert isinstance(task, LanguageModel) and isinstance(task.network, KneserNey) and split.tokens is not None
        task.network.fit(split.tokens)
        task.tokens_seen = split.steps
        figures = evaluate_task(task, validation)
        rows = [f"{task.tokens_seen},val/{name},{value!r}" for name, value in figures.items()]
        (folder / "history.csv").write_text("tokens,metric,value\n" + "\n".join(rows) + "\n", encoding="utf-8")
        tracker.log_metrics({f"val/{name}": value for name, value in figures.items()}, task.tokens_seen)
        return figures
    settings = config.training
    steps = settings.tokens * len(loader) // (loader.tokens * settings.validations)
    with tempfile.TemporaryDirectory(prefix=".best.", dir=folder.parent) as scratch, Interruption() as interruption:
        trainer, best = build_trainer(
            name=config.name,
            monitor=task.monitor,
            mode=task.mode,
            steps_between_validations=max(1, steps),
            clip_norm=settings.clip_norm,
            precision=settings.precision,
            patience=settings.patience,
            scratch=Path(scratch),
            callbacks=[History(folder / "history.csv", tracker, POINTS, steps), interruption],
        )
        try:
            trainer.fit(task, loader, validation)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from None
        saved = torch.load(best.best_model_path, weights_only=True)
    task.load_state_dict(saved["state_dict"])
    return evaluate_task(task.cpu(), validation)


def build_tracker(config: Config) -> Tracker:
    """Tracker by name."""
    if config.tracking.name == "none":
        return NullTracker()
    from unroll.tracking.mlflow import MLflowTracker

    assert config.tracking.uri is not None  # checked with the settings
    return MLflowTracker(config.tracking.uri, config.tracking.system_metrics, config.tracking.log_model)


def adhoc_name(config: Config, prepared: Path) -> str:
    """Folder of a run outside the pipeline: ``<experiment>-<arch>-<seed>-<fingerprint>``.

    Raises:
        BadInput: there is no prepared data.
    """
    if not (prepared / "fit").is_dir():
        raise BadInput(f"{prepared} is no prepared corpus; write one with unroll prepare --out FOLDER.")
    mark = fingerprint(config.digest(), digest_of([prepared / "fit"]), code_digest())
    return f"{config.name.replace('/', '-')}-{mark[:12]}"


def _record(config: Config, mark: str, data: str) -> RunRecord:
    tags = {"experiment": config.experiment, "arch": config.arch.name, "seed": str(config.seed),
            "task": config.task.name, "fingerprint": mark, "dvc.data_sha256": data, **git_state()}  # fmt: skip
    if stage := os.environ.get("DVC_STAGE"):
        tags["dvc.stage"] = stage
    # texts and what is not set would only crowd a comparison of runs
    texts = {"title", "sources", "licence", "citation", "generator"}
    given = config.model_dump(mode="json", exclude={"data": texts, "tracking": True}, exclude_none=True)
    params = dict(flatten(given))
    return RunRecord(
        experiment=config.experiment, name=config.name, params=params, tags=tags, config=config.dump(),
        environment=yaml.safe_dump(environment(), sort_keys=False), data_name=config.data.name, data_digest=data,
        data_source=config.data.train,
    )  # fmt: skip


def flatten(content: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Nested settings as dotted keys."""
    for key, value in content.items():
        if isinstance(value, dict):
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", str(value)
