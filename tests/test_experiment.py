"""Parts joined: every task with every architecture learns, saves and reloads; the budget, the best, Ctrl-C."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from unroll import experiment, preparation, tasks
from unroll.config import Config
from unroll.data.prepared import open_split
from unroll.errors import BadInput
from unroll.experiment import Trained

Small = Callable[..., Config]
ARCHS = {"rnn", "lstm", "gru"}
CASES = [("adding", arch) for arch in ("rnn", "lstm", "gru", "bilstm", "bigru")]
CASES += [("tagging", arch) for arch in ("rnn", "lstm", "gru", "bilstm", "bigru")]
CASES += [("grammar", arch) for arch in ("rnn", "lstm", "gru", "ngram")]
TASK_OF = {"adding": tasks.Regressor, "tagging": tasks.Tagger, "grammar": tasks.LanguageModel}


def history(folder: Path, metric: str) -> list[tuple[int, float]]:
    with (folder / "history.csv").open(encoding="utf-8") as file:
        return [(int(row["tokens"]), float(row["value"])) for row in csv.DictReader(file) if row["metric"] == metric]


def test_the_suite_covers_every_exported_task() -> None:
    exported = {getattr(tasks, name) for name in tasks.__all__} - {tasks.Task}
    assert exported == set(TASK_OF.values())


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_every_task_learns_saves_and_reloads(name: str, arch: str, small: Small, project: Path) -> None:
    config = small(name, arch, "training.tokens=6000", "training.optimizer.learning_rate=1e-2")
    prepared = preparation.prepared(config.data)
    best = experiment.train(config, prepared, project / "run")
    if arch != "ngram":
        losses = [value for _, value in history(project / "run", "train/loss")]
        assert sum(losses[-3:]) < 0.7 * sum(losses[:3])
    run = Trained.load(project / "run")
    assert isinstance(run.task, TASK_OF[name])
    split = open_split(prepared / "fit" / "validation")
    again = experiment.evaluate_task(run.task, experiment.evaluation_loader(config, run.vocabulary.spec, split))
    assert again == best


@pytest.mark.parametrize(("name", "arch"), CASES)
def test_every_trainable_weight_gets_a_gradient(name: str, arch: str, small: Small, project: Path) -> None:
    config = small(name, arch)
    prepared = preparation.prepared(config.data)
    spec = experiment.Vocabulary.load(prepared / "fit" / "vocabulary.json").spec
    task = experiment.build_task(config, spec)
    splits = {split: open_split(prepared / "fit" / split) for split in ("train", "validation")}
    batch = next(iter(experiment.loaders(config, spec, splits)[0]))
    if arch != "ngram":
        task.training_step(batch, 0).backward()
    assert [name for name, weight in task.named_parameters() if weight.grad is None or not weight.grad.any()] == []


@pytest.mark.parametrize(("name", "arch"), [("tagging", "bigru"), ("grammar", "lstm"), ("adding", "rnn")])
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    name: str, arch: str, small: Small, project: Path
) -> None:
    for folder, seed in (("a", 0), ("b", 0), ("c", 1)):
        config = small(name, arch, f"seed={seed}", "recurrent.dropout=0.2")
        experiment.train(config, preparation.prepared(config.data), project / folder)
    for file in ("weights.safetensors", "history.csv", "run.json"):
        a, b, c = ((project / folder / file).read_bytes() for folder in "abc")
        assert a == b
        assert a != c


def test_training_stops_at_the_token_budget_and_validates_as_often_as_asked(small: Small, project: Path) -> None:
    config = small("grammar", "gru", "training.tokens=3000", "training.validations=5")
    experiment.train(config, preparation.prepared(config.data), project / "run")
    tokens = json.loads((project / "run" / "run.json").read_text())["tokens"]
    assert 3000 <= tokens < 3000 + 4 * 7  # at most one step of 4 streams and 7 tokens beyond
    validated = [at for at, _ in history(project / "run", "val/loss")]
    assert validated[-1] == tokens
    assert len(validated) in (5, 6)


def test_the_weights_kept_are_those_of_the_best_validation(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.tokens=4000", "training.optimizer.learning_rate=3",
                   "training.schedule=constant", "training.validations=8")  # fmt: skip
    best = experiment.train(config, preparation.prepared(config.data), project / "run")
    losses = [value for _, value in history(project / "run", "val/loss")]
    assert losses[-1] > 1.01 * min(losses)  # a rate so high that the end is not the best: else nothing is proved
    assert best["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_early_stopping_ends_before_the_budget(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.tokens=60000", "training.validations=60", "training.patience=2",
                   "training.optimizer.learning_rate=3", "training.schedule=constant")  # fmt: skip
    experiment.train(config, preparation.prepared(config.data), project / "run")
    assert json.loads((project / "run" / "run.json").read_text())["tokens"] < 30_000


def test_clipping_bounds_the_step_of_sgd(small: Small, project: Path) -> None:
    """With plain SGD at a constant rate, the weights cannot move farther than rate × clip × steps."""
    common = ["training.optimizer.name=sgd", "training.optimizer.learning_rate=1.0", "training.schedule=constant",
              "training.warmup=0", "training.tokens=140", "training.validations=1"]  # fmt: skip
    moved = {}
    for clip in ("1e-3", "null"):
        config = small("grammar", "rnn", *common, f"training.clip_norm={clip}")
        prepared = preparation.prepared(config.data)
        torch.manual_seed(0)
        experiment.seed_everything(0, verbose=False)
        spec = experiment.Vocabulary.load(prepared / "fit" / "vocabulary.json").spec
        before = experiment.tensors(experiment.build_task(config, spec))
        experiment.train(config, prepared, project / clip)
        after = load_file(project / clip / "weights.safetensors")
        moved[clip] = max(float((after[name] - before[name]).norm()) for name in after)
    assert moved["1e-3"] <= 1e-3 * 5 + 1e-6
    assert moved["null"] > 10 * moved["1e-3"]


def test_bf16_trains_and_its_state_is_carried_in_single_precision(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.precision=bf16-mixed")
    experiment.train(config, preparation.prepared(config.data), project / "run")
    task = Trained.load(project / "run").task
    assert isinstance(task, tasks.LanguageModel)
    batch = next(iter(experiment.evaluation_loader(config, task.spec, open_split(
        preparation.prepared(config.data) / "fit" / "validation"))))  # fmt: skip
    with torch.autocast("cpu", torch.bfloat16):
        task.train().training_step(batch, 0)
    assert {tensor.dtype for part in task.states[True] for tensor in part} == {torch.float32}


def test_validation_has_a_state_of_its_own(small: Small, project: Path) -> None:
    config = small("grammar", "gru")
    prepared = preparation.prepared(config.data)
    spec = experiment.Vocabulary.load(prepared / "fit" / "vocabulary.json").spec
    task = experiment.build_task(config, spec)
    assert isinstance(task, tasks.LanguageModel)
    splits = {split: open_split(prepared / "fit" / split) for split in ("train", "validation")}
    train, validation = experiment.loaders(config, spec, splits)
    task.train().training_step(next(iter(train)), 0)
    carried = [tensor.clone() for part in task.states[True] for tensor in part]
    experiment.evaluate_task(task, validation)
    assert all(torch.equal(a, b) for a, b in zip(carried, (t for part in task.states[True] for t in part), strict=True))


@pytest.mark.parametrize("arch", ["rnn", "lstm", "gru", "ngram"])
def test_a_language_model_read_in_windows_equals_one_pass(arch: str, small: Small, project: Path) -> None:
    figures = []
    for length in (5, 10_000):
        config = small("grammar", arch, f"training.truncation_length={length}")
        if length == 5:
            experiment.train(config, preparation.prepared(config.data), project / "run")
        run = Trained.load(project / "run")
        task = run.task.double() if arch != "ngram" else run.task
        split = open_split(preparation.prepared(config.data) / "fit" / "validation")
        figures.append(experiment.evaluate_task(task, experiment.evaluation_loader(config, task.spec, split)))
    assert figures[0]["loss"] == pytest.approx(figures[1]["loss"], abs=1e-10)


def test_a_tagger_without_labels_is_refused(small: Small, project: Path) -> None:
    config = small("tagging", "lstm")
    spec = experiment.DataSpec(10, 0, 0, 0, 1, (), "words")
    with pytest.raises(BadInput, match="no labels"):
        experiment.build_task(config, spec)


def test_ctrl_c_leaves_nothing_and_marks_the_run(small: Small, project: Path, store: str) -> None:
    import mlflow

    config = small("grammar", "lstm", "training.tokens=50000000", "tracking=mlflow", f"tracking.uri={store}",
                   "training.validations=5000")  # fmt: skip
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", "runs/a"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = ""
        while "val/loss" not in line:  # the first validation is over: training goes on
            line = process.stderr.readline()
            assert line, "training ended before it could be interrupted"
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.stderr.read()
    assert process.returncode == 130
    assert not Path("runs").exists() or not list(Path("runs").iterdir())
    mlflow.set_tracking_uri(store)
    runs = mlflow.search_runs(search_all_experiments=True, output_format="list")
    assert [run.info.status for run in runs] == ["KILLED"]
