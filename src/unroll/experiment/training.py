"""Training of one run."""

from __future__ import annotations

import hashlib
import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything
from safetensors.torch import save

from unroll import plugins
from unroll.config import Config
from unroll.credentials import without_secrets
from unroll.data.loader import Endless, Share
from unroll.data.prepared import open_vectors
from unroll.errors import BadInput, Suspended
from unroll.experiment.building import begin, build_network, refuse_undecidable, task_of
from unroll.experiment.evaluation import counts, evaluate_task
from unroll.experiment.identity import set_precision, workspace_of_run
from unroll.experiment.loading import evaluation_settings, loaders, places
from unroll.experiment.measured import measured_on
from unroll.experiment.memory import refuse_too_large
from unroll.experiment.prepared_data import PreparedData
from unroll.experiment.tracked import Pruned, Trial, build_tracker, note_figures, record_of
from unroll.experiment.trained import FOLDER, WEIGHTS, tensors
from unroll.experiment.workspace import Workspace
from unroll.formats import RUN
from unroll.history import HISTORY, HistoryFile
from unroll.interruption import Interruption
from unroll.networks.language import CountingNetwork
from unroll.networks.recurrent import recurrent_matrices
from unroll.outputs import to_json, whole
from unroll.tasks.base import Task
from unroll.tasks.network import TaskNetwork
from unroll.tracking.provenance import SHORT, short_digest
from unroll.tracking.tracker import Status
from unroll.training.callbacks import Best, Clock, History, Watched
from unroll.training.checkpoint import Resume, usable
from unroll.training.distributed import Group, joined, leave
from unroll.training.exchange import by_the_first
from unroll.training.gradients import Clipping, Gradients
from unroll.training.precision import resolved
from unroll.training.threads import use_threads
from unroll.training.trainer import build_trainer

POINTS = 10  # points of the training curve between two validations
STOPPING = "unroll: stopping; press Ctrl-C again to stop at once."  # a study says it for its workers


def train(
    config: Config, prepared: Path, out: Path, accept_code_change: bool = False, trial: Trial | None = None
) -> dict[str, float]:
    """Train one run and write its folder: ``weights.safetensors``, settings, vocabulary, history, ``run.json``.

    A killed run resumes from its last checkpoint, with the same result as an uninterrupted one. If several processes
    train together, the first one writes.

    Args:
        config: settings of the run.
        prepared: folder with ``fit/``.
        out: folder of the run, which is written completely or not at all.
        accept_code_change: whether to resume from a checkpoint of other code, which the run then records.
        trial: the trial of a study that the run belongs to; None for none.

    Returns:
        Figures of the best validation; empty in all processes but the first.

    Raises:
        Pruned: the study has pruned the trial, which has no folder.
        Suspended: the study has taken the trial from this process; it can be resumed.
        BadInput: data and settings are incompatible, or another process is training this run.
        ProcessLost: another process of the group has ended.
        Interrupted: Ctrl-C was pressed or SIGTERM was received, and a checkpoint was saved.
    """
    with _processes(config) as (config, group), Interruption("" if trial or group.rank else STOPPING) as interruption:
        data = PreparedData.to_train(config, prepared)
        network = _initial_network(config, data)
        job = _Job(config, data, task_of(config, network), group, trial, interruption)
        workspace = workspace_of_run(config, prepared, out)
        if group.rank > 0:
            return job.fit(workspace, None)
        with workspace.held(), _tracked(job, workspace, out, accept_code_change) as (folder, checkpoint):
            figures = job.fit(workspace, checkpoint)
            job.publish(folder, workspace, figures)
    return figures


@contextmanager
def _processes(config: Config) -> Iterator[tuple[Config, Group]]:
    """Join the processes that train together, and resolve the settings that depend on the machine."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # products on a GPU are not reproducible without it
    use_threads(config.training.threads)
    with joined() as group:
        yield set_precision(config, by_the_first(lambda: resolved(config.training.precision))), group


def _initial_network(config: Config, data: PreparedData) -> TaskNetwork:
    """The network before training, initialised from the seed."""
    seed_everything(config.seed, verbose=False)
    refuse_undecidable(config, data.spec)
    refuse_too_large(config, data.spec, trains=True)
    vectors = open_vectors(data.folder) if data.spec[config.task.description.source].vector_size else None
    network = build_network(config, data.spec, vectors)
    begin(network, data.split("train"), config.task.description.counted)
    return network


@contextmanager
def _tracked(
    job: _Job, workspace: Workspace, out: Path, accept_code_change: bool
) -> Iterator[tuple[Path, Path | None]]:
    """Track a run in the first process, and move its folder into place when it is finished.

    Yields:
        A temporary folder of the run, and the checkpoint to resume from, None to start from the beginning.
    """
    tracker = build_tracker(job.config, job.trial)
    status: Status = "KILLED"
    tags: dict[str, str] = {}
    try:
        with whole(out, replaces=FOLDER) as folder:  # refuses an invalid folder before the run is tracked
            workspace.adopt(accept_code_change)
            found = usable(workspace.folder, workspace.identity, accept_code_change)
            workspace.before = found.before if found else {}
            tracker.start(record_of(job.config, workspace, job.trial), workspace.folder)
            yield folder, found and found.path
        tracker.log_result(out)
        status = "FINISHED"
    except Pruned:
        tags = {"pruned": "yes"}
        raise
    except Suspended:
        raise
    except BaseException as error:
        if isinstance(error, Exception):
            status = "FAILED"
            tags = {"error": without_secrets(str(error))}
        raise
    finally:
        sent = tracker.end(status, tags)
        workspace.tidy(finished=status == "FINISHED" or "pruned" in tags, sent=sent)


class _Job:
    """Training of a task in one process.

    Args:
        config: settings of the run.
        data: its prepared data.
        task: its task, with the network.
        group: processes that train together.
        trial: the trial of a study that the run belongs to; None for none.
        interruption: pending Ctrl-C or SIGTERM.
    """

    def __init__(self, config: Config, data: PreparedData, task: Task, group: Group, trial: Trial | None,
                 interruption: Interruption) -> None:  # fmt: skip
        self.config, self.data, self.task, self.group, self.trial = config, data, task, group, trial
        self.interruption = interruption
        self.name = None if trial else config.name
        self.spec, self.fit_folder = data.spec, data.folder / "fit"
        self.splits = {name: data.split(name) for name in ("train", "validation")}
        task.check_data(self.splits)
        self.clock = Clock()

    @property
    def parameters(self) -> int:
        """Number of parameters of the network."""
        return sum(parameter.numel() for parameter in self.task.parameters())

    def fit(self, workspace: Workspace, checkpoint: Path | None) -> dict[str, float]:
        """Train by gradient descent or by counting, load the weights of the best validation, and evaluate them."""
        if (counting := self.task.network.counting) is not None:
            return self._count(counting, workspace.folder)
        best = self._descend(workspace, checkpoint)
        leave()  # only the first process evaluates
        if self.group.rank > 0:
            return {}
        self.task.load_state_dict(best)
        _, validation = loaders(self.config, self.spec, self.splits)
        return evaluate_task(self.task.cpu(), validation)

    def _count(self, network: CountingNetwork, folder: Path) -> dict[str, float]:
        task, split = self.task, self.splits["train"]
        start = time.perf_counter()
        network.fit(split["inputs"].values)
        self.clock.seconds = time.perf_counter() - start
        self.clock.tokens = task.tokens_seen = split["inputs"].steps
        _, validation = loaders(self.config, self.spec, self.splits)
        figures = evaluate_task(task, validation)
        now = str(int(time.time() * 1000))
        rows = [[str(task.tokens_seen), f"val/{name}", repr(value), now] for name, value in figures.items()]
        HistoryFile(folder).replace(rows)
        return figures

    def _descend(self, workspace: Workspace, checkpoint: Path | None) -> dict[str, torch.Tensor]:
        """The weights of the best validation."""
        config, settings, task, group = self.config, self.config.training, self.task, self.group
        if group.world > settings.batch_size:
            raise BadInput(f"{group.world} processes cannot share training.batch_size={settings.batch_size}; "
                           "raise it, or use fewer of them.")  # fmt: skip
        loader, validation = loaders(config, self.spec, self.splits, Share(group.rank, group.world))
        task.nominal = 2.0 ** round(math.log2(max(1, places(config, loader, self.splits["train"]) // len(loader))))
        batches = max(1, settings.tokens * len(loader) // (loader.tokens * settings.validations))
        clipping = Clipping(settings.clip_norm, settings.clip_value, settings.clip_parameter_norm)
        gradients = Gradients(
            clipping, recurrent_matrices(task), settings.recurrent_l1, settings.recurrent_l2, settings.dropped_steps
        )
        folder = workspace.folder
        best = Best(task.monitor, task.mode, task.tie)
        resume = Resume(
            folder, workspace.identity, workspace.before, settings.checkpoint_seconds, self.interruption, self.name
        )
        watched = [Watched(settings.validations, self.trial.report, by_the_first)] if self.trial else []
        resumed = by_the_first(lambda: checkpoint and str(checkpoint))
        if group.rank > 0:  # dropout differs between processes, and from the first process of other seeds
            torch.manual_seed(int(np.random.SeedSequence([config.seed, group.rank]).generate_state(1, np.uint64)[0]))
        if group.world == 1:  # several processes must agree, as they do after each step
            self.interruption.raise_if_asked(
                f"{config.name} stopped before its first step; the same command trains it."
            )
        trainer = build_trainer(
            name=self.name,
            monitor=task.monitor, mode=task.mode,
            steps_between_validations=batches,
            accumulate=settings.accumulate,
            precision=settings.precision,
            patience=settings.patience,
            group=group,
            # a learned initial state has a gradient only in windows that start with it
            every_weight=not getattr(config.arch.encoder, "learned_state", False),
            callbacks=[
                gradients, History(HistoryFile(folder), gradients, POINTS, batches), best, *watched, self.clock, resume,
            ],
        )  # fmt: skip
        try:
            trainer.fit(task, Endless(loader), validation, ckpt_path=resumed, weights_only=True)
        except Exception as error:
            if self.group.world > 1 and isinstance(error, RuntimeError):  # another process stopped first
                self.interruption.raise_if_asked()
            if resumed is not None and not resume.started:
                self._refuse(Path(resumed), error)
            raise
        if any(watcher.ended for watcher in watched):
            raise Pruned
        return best.weights

    def _refuse(self, checkpoint: Path, error: Exception) -> None:
        """Refuse a checkpoint that could not be restored, such as one of other code.

        Raises:
            BadInput: it could not be restored, for a reason other than a full disk or the loss of another process.
        """
        lost = isinstance(error, RuntimeError) and self.group.world > 1 and "state_dict" not in str(error)
        if lost or isinstance(error, (BadInput, OSError)):
            return
        reason = " ".join(str(error).split())[:160]
        raise BadInput(
            f"{checkpoint} does not fit this run ({reason}); delete {checkpoint.parent} to start again."
        ) from error

    def publish(self, folder: Path, workspace: Workspace, figures: dict[str, float]) -> None:
        """Write the folder of the run, and note its figures for the tracker."""
        folder.mkdir()
        HistoryFile(workspace.folder).publish(folder / HISTORY)
        (folder / WEIGHTS).write_bytes(save(tensors(self.task.network)))
        (folder / "config.yaml").write_text(self.config.dump(), encoding="utf-8")
        (folder / "vocabulary.json").write_text(self.data.vocabularies.dumps(), encoding="utf-8")
        record = {"format": RUN, "fingerprint": workspace.mark, "vocabulary": self.data.vocabularies.digest,
                  "data": {name: short_digest(self.fit_folder / name) for name in self.splits},
                  "evaluation": evaluation_settings(self.config),
                  "order": self._order(workspace.identity.data), "parameters": self.parameters,
                  "tokens": self.task.tokens_seen, "processes": self.group.world, "best": figures,
                  "deterministic": not self.task.network.is_random, **counts(self.task, figures)}  # fmt: skip
        if found := measured_on(self.config, self.data, {name: self.fit_folder / name for name in self.splits}):
            record["measured_on"] = found
        record["history"] = hashlib.sha256((folder / HISTORY).read_bytes()).hexdigest()
        record["weights"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        if own := plugins.digests(self.config.parts):
            record["plugins"] = own
        if workspace.before:
            record["went_on_from"] = workspace.before
        (folder / "run.json").write_text(to_json(record), encoding="utf-8")
        note_figures(workspace.folder, self.config, figures, self.parameters, self.task.tokens_seen, self.clock)

    def _order(self, data: str) -> dict[str, Any]:
        """Settings that, with the seed, determine the order of the data, so that runs can be paired by seed."""
        settings = self.config.training
        return {"data": data[:SHORT], "task": self.config.task.name,
                "training.batch_size": settings.batch_size, "training.batch_tokens": settings.batch_tokens,
                "training.truncation_length": settings.truncation_length,
                "training.truncation_stride": settings.truncation_stride or settings.truncation_length}  # fmt: skip
