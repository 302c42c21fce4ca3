"""One run: trained, written, and told to the tracker."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import seed_everything
from safetensors.torch import save

from unroll.config import Config, NgramConfig
from unroll.data.loader import Endless, Loader
from unroll.data.prepared import Split, open_split
from unroll.data.vectors import load_vectors
from unroll.data.vocabulary import Vocabulary
from unroll.errors import BadInput
from unroll.experiment.building import build_task, loaders
from unroll.experiment.evaluation import evaluate_task
from unroll.experiment.trained import tensors
from unroll.networks.ngram import KneserNey
from unroll.networks.recurrent import recurrent_matrices
from unroll.outputs import whole
from unroll.tasks import LanguageModel, Task
from unroll.tracking.provenance import code_digest, digest_of, environment, fingerprint, git_state
from unroll.tracking.tracker import HISTORY, NullTracker, RunRecord, Status, Tracker
from unroll.training.callbacks import Best, History, Interruption, whole_rows
from unroll.training.checkpoint import Identity, Resume, usable
from unroll.training.gradients import Clipping, Gradients
from unroll.training.trainer import build_trainer

POINTS = 10  # of the training curve between two validations
WORKING = Path("outputs/working")  # folders of runs that are not finished
COLUMNS = ["tokens", "metric", "value"]


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
    identity = Identity(config.digest(), digest_of([prepared / "fit"]), code_digest(), torch.__version__)
    mark = fingerprint(identity.settings, identity.data, identity.code)
    working = working_folder(config, out, mark)
    tracker = build_tracker(config)
    status: Status = "KILLED"
    try:
        with whole(out, replaces="run.json") as folder:  # refuses a bad folder before the tracker hears of the run
            working.mkdir(parents=True, exist_ok=True)
            tracker.start(_record(config, mark, identity.data), working)
            folder.mkdir()
            figures = _fit(config, task, splits["train"], loader, validation, working, identity)
            rows = [row[:3] for row in whole_rows(working / HISTORY)]
            (folder / HISTORY).write_text("\n".join(map(",".join, [COLUMNS, *rows])) + "\n", encoding="utf-8")
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
        sent = tracker.end(status)
    if sent:
        shutil.rmtree(working)
    else:  # what MLflow did not take is still wanted, the checkpoints are not
        for path in working.glob("*.ckpt"):
            path.unlink()
    return figures


def working_folder(config: Config, out: Path, mark: str) -> Path:
    """Folder of a run until it is finished: history, checkpoints, and how much of it was tracked.

    It lies outside of what DVC looks after, which deletes the outputs of a stage that was killed.
    """
    place = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:8]
    return WORKING / f"{config.name.replace('/', '-')}-{place}-{mark[:16]}"


def _fit(
    config: Config, task: Task, split: Split, loader: Loader, validation: Any, working: Path, identity: Identity
) -> dict[str, float]:
    """Train, by gradient or by counting, and leave the best validation's weights in the task."""
    if isinstance(config.arch, NgramConfig):
        assert isinstance(task, LanguageModel) and isinstance(task.network, KneserNey) and split.tokens is not None
        task.network.fit(split.tokens)
        task.tokens_seen = split.steps
        figures = evaluate_task(task, validation)
        now = int(time.time() * 1000)
        rows = [f"{task.tokens_seen},val/{name},{value!r},{now}\n" for name, value in figures.items()]
        (working / HISTORY).write_text("".join(rows), encoding="utf-8")
        return figures
    settings = config.training
    task.nominal = 2.0 ** round(math.log2(max(1, loader.targets // len(loader))))
    batches = settings.tokens * len(loader) // (loader.tokens * settings.validations)
    clipping = Clipping(settings.clip_norm, settings.clip_value, settings.clip_parameter_norm)
    gradients = Gradients(clipping, recurrent_matrices(task), settings.recurrent_l1, settings.recurrent_l2,
                          settings.dropped_steps)  # fmt: skip
    best = Best(task.monitor, task.mode)
    with Interruption() as interruption:
        trainer = build_trainer(
            name=config.name,
            monitor=task.monitor,
            mode=task.mode,
            steps_between_validations=max(1, batches),
            accumulate=settings.accumulate,
            precision=settings.precision,
            patience=settings.patience,
            callbacks=[
                gradients, History(working / HISTORY, gradients, POINTS, batches), best, interruption,
                Resume(working, identity, settings.checkpoint_seconds),
            ],
        )  # fmt: skip
        try:
            trainer.fit(task, Endless(loader), validation, ckpt_path=usable(working, identity), weights_only=True)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from None
    task.load_state_dict(best.weights)
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
