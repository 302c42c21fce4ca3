"""What the framework costs over a bare PyTorch loop: the same network, data, precision and optimizer, in turn.

    python benchmarks/overhead.py [--data NAME] [--rounds N]

The bare side has nothing of this project: ``nn.LSTM``, tensors cut from one long row, cross-entropy, clipping, AdamW
and a schedule. The two take turns; the ratio is that of the medians, with the least and greatest of the rounds beside.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from lightning.pytorch import Callback
from torch import Tensor, nn
from torch.nn import functional as F

from unroll import preparation
from unroll.config import Config, compose
from unroll.config.blocks import EmbeddingConfig, RecurrentConfig
from unroll.data.loader import Endless
from unroll.experiment.building import build_task
from unroll.experiment.loading import loaders
from unroll.experiment.prepared_data import PreparedData
from unroll.experiment.training import POINTS
from unroll.history import HistoryFile
from unroll.networks.recurrent import recurrent_matrices
from unroll.training.callbacks import History
from unroll.training.checkpoint import Identity, Resume
from unroll.training.distributed import joined
from unroll.training.gradients import Clipping, Gradients
from unroll.training.trainer import build_trainer

CASES = {
    "tiny (1×64, B 32, k 35)": ["arch.encoder.layers=1", "arch.encoder.hidden_size=64", "training.precision=32",
                                "training.truncation_length=35", "training.batch_size=32"],
    "2×512 characters, bf16 (B 32, k 128)": ["arch.encoder.layers=2", "arch.encoder.hidden_size=512",
                                             "training.precision=bf16-mixed", "training.batch_size=32"],
}  # fmt: skip
STEPS = {"tiny (1×64, B 32, k 35)": 400, "2×512 characters, bf16 (B 32, k 128)": 20}
SKIPPED = 3  # steps at the beginning of each round


class Clock(Callback):
    """Time at the end of every step."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def on_train_batch_end(self, *_: object) -> None:
        self.times.append(time.perf_counter())


def per_step(times: list[float]) -> float:
    return (times[-1] - times[SKIPPED - 1]) / (len(times) - SKIPPED)


def framework(config: Config, prepared: Path, steps: int) -> float:
    data = PreparedData(config, prepared)
    splits = {name: data.split(name) for name in ("train", "validation")}
    torch.manual_seed(0)
    task, loader, clock = build_task(config, data.spec), loaders(config, data.spec, splits)[0], Clock()
    task.nominal = 1024.0
    gradients = Gradients(Clipping(config.training.clip_norm), recurrent_matrices(task), 0.0, 0.0, 3)
    with tempfile.TemporaryDirectory() as folder, joined() as group:
        trainer = build_trainer(
            name="benchmark", monitor=task.monitor, mode=task.mode, steps_between_validations=10**9, accumulate=1,
            precision=config.training.precision, patience=None, group=group, every_weight=True,
            callbacks=[
                gradients, clock, History(HistoryFile(Path(folder)), gradients, POINTS, steps),
                Resume(Path(folder), Identity("s", "d", "c", "t"), config.training.checkpoint_seconds),
            ],
        )  # fmt: skip
        trainer.fit_loop.epoch_loop.max_steps = steps
        trainer.limit_val_batches = 0
        trainer.fit(task, Endless(loader))
    return per_step(clock.times)


class BareModel(nn.Module):
    """Embedding, LSTM, tied softmax, in torch's own modules."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.embedding, self.dropout = nn.Embedding(vocabulary, embedding), nn.Dropout(dropout)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.projection = nn.Linear(hidden, embedding, bias=False) if hidden != embedding else nn.Identity()
        self.decoder = nn.Linear(embedding, vocabulary)
        self.decoder.weight = self.embedding.weight

    def forward(self, inputs: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        output, state = self.lstm(self.dropout(self.embedding(inputs)), state)
        return self.decoder(self.projection(self.dropout(output))), state


def windows(tokens: Tensor, streams: int, length: int) -> Iterator[tuple[Tensor, Tensor]]:
    rows = tokens[: len(tokens) // streams * streams].view(streams, -1)
    for begin in range(0, rows.shape[1] - length - 1, length):
        yield rows[:, begin : begin + length], rows[:, begin + 1 : begin + length + 1]


def bare(config: Config, prepared: Path, steps: int) -> float:
    data = PreparedData(config, prepared)
    tokens = torch.tensor(data.split("train")["inputs"].values, dtype=torch.long)
    torch.manual_seed(0)
    inputs, encoder, settings = config.arch.inputs, config.arch.encoder, config.training
    assert isinstance(inputs, EmbeddingConfig) and isinstance(encoder, RecurrentConfig)
    model = BareModel(data.spec["inputs"].size, inputs.size, encoder.hidden_size, encoder.layers, encoder.dropout)
    optimizer = torch.optim.AdamW(model.parameters(), settings.optimizer.learning_rate,
                                  weight_decay=settings.optimizer.weight_decay)  # fmt: skip
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0 - step / 1e6)
    state, times = None, []
    while True:
        for inputs, targets in windows(tokens, settings.batch_size, settings.truncation_length):
            with torch.autocast("cpu", torch.bfloat16, enabled=settings.precision == "bf16-mixed"):
                logits, state = model(inputs, state)
                loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten())
            state = (state[0].detach().float(), state[1].detach().float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), settings.clip_norm)
            optimizer.step()
            schedule.step()
            times.append(time.perf_counter())
            if len(times) == steps:
                return per_step(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="tinyshakespeare", help="a corpus that has been fetched")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    for case, overrides in CASES.items():
        config = compose(["experiment=tinyshakespeare", f"data={options.data}", "training.threads=2", *overrides])
        prepared = preparation.prepared(config.data)
        torch.set_num_threads(2)
        pairs = [(framework(config, prepared, STEPS[case]), bare(config, prepared, STEPS[case]))
                 for _ in range(options.rounds)]  # fmt: skip
        ours, theirs = ([value * 1e3 for value in side] for side in zip(*pairs, strict=True))
        print(f"{case}: framework {shown(ours)}, bare {shown(theirs)} ms per step; "
              f"ratio {statistics.median(ours) / statistics.median(theirs):.3f}, "
              f"difference {statistics.median(ours) - statistics.median(theirs):.2f} ms")  # fmt: skip


def shown(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})"


if __name__ == "__main__":
    main()
