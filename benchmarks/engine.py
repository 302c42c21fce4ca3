"""What the training engine costs and gains: checkpoints, two processes, windows of a long stream.

    python benchmarks/engine.py checkpoint     time of a checkpoint of the character model, against 30 s of training
    python benchmarks/engine.py ranks          two processes of one thread each against one of one thread, in turn
    python benchmarks/engine.py memory         memory and time at k = 35 of streams of 10,000 and 10,000,000 tokens

The character model is that of experiment=tinyshakespeare arch=lstm, on random characters: its speed does not depend on
what they are.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from lightning.pytorch import Callback

from unroll.config import Config, compose
from unroll.data.batch import FieldSpec
from unroll.data.loader import Endless, Share
from unroll.data.prepared import Column, Split
from unroll.data.streams import Streams
from unroll.experiment import build_task
from unroll.networks.recurrent import recurrent_matrices
from unroll.training.checkpoint import Identity, Resume
from unroll.training.distributed import joined
from unroll.training.gradients import Clipping, Gradients
from unroll.training.trainer import build_trainer

SPEC = {"inputs": FieldSpec(65, unit="characters")}
SKIPPED = 3  # steps at the beginning


class Clock(Callback):
    """Time at the end of every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.times.append(time.perf_counter())


def corpus(tokens: np.ndarray) -> Split:
    return Split("train", {"inputs": Column(tokens, np.array([0, len(tokens)]))})


def characters(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(2, 65, count).astype(np.int32)


def settings(*overrides: str) -> Config:
    return compose(["experiment=tinyshakespeare", "arch=lstm", *overrides])


def train(config: Config, split: Split, steps: int, *callbacks: Callback) -> list[float]:
    """Times at the ends of steps."""
    torch.set_num_threads(config.training.threads)
    torch.manual_seed(0)
    task, clock, training = build_task(config, SPEC), Clock(), config.training
    task.nominal = 2048.0
    with joined() as group:
        share = Share(group.rank, group.world)
        loader = Streams(split, training.batch_size, training.truncation_length, share=share)
        gradients = Gradients(Clipping(training.clip_norm), recurrent_matrices(task), 0.0, 0.0, 3)
        trainer = build_trainer(
            name="benchmark", monitor=task.monitor, mode=task.mode, steps_between_validations=10**9, accumulate=1,
            precision=training.precision, patience=None, group=group, every_weight=True,
            callbacks=[gradients, *callbacks, clock],
        )  # fmt: skip
        trainer.fit_loop.epoch_loop.max_steps = steps
        trainer.limit_val_batches = 0
        trainer.fit(task, Endless(loader))
    return clock.times


def per_step(times: list[float]) -> float:
    return (times[-1] - times[SKIPPED - 1]) / (len(times) - SKIPPED)


class Often(Resume):
    """A checkpoint every ten steps, timed, and another one that does not wait for the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, Identity("s", "d", "c", {}), {}, 0.0)
        self.cost: list[float] = []
        self.unsynced: list[float] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if batch_idx % 10 == 9:
            self.cost.append(self.timed(trainer))
            with patch("os.fsync"):
                self.unsynced.append(self.timed(trainer))

    def timed(self, trainer: Any) -> float:
        begin = time.perf_counter()
        self.save(trainer)
        return time.perf_counter() - begin


def checkpoint() -> None:
    config, split = settings(), corpus(characters(1_000_000))
    with tempfile.TemporaryDirectory() as folder:
        often = Often(Path(folder))
        with_them = train(config, split, 150, often)
        size = (Path(folder) / "last.ckpt").stat().st_size / 1e6
    without = train(config, split, 150)
    cost, unsynced = statistics.median(often.cost), statistics.median(often.unsynced)
    extra = (per_step(with_them) - per_step(without)) * (150 - SKIPPED) / len(often.cost) - unsynced
    print(f"a checkpoint of {size:.1f} MB takes {cost * 1e3:.0f} ms ({min(often.cost) * 1e3:.0f}–"
          f"{max(often.cost) * 1e3:.0f}; steps beside are longer by {(extra - cost) * 1e3:.0f} ms in all): every 30 s, "
          f"{cost / 30:.2%} of the time, with what steps beside lose {max(extra, cost) / 30:.2%}")  # fmt: skip
    ratios = sorted(waiting / not_waiting for waiting, not_waiting in zip(often.cost, often.unsynced, strict=True))
    print(f"that is {statistics.median(ratios):.2f} times ({ratios[0]:.2f}–{ratios[-1]:.2f}) one that does not wait "
          f"for the disk, {unsynced * 1e3:.0f} ms")  # fmt: skip


def ranks(rounds: int) -> None:
    for precision, rows in (("32", 32), ("bf16-mixed", 32), ("bf16-mixed", 64)):
        speeds: dict[int, list[float]] = {1: [], 2: []}
        for _ in range(rounds):
            for world in (1, 2):
                command = [sys.executable, "-W", "ignore", "-m", "torch.distributed.run", "--standalone",
                           f"--nproc-per-node={world}", __file__, "child", "--precision", precision,
                           "--rows", str(rows if world == 2 else 32)]  # fmt: skip
                environment = {**os.environ, "OMP_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}
                done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
                speeds[world].append(json.loads(done.stdout.splitlines()[-1]))
        one, two = (statistics.median(speeds[world]) for world in (1, 2))
        ratios = [b / a for a, b in zip(speeds[1], speeds[2], strict=True)]
        print(f"{precision}, B 32 in one process, {rows} in two: one {one:,.0f} tokens/s, two {two:,.0f}: "
              f"ratio {two / one:.2f} ({min(ratios):.2f}–{max(ratios):.2f})")  # fmt: skip


def child(precision: str, rows: int) -> None:
    config = settings("training.threads=1", f"training.precision={precision}", f"training.batch_size={rows}")
    times = train(config, corpus(characters(1_000_000)), 25)
    assert config.training.truncation_length is not None
    if os.environ["RANK"] == "0":
        print(config.training.batch_size * config.training.truncation_length / per_step(times))


STREAMS = 4


def memory() -> None:
    found = {}
    for length in (10_000, 10_000_000):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "tokens.npy"
            np.save(path, characters(STREAMS * length + 1))
            done = subprocess.run([sys.executable, "-W", "ignore", __file__, "stream", str(path)], check=True,
                                  capture_output=True, text=True)  # fmt: skip
        found[length] = json.loads(done.stdout)
        print(f"{STREAMS} streams of {length:,} tokens: RssAnon {found[length]['kB']:,} kB, "
              f"{found[length]['ms']:.2f} ms per window")  # fmt: skip
    short, long = found.values()
    print(f"ratio of memory {long['kB'] / short['kB']:.4f}, of time {long['ms'] / short['ms']:.3f}")


def stream(path: str) -> None:
    config = settings("training.threads=1", "training.precision=32", "training.truncation_length=35",
                      f"training.batch_size={STREAMS}", "arch.encoder.hidden_size=256")  # fmt: skip
    times = train(config, corpus(np.load(path, mmap_mode="r")), 1_000)
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    (anonymous,) = (int(line.split()[1]) for line in status if line.startswith("RssAnon"))
    print(json.dumps({"kB": anonymous, "ms": per_step(times) * 1e3}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["checkpoint", "ranks", "memory", "child", "stream"])
    parser.add_argument("path", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--precision", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.what == "child":
        child(options.precision, options.rows)
    elif options.what == "stream":
        stream(options.path)
    elif options.what == "ranks":
        ranks(options.rounds)
    else:
        {"checkpoint": checkpoint, "memory": memory}[options.what]()


if __name__ == "__main__":
    main()
