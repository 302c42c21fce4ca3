"""What a study costs beside its trials, and what pruning saves: workers in turn, tokens, overhead, a second start.

    python benchmarks/study.py workers [--trials N] [--rounds N]
    python benchmarks/study.py pruning [--trials N] [--rounds N] [--pruners median hyperband]
    python benchmarks/study.py overhead [--trials N]
    python benchmarks/study.py again [--rounds N]

``workers``: trials per minute of two workers over one, each of one thread, in turn; the time is that from the first
trial's start to the last one's end, so that starting Python is left out. ``pruning``: tokens that the embedded study
reads with a pruner over those that it reads without, each from the same seed, and two verdicts: on the best
validations, which are the better the more trials were left to their end, and on what was found, trained again on the
study's fresh seeds.
``overhead``: time of a worker between its trials and, within them, outside of ``Trainer.fit``. ``again``: ``unroll
tune`` on a study that is finished, which must add nothing.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import yaml

from unroll.analysis.verdict import Sample, judge, sentence
from unroll.tasks.registry import metric_of

ROOT = Path(__file__).parent.parent
STUDY: dict[str, Any] = {
    "question": "How long does it take?",
    "experiment": "recall",
    "settings": {"tracking": "none", "training.tokens": 20_000, "training.validations": 5},
    "space": {"arch": ["lstm", "gru"], "training.optimizer.learning_rate": {"low": 3e-3, "high": 3e-2, "log": True}},
    "trials": 12,
    "sampler": {"name": "random"},
    "pruner": {"name": "none"},
}
OUT = Path("outputs/studies/timed")
TIMED = """
import os, time
from lightning.pytorch import Trainer
from unroll.config import compose_study
from unroll.tuning import worker
from unroll.tuning.tune import _job, _parent
from dataclasses import replace
job = _job(compose_study("timed"), None)
job = replace(job, parent=_parent(job, job.open()))
fit, spent = Trainer.fit, []
def timed(*arguments, **named):
    begin = time.perf_counter()
    try:
        fit(*arguments, **named)
    finally:
        spent.append(time.perf_counter() - begin)
Trainer.fit = timed
begin = time.perf_counter()
worker.work(job)
print(time.perf_counter() - begin - sum(spent))
"""


class Project:
    """A folder with this project's conf/ and a study in it."""

    def __init__(self, scratch: str, study: dict[str, Any]) -> None:
        self.folder = Path(scratch)
        shutil.copytree(ROOT / "conf", self.folder / "conf")
        self.write(study)

    def write(self, study: dict[str, Any]) -> None:
        path = self.folder / "conf" / "study" / "timed.yaml"
        path.write_text(yaml.safe_dump(study), encoding="utf-8")

    def tune(self, *words: str) -> float:
        """Seconds that the command took."""
        command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "tune", "study=timed", "--out", str(OUT), *words]
        begin = time.perf_counter()
        subprocess.run(
            command, cwd=self.folder, check=True, capture_output=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        return time.perf_counter() - begin

    def again(self, config: Path) -> float:
        """Best validation of a run."""
        out = config.with_suffix("")
        command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", "--config", str(config)]
        subprocess.run([*command, "--out", str(out)], cwd=self.folder, check=True, capture_output=True)
        return float(json.loads((out / "run.json").read_text(encoding="utf-8"))["best"]["loss"])

    def rows(self) -> list[dict[str, str]]:
        with (self.folder / OUT / "trials.csv").open(encoding="utf-8") as file:
            return list(csv.DictReader(file))

    def ask(self, query: str) -> list[Any]:
        with sqlite3.connect(self.folder / "studies" / "optuna.db") as database:
            return list(database.execute(query))

    def forget(self) -> None:
        """Have the next command start over."""
        for path in (self.folder / "studies", self.folder / "outputs" / "studies"):
            shutil.rmtree(path, ignore_errors=True)


def rate(project: Project, workers: int) -> float:
    """Trials per minute."""
    project.forget()
    project.tune("--workers", str(workers))
    ((seconds, trials),) = project.ask(
        "SELECT (julianday(max(datetime_complete)) - julianday(min(datetime_start))) * 86400, count(*) FROM trials"
    )
    return 60 * float(trials) / float(seconds)


def workers(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        project = Project(scratch, {**STUDY, "trials": options.trials})
        pairs = [(rate(project, 1), rate(project, 2)) for _ in range(options.rounds)]
    one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    print(f"{one:.1f} trials per minute of one worker, {two:.1f} of two: ratio {statistics.median(ratios):.2f} "
          f"({ratios[0]:.2f}–{ratios[-1]:.2f})")  # fmt: skip


def worked(project: Project, pruner: str, seed: int) -> tuple[int, float, float]:
    """Tokens that a study reads, its best validation, and the mean one of what it has found, trained again."""
    project.forget()
    project.tune(f"pruner.name={pruner}", f"seed={seed}", "--workers", "2")
    content = json.loads((project.folder / OUT / "study.json").read_text(encoding="utf-8"))
    tokens = sum(int(row["tokens"] or 0) for row in project.rows())
    arch = min(content["best"], key=lambda arch: float(content["best"][arch]["value"]))
    with ThreadPoolExecutor(2) as pool:
        losses = list(pool.map(project.again, sorted((project.folder / OUT).glob(f"{arch}-*.yaml"))))
    return tokens, content["best"][arch]["value"], statistics.fmean(losses)


def pruning(options: argparse.Namespace) -> None:
    loss = metric_of("language_model", "loss")  # by which trials are judged
    embedded = yaml.safe_load((ROOT / "conf" / "study" / "lstm-vs-gru.yaml").read_text(encoding="utf-8"))
    content = {**embedded, "settings": {**embedded["settings"], "tracking": "none"}}
    if options.trials:
        content["trials"] = options.trials
    with tempfile.TemporaryDirectory() as scratch:
        for pruner in options.pruners:
            # Hyperband would hold balanced archs against each other, and is refused with them
            balanced = None if pruner == "hyperband" else content["balanced"]
            project = Project(tempfile.mkdtemp(dir=scratch), {**content, "balanced": balanced})
            pairs = [(worked(project, "none", seed), worked(project, pruner, seed)) for seed in range(options.rounds)]
            saved = [1 - some / everything for (everything, *_), (some, *_) in pairs]
            print(f"{pruner}: {statistics.median(saved):.0%} of tokens saved ({min(saved):.0%}–{max(saved):.0%})")
            for index, name in enumerate(("best validations", "trained again"), start=1):
                sides = [[figures[index] for figures in side] for side in zip(*pairs, strict=True)]
                text = sentence("none", pruner, judge(Sample(sides[0]), Sample(sides[1]), loss), 4)
                without, pruned = (", ".join(f"{value:.4f}" for value in side) for side in sides)
                print(f"  {name}: without {without}; with {pruned}. {text}")


def overhead(options: argparse.Namespace) -> None:
    """Trials of which the first is left out, which imports what the others find."""
    for tracking in ("none", "mlflow"):
        with tempfile.TemporaryDirectory() as scratch:
            study = {**STUDY, "balanced": None, "settings": {**STUDY["settings"], "tracking": tracking}}
            project, beside = Project(scratch, study), []
            for trials in (1, options.trials):
                project.write({**study, "trials": trials})
                command = [sys.executable, "-W", "ignore", "-c", TIMED]
                done = subprocess.run(command, cwd=project.folder, check=True, capture_output=True, text=True)
                beside.append(float(done.stdout))
        each = (beside[1] - beside[0]) / (options.trials - 1)
        print(f"tracking={tracking}: {each:.3f} s per trial outside of training")


def again(options: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        project = Project(scratch, {**STUDY, "trials": 4, "settings": {**STUDY["settings"], "tracking": "mlflow"}})
        project.tune()
        paths = [project.folder / "studies" / "optuna.db", project.folder / "mlruns" / "mlflow.db"]
        before = [path.read_bytes() for path in paths]
        seconds = [project.tune() for _ in range(options.rounds)]
        assert [path.read_bytes() for path in paths] == before
    text = f"{statistics.median(seconds):.2f} s ({min(seconds):.2f}–{max(seconds):.2f})"
    print(f"a second start takes {text} and adds nothing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(required=True)
    for part, trials, rounds in ((workers, 12, 5), (pruning, None, 5), (overhead, 12, 1), (again, 4, 5)):
        sub = parts.add_parser(part.__name__)
        sub.set_defaults(part=part)
        sub.add_argument("--trials", type=int, default=trials)
        sub.add_argument("--rounds", type=int, default=rounds)
        if part is pruning:
            sub.add_argument("--pruners", nargs="+", choices=["median", "hyperband"], default=["median", "hyperband"])
    options = parser.parse_args()
    options.part(options)


if __name__ == "__main__":
    main()
