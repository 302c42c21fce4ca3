"""One run: trained, written, and told to the tracker."""

from __future__ import annotations

import hashlib
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import seed_everything
from safetensors.torch import save

from unroll import plugins
from unroll.config import Config, NgramConfig
from unroll.credentials import without_secrets
from unroll.data.loader import Endless, Share
from unroll.data.prepared import open_vectors
from unroll.errors import BadInput, Suspended
from unroll.experiment.building import begin, build_task, refuse_undecidable
from unroll.experiment.evaluation import counts, evaluate_task
from unroll.experiment.identity import set_precision, working_of_run
from unroll.experiment.loading import evaluation_settings, loaders, places
from unroll.experiment.measured import measured_on
from unroll.experiment.memory import refuse_too_large
from unroll.experiment.prepared_data import PreparedData
from unroll.experiment.tracked import Pruned, Trial, build_tracker, note_figures, record_of
from unroll.experiment.trained import FOLDER, FORMAT, WEIGHTS, tensors
from unroll.experiment.working import Working
from unroll.history import HISTORY, HistoryFile
from unroll.interruption import Interruption
from unroll.networks.ngram import KneserNey
from unroll.networks.recurrent import recurrent_matrices
from unroll.outputs import to_json, whole
from unroll.tasks.language_model.module import LanguageModel
from unroll.tracking.provenance import SHORT, short_digest
from unroll.tracking.tracker import Status
from unroll.training.callbacks import Best, Clock, History, Interruptible, Watched
from unroll.training.checkpoint import Resume, usable
from unroll.training.distributed import Group, joined, leave
from unroll.training.exchange import by_the_first
from unroll.training.gradients import Clipping, Gradients
from unroll.training.precision import resolved
from unroll.training.threads import use_threads
from unroll.training.trainer import build_trainer

POINTS = 10  # of the training curve between two validations


def train(
    config: Config, prepared: Path, out: Path, accept_code_change: bool = False, trial: Trial | None = None
) -> dict[str, float]:
    """Train one run and write its folder: ``weights.safetensors``, settings, vocabulary, history, ``run.json``.

    A run that was killed goes on from its last checkpoint, and ends as if it had not been. Where several processes
    train together, the first one writes.

    Args:
        config: settings of the run.
        prepared: folder with ``fit/``.
        out: the run's folder, which appears whole or not at all.
        accept_code_change: whether to go on from a checkpoint of other code, of which the run then tells.
        trial: what the run is of a study; None for nothing.

    Returns:
        The best validation's figures; nothing in other processes than the first.

    Raises:
        Pruned: the study has ended the trial; there is no folder of it.
        Suspended: the study has taken the trial from this process; it goes on from its checkpoint.
        BadInput: data and settings do not fit each other, or another process trains this run.
        ProcessLost: a process that trains together with this one has ended.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it products on a GPU are not repeatable
    use_threads(config.training.threads)
    with joined() as group:
        config = set_precision(config, by_the_first(lambda: resolved(config.training.precision)))
        job, working = _Job(config, prepared, group, trial), working_of_run(config, prepared, out)
        if group.rank > 0:
            job.fit(working, None)
            return {}
        with working.held():
            return _lead(job, working, out, accept_code_change)


def _lead(job: _Job, working: Working, out: Path, accept_code_change: bool) -> dict[str, float]:
    """What the first process does: it looks for a checkpoint, trains with the others, writes and tracks."""
    tracker, folder = build_tracker(job.config, job.trial), working.folder
    status: Status = "KILLED"
    tags: dict[str, str] = {}
    try:
        with whole(out, replaces=FOLDER) as written:  # refuses a bad folder before the tracker hears of the run
            working.adopt(accept_code_change)
            found = usable(folder, working.identity, accept_code_change)
            working.before = found.before if found else {}
            tracker.start(record_of(job.config, working, job.trial), folder)
            figures = job.fit(working, found and found.path)
            written.mkdir()
            HistoryFile(folder).publish(written / HISTORY)
            job.publish(written, working, figures)
            note_figures(folder, job.config, figures, job.parameters, job.task.tokens_seen, job.clock)
        tracker.log_result(out)
        status = "FINISHED"
    except Pruned:
        tags = {"pruned": "yes"}
        raise
    except Suspended:
        raise
    except BaseException as error:
        if isinstance(error, Exception):
            status, tags = "FAILED", {"error": without_secrets(str(error))}
        raise
    finally:
        sent = tracker.end(status, tags)
        working.tidy(finished=status == "FINISHED" or "pruned" in tags, sent=sent)
    return figures


class _Job:
    """A run's network and data in one process, and how they are brought together.

    Args:
        config: settings of the run.
        prepared: folder with ``fit/``.
        group: processes that train together.
        trial: what the run is of a study; None for nothing.
    """

    def __init__(self, config: Config, prepared: Path, group: Group, trial: Trial | None) -> None:
        self.config, self.group, self.trial = config, group, trial
        self.clock = Clock()
        seed_everything(config.seed, verbose=False)
        self.data = data = PreparedData.to_train(config, prepared)
        self.vocabularies, self.spec = data.vocabularies, data.spec
        refuse_undecidable(config, self.spec)
        self.fit_folder = prepared / "fit"
        self.splits = {name: data.split(name) for name in ("train", "validation")}
        vectors = open_vectors(prepared) if self.spec["inputs"].vector_size else None
        refuse_too_large(config, self.spec, trains=True)
        self.task = build_task(config, self.spec, vectors)
        begin(self.task.network, self.splits["train"])

    @property
    def parameters(self) -> int:
        """Size of the network."""
        return sum(parameter.numel() for parameter in self.task.parameters())

    def fit(self, working: Working, checkpoint: Path | None) -> dict[str, float]:
        """Train, by gradient or by counting, leave the best validation's weights in the task, and judge those."""
        if isinstance(self.config.arch, NgramConfig):
            return self._count(working.folder)
        best = self._descend(working, checkpoint)
        leave()  # the first process judges alone
        if self.group.rank > 0:
            return {}
        self.task.load_state_dict(best)
        _, validation = loaders(self.config, self.spec, self.splits)
        return evaluate_task(self.task.cpu(), validation)

    def _count(self, folder: Path) -> dict[str, float]:
        task, split = self.task, self.splits["train"]
        assert isinstance(task, LanguageModel) and isinstance(task.network.network, KneserNey)
        start = time.perf_counter()
        task.network.network.fit(split["inputs"].values)
        self.clock.seconds = time.perf_counter() - start
        self.clock.tokens = task.tokens_seen = split["inputs"].steps
        _, validation = loaders(self.config, self.spec, self.splits)
        figures = evaluate_task(task, validation)
        now = str(int(time.time() * 1000))
        rows = [[str(task.tokens_seen), f"val/{name}", repr(value), now] for name, value in figures.items()]
        HistoryFile(folder).replace(rows)
        return figures

    def _descend(self, working: Working, checkpoint: Path | None) -> dict[str, torch.Tensor]:
        """The weights of the best validation."""
        config, settings, task, group = self.config, self.config.training, self.task, self.group
        if group.world > settings.batch_size:
            raise BadInput(f"{group.world} processes cannot share training.batch_size={settings.batch_size}; "
                           "raise it, or use fewer of them.")  # fmt: skip
        loader, validation = loaders(config, self.spec, self.splits, Share(group.rank, group.world))
        task.nominal = 2.0 ** round(math.log2(max(1, places(config, loader, self.splits["train"]) // len(loader))))
        batches = max(1, settings.tokens * len(loader) // (loader.tokens * settings.validations))
        clipping = Clipping(settings.clip_norm, settings.clip_value, settings.clip_parameter_norm)
        gradients = Gradients(clipping, recurrent_matrices(task), settings.recurrent_l1, settings.recurrent_l2,
                              settings.dropped_steps)  # fmt: skip
        folder, best = working.folder, Best(task.monitor, task.mode)
        resume = Resume(folder, working.identity, working.before, settings.checkpoint_seconds)
        watched = [Watched(settings.validations, self.trial.report, by_the_first)] if self.trial else []
        resumed = by_the_first(lambda: checkpoint and str(checkpoint))
        if group.rank > 0:  # its dropout is its own, and that of no other seed's first process
            torch.manual_seed(int(np.random.SeedSequence([config.seed, group.rank]).generate_state(1, np.uint64)[0]))
        with Interruption() as interruption:
            trainer = build_trainer(
                name=None if self.trial else config.name,
                monitor=task.monitor,
                mode=task.mode,
                steps_between_validations=batches,
                accumulate=settings.accumulate,
                precision=settings.precision,
                patience=settings.patience,
                group=group,
                # a learned first state has one only in a window that begins with it
                every_weight=not getattr(config.arch, "learned_state", False),
                callbacks=[
                    gradients, History(HistoryFile(folder), gradients, POINTS, batches), best, *watched, self.clock,
                    Interruptible(interruption), resume,
                ],
            )  # fmt: skip
            try:
                trainer.fit(task, Endless(loader), validation, ckpt_path=resumed, weights_only=True)
            except SystemExit:  # Lightning's answer to Ctrl-C
                raise KeyboardInterrupt from None
            except Exception as error:
                if interruption.asked and isinstance(error, RuntimeError):  # another process stopped first
                    raise KeyboardInterrupt from None
                if resumed is not None and not resume.started:
                    self._refuse(Path(resumed), error)
                raise
        if any(watcher.ended for watcher in watched):
            raise Pruned
        return best.weights

    def _refuse(self, checkpoint: Path, error: Exception) -> None:
        """Refuse a checkpoint that could not be put back: that of other code, or one that somebody has changed.

        Raises:
            BadInput: it could not; nothing else went wrong, such as a full disk or the loss of another process.
        """
        lost = isinstance(error, RuntimeError) and self.group.world > 1 and "state_dict" not in str(error)
        if lost or isinstance(error, (BadInput, OSError)):
            return
        reason = " ".join(str(error).split())[:160]
        raise BadInput(f"{checkpoint} does not fit this run ({reason}); delete {checkpoint.parent}, and the run begins "
                       "again.") from error  # fmt: skip

    def publish(self, folder: Path, working: Working, figures: dict[str, float]) -> None:
        """Write what others need of the run."""
        (folder / WEIGHTS).write_bytes(save(tensors(self.task.network)))
        (folder / "config.yaml").write_text(self.config.dump(), encoding="utf-8")
        (folder / "vocabulary.json").write_text(self.vocabularies.dumps(), encoding="utf-8")
        record = {"format": FORMAT, "fingerprint": working.mark, "vocabulary": self.vocabularies.digest,
                  "data": {name: short_digest(self.fit_folder / name) for name in self.splits},
                  "evaluation": evaluation_settings(self.config),
                  "order": self._order(working.identity.data), "parameters": self.parameters,
                  "tokens": self.task.tokens_seen, "processes": self.group.world, "best": figures,
                  "deterministic": not self.task.network.is_random, **counts(self.task, figures)}  # fmt: skip
        if found := measured_on(self.config, self.data, {name: self.fit_folder / name for name in self.splits}):
            record["measured_on"] = found
        record["history"] = hashlib.sha256((folder / HISTORY).read_bytes()).hexdigest()
        record["weights"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
        if own := plugins.digests(self.config.parts):
            record["plugins"] = own
        if working.before:
            record["went_on_from"] = working.before
        (folder / "run.json").write_text(to_json(record), encoding="utf-8")

    def _order(self, data: str) -> dict[str, Any]:
        """What decides, with the seed, in which order the data is read, so that runs may be paired by seed."""
        settings = self.config.training
        return {"data": data[:SHORT], "task": self.config.task.name,
                "training.batch_size": settings.batch_size, "training.batch_tokens": settings.batch_tokens,
                "training.truncation_length": settings.truncation_length,
                "training.truncation_stride": settings.truncation_stride or settings.truncation_length}  # fmt: skip
