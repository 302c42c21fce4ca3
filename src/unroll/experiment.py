"""The only place that joins the parts: conf → data → network → task → trainer → tracking."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import seed_everything
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from unroll.config import Config, NgramConfig, load
from unroll.data.batch import Batch, DataSpec
from unroll.data.buckets import Buckets
from unroll.data.prepared import Split, open_split
from unroll.data.streams import Streams
from unroll.data.vocabulary import Vocabulary
from unroll.errors import BadInput
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import LanguageNetwork, RecurrentLanguageNetwork, embed
from unroll.networks.ngram import KneserNey
from unroll.networks.recurrent import Recurrent
from unroll.outputs import whole, write_text
from unroll.tasks import LanguageModel, Regressor, Tagger, Task
from unroll.tasks.base import OptimizerFactory
from unroll.tracking.provenance import code_digest, digest_of, environment, fingerprint, git_state
from unroll.tracking.tracker import NullTracker, RunRecord, Status, Tracker
from unroll.training.callbacks import History
from unroll.training.optimizers import optimizer_factory
from unroll.training.throughput import tokens_per_second
from unroll.training.trainer import build_trainer

POINTS = 10  # of the training curve between two validations
SECONDS = 0.5  # for which the speed of a run is measured
RUN_FILES = ("config.yaml", "vocabulary.json", "weights.safetensors", "run.json")


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
    task = build_task(config, vocabulary.spec)
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
    with tempfile.TemporaryDirectory(prefix=".best.", dir=folder.parent) as scratch:
        trainer, best = build_trainer(
            name=config.name,
            monitor=task.monitor,
            mode=task.mode,
            steps_between_validations=max(1, steps),
            clip_norm=settings.clip_norm,
            precision=settings.precision,
            patience=settings.patience,
            scratch=Path(scratch),
            callbacks=[History(folder / "history.csv", tracker, POINTS, steps)],
        )
        try:
            trainer.fit(task, loader, validation)
        except SystemExit:  # Lightning's answer to Ctrl-C
            raise KeyboardInterrupt from None
        saved = torch.load(best.best_model_path, weights_only=True)
    task.load_state_dict(saved["state_dict"])
    return evaluate_task(task.cpu(), validation)


def evaluate(runs: Iterable[Path], prepared: Path, out: Path | None, costs: Path | None) -> dict[str, Any]:
    """Judge finished runs of one experiment on the test split, which nothing else opens.

    Args:
        runs: their folders.
        prepared: folder with ``fit/`` and ``test/``.
        out: JSON file with the figures of each run; None to write none.
        costs: JSON file with what varies from time to time, tokens per second by architecture; None not to measure it.

    Raises:
        BadInput: a folder is no run, its vocabulary is another one's, or runs differ in more than arch and seed.
    """
    vocabulary = Vocabulary.load(prepared / "fit" / "vocabulary.json")
    has_test = (prepared / "test" / "test").is_dir()
    judged = "test" if has_test else "validation"
    split = open_split(prepared / "test" / "test" if has_test else prepared / "fit" / "validation")
    results: dict[str, Any] = {}
    speeds: dict[str, Any] = {}
    settings: dict[str, Config] = {}
    marks: dict[str, str] = {}
    for folder in runs:
        run = Trained.load(folder)
        if run.vocabulary.digest != vocabulary.digest:
            raise BadInput(f"{folder} has a vocabulary from another run than {prepared}; train it on this data.")
        if run.config.data.has_test and not has_test:
            raise BadInput(f"{prepared} has no test split, but data={run.config.data.name} has; prepare it again.")
        _same_but_for_the_seed(run.config, settings, folder)
        torch.set_num_threads(run.config.training.threads)
        figures = evaluate_task(run.task, evaluation_loader(run.config, vocabulary.spec, split))
        facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        marks[folder.name] = facts["fingerprint"]
        results[folder.name] = {
            "arch": run.config.arch.name, "seed": run.config.seed, "split": judged,
            "parameters": facts["parameters"], "tokens": facts["tokens"], "test": figures,
            "validation": facts["best"], "headline": run.task.headline, "mode": run.task.mode,
        }  # fmt: skip
        if costs and run.config.arch.name not in speeds:  # seeds cost the same
            speed = throughput(run, open_split(prepared / "fit" / "train"))
            speeds[run.config.arch.name] = {"tokens_per_second": speed}
    if costs:
        write_text(costs, json.dumps(speeds, indent=1) + "\n")
    if out:
        write_text(out, json.dumps(results, indent=1) + "\n")
    tracking = next(iter(settings.values())).tracking
    if tracking.name == "mlflow" and tracking.uri:
        from unroll.tracking.mlflow import log_test_metrics

        log_test_metrics(tracking.uri, {marks[name]: result for name, result in results.items()})
    return results


def _same_but_for_the_seed(config: Config, seen: dict[str, Config], folder: Path) -> None:
    """Seeds of one architecture may be averaged only if they differ in nothing else."""
    first = seen.setdefault(config.arch.name, config)
    if first is not config and first.seed == config.seed:
        raise BadInput(f"{folder} is a second run of {config.name}; judge them apart.")
    if first.model_copy(update={"seed": config.seed}).digest() != config.digest():
        raise BadInput(f"{folder} has other settings than the first run of arch={config.arch.name}; judge them apart.")
    experiment = next(iter(seen.values())).experiment
    if config.experiment != experiment:
        raise BadInput(f"{folder} is a run of {config.experiment}, not of {experiment}; judge them apart.")


def evaluate_task(task: Task, loader: Iterable[Batch]) -> dict[str, float]:
    """Figures of a task over a whole split."""
    task.eval()
    task.on_validation_epoch_start()
    with torch.inference_mode():
        for index, batch in enumerate(loader):
            task.validation_step(batch, index)
    return task.metrics()


def throughput(run: Trained, split: Split) -> float:
    """Tokens per second of this run's training, measured anew: of counting, for an n-gram model."""
    if isinstance(run.config.arch, NgramConfig):
        assert split.tokens is not None
        start = time.perf_counter()
        KneserNey(run.config.arch.order, run.task.spec.vocabulary_size).fit(split.tokens)
        return split.steps / (time.perf_counter() - start)
    loader, _ = loaders(run.config, run.task.spec, {"train": split, "validation": split})
    return tokens_per_second(build_task(run.config, run.task.spec), loader, run.config.training.precision, SECONDS)


@dataclass
class Trained:
    """A finished run, ready for use."""

    config: Config
    vocabulary: Vocabulary
    task: Task

    @classmethod
    def load(cls, folder: Path) -> Trained:
        """Read a run's folder.

        Raises:
            BadInput: the folder is no run, or its parts do not belong together.
        """
        for name in RUN_FILES:
            if not (folder / name).is_file():
                raise BadInput(f"{folder} is no run: it has no {name}; name a folder that unroll train wrote.")
        config, vocabulary = load(folder / "config.yaml"), Vocabulary.load(folder / "vocabulary.json")
        try:
            facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            if facts["vocabulary"] != vocabulary.digest:
                raise BadInput(
                    f"{folder}/vocabulary.json is from another run; put the run's own one back, or train again."
                )
            task = build_task(config, vocabulary.spec)
            load_tensors(task, load_file(folder / "weights.safetensors"))
        except (SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
            reason = " ".join(str(error).split())[:160]
            raise BadInput(f"{folder} is damaged ({reason}); train the run again.") from None
        task.eval()
        return cls(config, vocabulary, task)

    def answer(
        self, lines: list[str], length: int = 50, temperature: float = 1.0, seed: int = 0
    ) -> list[dict[str, Any]]:
        """What the model makes of each line: labels, a number, or a continuation."""
        if isinstance(self.task, LanguageModel):
            return self.generate(lines, length, temperature, seed)
        return self.predict(lines)

    def predict(self, lines: list[str]) -> list[dict[str, Any]]:
        """Labels, or a number, for each line.

        Raises:
            BadInput: the run is a language model, or a line cannot be read.
        """
        answers: list[dict[str, Any]] = self.task.predict_lines(lines, self.vocabulary)
        return answers

    def generate(self, prompts: list[str], length: int, temperature: float, seed: int) -> list[dict[str, Any]]:
        """A continuation of each prompt.

        Raises:
            BadInput: the run is no language model.
        """
        if not isinstance(self.task, LanguageModel):
            raise BadInput(f"{self.config.name} is no language model; use unroll predict.")
        answers = []
        for number, prompt in enumerate(prompts):
            text, score = self.task.generate(prompt, self.vocabulary, length, temperature, seed + number)
            answers.append({"prompt": prompt, "continuation": text, "mean_log_probability": score})
        return answers


def tensors(task: Task) -> dict[str, Tensor]:
    """Weights and tables of a task, each once even where two places share it."""
    return {name: value.detach() for name, value in [*task.named_parameters(), *task.named_buffers()]}


def load_tensors(task: Task, values: dict[str, Tensor]) -> None:
    """Put back what :func:`tensors` gave.

    Raises:
        RuntimeError: names or shapes differ.
    """
    if set(values) != set(tensors(task)):
        raise RuntimeError(f"its weights are {', '.join(sorted(values))}")
    task.load_state_dict(values, strict=False)


def build_task(config: Config, spec: DataSpec) -> Task:
    """Network and task of a run.

    Raises:
        BadInput: the data lacks what the task needs.
    """
    settings = config.training
    optimizer = optimizer_factory(**settings.optimizer.model_dump(), schedule=settings.schedule, warmup=settings.warmup)
    parts: tuple[DataSpec, OptimizerFactory, int] = (spec, optimizer, settings.tokens)
    if isinstance(config.arch, NgramConfig):
        return LanguageModel(KneserNey(config.arch.order, spec.vocabulary_size), *parts)
    arch, embedding = config.arch, None
    if spec.vocabulary_size:
        embedding = embed(spec.vocabulary_size, arch.embedding_size, spec.padding_index, arch.embedding_scale)
    encoder = build_encoder(config, embedding, spec)
    if config.task.name == "language_model":
        assert embedding is not None
        network: LanguageNetwork = RecurrentLanguageNetwork(encoder, embedding, config.task.tied)
        return LanguageModel(network, *parts)
    if config.task.name == "regressor":
        return Regressor(encoder, *parts)
    if not spec.label_count:
        raise BadInput(f"data={config.data.name} has no labels, which task=tagger needs; choose other data.")
    return Tagger(encoder, *parts)


def build_encoder(config: Config, embedding: nn.Embedding | None, spec: DataSpec) -> SequenceEncoder:
    """Recurrent network over an embedding, or over real vectors."""
    arch = config.arch
    assert not isinstance(arch, NgramConfig)
    width = spec.input_size if embedding is None else arch.embedding_size
    recurrent = Recurrent(arch.cell, width, arch.hidden_size, arch.layers, arch.bidirectional, arch.dropout)
    return SequenceEncoder(nn.Identity() if embedding is None else embedding, recurrent, arch.dropout)


def loaders(config: Config, spec: DataSpec, splits: dict[str, Split]) -> tuple[Streams | Buckets, Streams | Buckets]:
    """Batches for training, and for validation."""
    settings, train_split = config.training, splits["train"]
    loader: Streams | Buckets
    if config.task.name == "language_model":
        loader = Streams(train_split, settings.batch_size, settings.truncation_length)
    else:
        loader = Buckets(train_split, settings.batch_size, spec.padding_index, config.seed)
    return loader, evaluation_loader(config, spec, splits["validation"])


def evaluation_loader(config: Config, spec: DataSpec, split: Split) -> Streams | Buckets:
    """Batches for validation and test: every token once, in one fixed order."""
    settings = config.training
    if config.task.name == "language_model":
        return Streams(split, settings.evaluation_streams, settings.truncation_length)
    return Buckets(split, settings.batch_size, spec.padding_index, None)


def build_tracker(config: Config) -> Tracker:
    """Tracker by name."""
    if config.tracking.name == "none":
        return NullTracker()
    from unroll.tracking.mlflow import MLflowTracker

    assert config.tracking.uri is not None  # checked with the settings
    return MLflowTracker(config.tracking.uri, config.tracking.system_metrics, config.tracking.log_model)


def adhoc_name(config: Config, prepared: Path) -> str:
    """Folder of a run outside the pipeline: ``<experiment>-<arch>-<seed>-<fingerprint>``."""
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
