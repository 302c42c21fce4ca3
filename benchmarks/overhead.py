"""What the framework costs over a bare PyTorch loop: the same network, data, precision and optimizer, in turn.

    python benchmarks/overhead.py [--data NAME]

Both sides read the same windows, clip, and step AdamW with the same schedule. The two take turns, and the ratio is that
of the medians of the time per step.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import torch
from lightning.pytorch import Callback

from unroll import preparation
from unroll.config import Config, compose
from unroll.data.prepared import open_split
from unroll.data.vocabulary import Vocabulary
from unroll.experiment import POINTS, build_task, loaders
from unroll.tracking.tracker import NullTracker
from unroll.training.callbacks import History
from unroll.training.trainer import build_trainer

CASES = {
    "tiny (1×64, B 32, k 35)": ["recurrent.layers=1", "recurrent.hidden_size=64", "training.precision=32",
                                "training.truncation_length=35", "training.batch_size=32"],
    "2×512 characters, bf16 (B 32, k 128)": ["recurrent.layers=2", "recurrent.hidden_size=512",
                                             "training.precision=bf16-mixed", "training.batch_size=32"],
}  # fmt: skip
STEPS = {"tiny (1×64, B 32, k 35)": 400, "2×512 characters, bf16 (B 32, k 128)": 12}
ROUNDS = 5


class Clock(Callback):
    """Time at the end of every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.times.append(time.perf_counter())


def parts(config: Config) -> tuple:
    prepared = preparation.prepared(config.data)
    spec = Vocabulary.load(prepared / "fit" / "vocabulary.json").spec
    splits = {name: open_split(prepared / "fit" / name) for name in ("train", "validation")}
    torch.manual_seed(0)
    return build_task(config, spec), loaders(config, spec, splits)[0]


def framework(config: Config, steps: int) -> float:
    task, loader = parts(config)
    clock = Clock()
    with tempfile.TemporaryDirectory() as folder:
        trainer, _ = build_trainer(
            name="benchmark", monitor=task.monitor, mode=task.mode, steps_between_validations=10**9,
            clip_norm=config.training.clip_norm, precision=config.training.precision, patience=None,
            scratch=Path(folder), callbacks=[clock, History(Path(folder) / "h.csv", NullTracker(), POINTS, steps)],
        )  # fmt: skip
        trainer.fit_loop.epoch_loop.max_steps = steps
        trainer.limit_val_batches = 0
        trainer.fit(task, loader)
    return (clock.times[-1] - clock.times[2]) / (len(clock.times) - 3)


def bare(config: Config, steps: int) -> float:
    task, loader = parts(config)
    made = task.configure_optimizers()
    optimizer, schedule = made["optimizer"], made["lr_scheduler"]["scheduler"]
    autocast = config.training.precision == "bf16-mixed"
    times: list[float] = []
    while True:
        for index, batch in enumerate(loader):
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                loss = task.training_step(batch, index)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(task.parameters(), config.training.clip_norm)
            optimizer.step()
            schedule.step()
            times.append(time.perf_counter())
            if len(times) == steps:
                return (times[-1] - times[2]) / (len(times) - 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="tinyshakespeare", help="a corpus that has been fetched")
    data = parser.parse_args().data
    for case, overrides in CASES.items():
        config = compose(["experiment=tinyshakespeare", f"data={data}", "training.threads=2", *overrides])
        torch.set_num_threads(2)
        pairs = [(framework(config, STEPS[case]), bare(config, STEPS[case])) for _ in range(ROUNDS)]
        ours, theirs = (statistics.median(side) * 1e3 for side in zip(*pairs, strict=True))
        print(f"{case}: framework {ours:.2f} ms per step, bare {theirs:.2f} ms, "
              f"ratio {ours / theirs:.3f}, difference {ours - theirs:.2f} ms")  # fmt: skip


if __name__ == "__main__":
    main()
