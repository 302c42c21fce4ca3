"""The checks: each reads the same sequences in two ways, which must agree."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from unroll.certificate.reading import ROWS, Reading, TaskReader
from unroll.certificate.sample import BATCH, CheckedSample, first_steps, in_one_window, masked, padded, rows
from unroll.config import Config
from unroll.config import check as check_settings
from unroll.data.batch import Batch
from unroll.data.loader import Share
from unroll.errors import BadInput

Pairs = Iterator[tuple[Reading, Reading]]  # actual and expected
CUTS = ((2, 1), (7, 3), (16, 16))  # length k and stride s of windows


def batch_size(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """Rows in one batch, in smaller batches, and alone."""
    expected = reader.read([sample.evaluation(sample.count)])
    for size in (4, 2, 1):
        if sample.is_text:  # with fewer rows, the text would be cut into different streams
            parts = -(-sample.count // size)
            yield reader.read([sample.evaluation(sample.count, Share(part, parts)) for part in range(parts)]), expected
        else:
            yield reader.read([sample.evaluation(size)]), expected


def padding(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """More padding, and padding with random content."""
    batch = sample.whole()
    expected = _all(reader, batch)
    for draw in (None, torch.Generator().manual_seed(0)):
        yield _all(reader, padded(batch, 9, sample.spec, draw)), expected


def order(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """Rows in reverse order."""
    batch = sample.whole()
    last_first = torch.arange(len(batch.mask)).flip(0)
    found = _all(reader, rows(batch, last_first))
    for name in ROWS & found.keys():
        found[name].reverse()
    yield found, _all(reader, batch)


def rank_split(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """Rows split over two and three processes, as in training; some shares are smaller, some are empty."""
    size = min(BATCH, sample.count)
    expected = reader.step([sample.training(size, sample.window)])
    for world in (2, 3):
        shares = [sample.training(size, sample.window, Share(rank, world)) for rank in range(world)]
        yield reader.step(shares), expected


def masked_alone(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """Sequences with masked tails, and the remaining parts alone."""
    batch = sample.whole()
    whole = batch.sequence(sample.lead).lengths
    part = torch.arange(1, len(whole) + 1)
    lengths = (whole * part).div(len(part), rounding_mode="trunc").clamp(min=1)
    together = masked(batch, sample.lead, lengths)
    alone = [
        [first_steps(rows(together, torch.tensor([row])), sample.lead, int(lengths[row]))] for row in range(len(part))
    ]
    yield reader.read([[together]]), reader.read(alone)


def state_carry(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """Windows, some of them overlapping, and a single pass: losses, and the state after the last step."""
    batch = sample.whole()
    expected = reader.read([[in_one_window(batch, sample.lead)]])
    if batch.window is None:
        yield reader.read([[batch]]), expected
    for window in (*CUTS, sample.window):
        if window is not None:
            yield reader.read([sample.training(sample.count, window)]), expected


def search(reader: TaskReader, sample: CheckedSample) -> Pairs:
    """Answers found symbol by symbol, and the losses of these answers if they are given."""
    yield reader.searched(sample.whole())


def _all(reader: TaskReader, batch: Batch) -> Reading:
    """Results of evaluation and of training on a batch."""
    return reader.read([[batch]]) | (reader.step([[batch]]) if reader.learns else {})


CHECKS: dict[Callable[[TaskReader, CheckedSample], Pairs], str] = {  # each with what it compares, for readers
    batch_size: "in a batch with other sequences, or alone",
    padding: "with more padding, of any content",
    order: "with the rows of a batch in another order",
    rank_split: "with a step split over two or three processes",
    masked_alone: "with a tail masked, or removed",
    search: "while it is searched for, or as the target of a loss",
    state_carry: "in windows that carry the state, or in one pass",
}
MEANINGS = {check.__name__: meaning for check, meaning in CHECKS.items()}


def meanings(config: Config) -> dict[str, str]:
    """The checks of the task of a run, each with what it compares."""
    writes = "decoder" in config.task.description.blocks
    return {name: meaning for name, meaning in MEANINGS.items() if writes or name != search.__name__}


def not_applicable(name: str, config: Config) -> str | None:
    """Why a check does not apply to a run; None if it does."""
    arch = config.arch
    if name == "rank_split" and arch.encoder.counts:
        return f"arch={arch.name} is fitted in one process, without a gradient"
    if name == "state_carry" and not _reads_windows(config):
        return f"sequences cannot be cut into windows with its settings (arch={arch.name}, task={config.task.name})"
    return None


def _reads_windows(config: Config) -> bool:
    """Whether sequences can be cut into windows with these settings."""
    training = {**config.training.model_dump(), "truncation_length": 2, "truncation_stride": 1}
    try:
        check_settings({**config.model_dump(), "training": training}, config.name)
    except BadInput:
        return False
    return True
