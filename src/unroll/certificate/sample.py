"""What a certificate is made on: a few sequences of the validation split, and batches of them of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unroll.config import Config
from unroll.data.batch import Batch, DataSpec, Window
from unroll.data.loader import ALL, Share
from unroll.data.prepared import Spelling, Split
from unroll.experiment import evaluation_loader, loaders

SEQUENCES, STREAMS = 11, 5  # neither two processes nor three can share them evenly
STEPS = 100  # of a sequence, and about as many of a stream, so that a certificate takes seconds
BATCH = 5  # sequences of which the last batch has one: there is none for a second process
PER_ROW = ("inputs", "targets", "lengths", "mask", "groups", "contrasts", "forms")
PER_STEP = ("inputs", "targets", "mask", "groups", "contrasts", "forms")


class Sample:
    """Eleven sequences of all lengths, or a text as five streams, in batches as the run's own loaders make them.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        split: what the sequences are taken from, at most 100 steps of each, or 503 tokens of a text.
    """

    def __init__(self, config: Config, spec: DataSpec, split: Split) -> None:
        self.config, self.spec, self.is_text = config, spec, config.task.name == "language_model"
        self.split = beginning(split, STREAMS * STEPS + 3) if self.is_text else some(split, SEQUENCES, STEPS)
        self.count = max(1, min(STREAMS, self.split.steps - 1)) if self.is_text else len(self.split.lengths)

    def whole(self) -> Batch:
        """All rows in one batch, read in one piece."""
        (batch,) = self.training(self.count, None)
        return batch

    @property
    def window(self) -> tuple[int, int | None] | None:
        """Steps of the run's own windows, and how many of them are new; None if it has none."""
        settings = self.config.training
        return (settings.truncation_length, settings.truncation_stride) if settings.truncation_length else None

    def training(self, size: int, window: tuple[int, int | None] | None, share: Share = ALL) -> list[Batch]:
        """Batches of an epoch of training: in windows of k steps with s new ones, or whole if there is no window."""
        return list(loaders(self._with(size, window or (None, None)), self.spec, self._splits, share)[0])

    def evaluation(self, size: int, share: Share = ALL) -> list[Batch]:
        """Batches of an evaluation, in windows if the run has them."""
        config = self._with(size, self.window or (None, None))
        return list(evaluation_loader(config, self.spec, self.split, share))

    def _with(self, size: int, window: tuple[int | None, int | None]) -> Config:
        changed = {"batch_size": size, "evaluation_streams": size, "truncation_length": window[0],
                   "truncation_stride": window[1]}  # fmt: skip
        return self.config.model_copy(update={"training": self.config.training.model_copy(update=changed)})

    @property
    def _splits(self) -> dict[str, Split]:
        return {"train": self.split, "validation": self.split}


def beginning(split: Split, tokens: int) -> Split:
    """The first tokens of a text."""
    count, documents = min(tokens, split.steps), split.documents
    return replace(
        _at(split, np.arange(count)),
        offsets=np.array([0, count]),
        documents=None if documents is None else documents[documents < count],
    )


def some(split: Split, count: int, steps: int) -> Split:
    """Sequences from the shortest to the longest, of each no more than its first steps."""
    places = np.unique(np.linspace(0, len(split.lengths) - 1, count).round().astype(int))
    chosen = np.argsort(split.lengths, kind="stable")[places]
    lengths = np.minimum(split.lengths[chosen], steps)
    starts = split.offsets[chosen]
    steps_of_all = [np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)]
    return replace(
        _at(split, np.concatenate(steps_of_all)),
        offsets=np.cumsum([0, *lengths]),
        targets=None if split.targets is None else split.targets[chosen],
    )


def _at(split: Split, places: np.ndarray) -> Split:
    """A split with some of its steps, whose sequences are still to be told."""
    names = ("tokens", "vectors", "labels", "groups", "contrasts")
    taken = {name: values[places] for name in names if (values := getattr(split, name)) is not None}
    return replace(split, **taken, spelling=split.spelling and _spelled(split.spelling, places))


def _spelled(spelling: Spelling, places: np.ndarray) -> Spelling:
    """The spelling of some words, without the forms that none of them has."""
    distinct, forms = np.unique(spelling.forms[places], return_inverse=True)
    parts = [spelling.characters[spelling.offsets[form] : spelling.offsets[form + 1]] for form in distinct]
    return Spelling(forms, np.cumsum([0, *map(len, parts)]), np.concatenate(parts))


def rows(batch: Batch, chosen: Tensor) -> Batch:
    """Some sequences of a batch, in the order asked for."""
    taken = {name: value[chosen] for name in PER_ROW if (value := getattr(batch, name)) is not None}
    window = batch.window
    if window is not None:
        fresh = None if window.fresh is None else window.fresh[chosen]
        window = window._replace(rows=len(chosen), left=window.left[chosen], fresh=fresh)
    return batch._replace(**taken, window=window)


def first_steps(batch: Batch, steps: int) -> Batch:
    """The same sequences, and no more of them than their first steps."""
    taken = {name: value[:, :steps] for name in PER_STEP if (value := getattr(batch, name)) is not None
             and value.dim() > 1}  # fmt: skip
    window = batch.window
    if window is not None:
        window = window._replace(carry=steps, fresh=None if window.fresh is None else window.fresh[:, :steps])
    return batch._replace(**taken, lengths=batch.lengths.clamp(max=steps), window=window)


def masked(batch: Batch, lengths: Tensor) -> Batch:
    """The same tensors of shorter sequences: what is masked off stays where it is."""
    mask = batch.mask & (torch.arange(batch.mask.shape[1]) < lengths[:, None])
    return batch._replace(lengths=lengths, mask=mask, window=batch.window and batch.window._replace(left=lengths))


def in_one_window(batch: Batch) -> Batch:
    """Whole sequences as the only window of themselves, so that the state behind them is kept."""
    if batch.window is not None:
        return batch
    return batch._replace(window=Window(True, batch.mask.shape[1], len(batch.mask), batch.lengths, None))


def padded(batch: Batch, more: int, spec: DataSpec, has_labels: bool, draw: torch.Generator | None) -> Batch:
    """The same sequences with more padding.

    Args:
        batch: whole sequences.
        more: steps, and characters of every word, to add.
        spec: sizes that the data decides.
        has_labels: whether targets are labels, not tokens.
        draw: of what all the padding is to hold; None to leave what is there, and to add what the loaders add.
    """
    extend = _Padding(batch.lengths, more, draw)
    blank, size = spec.padding_index, spec.vocabulary_size
    labels = (-1, spec.label_count) if has_labels else (blank, size)
    characters = batch.characters
    if characters is not None and batch.character_lengths is not None:
        spelled = _Padding(batch.character_lengths, more, draw)
        characters = spelled.of(characters, blank, spec.character_count)
    table = 0 if batch.characters is None else len(batch.characters)
    window = batch.window
    if window is not None and window.fresh is not None:
        window = window._replace(fresh=F.pad(window.fresh, (0, more)))
    return batch._replace(
        inputs=extend.of(batch.inputs, blank, size),
        targets=extend.of(batch.targets, *labels) if batch.targets.dim() > 1 else batch.targets,
        mask=F.pad(batch.mask, (0, more)),
        groups=None if batch.groups is None else F.pad(batch.groups, (0, more), value=-1),
        contrasts=None if batch.contrasts is None else F.pad(batch.contrasts, (0, more), value=-1),
        forms=None if batch.forms is None else extend.of(batch.forms, -1, table),
        characters=characters,
        window=window,
    )


class _Padding:
    """What stands behind the last steps of sequences.

    Args:
        lengths: of the sequences [B].
        more: steps to add.
        draw: of what it holds; None to leave what is there.
    """

    def __init__(self, lengths: Tensor, more: int, draw: torch.Generator | None) -> None:
        self.lengths, self.more, self.draw = lengths, more, draw

    def of(self, values: Tensor, blank: int, size: int) -> Tensor:
        """Longer sequences: [B, T, …] → [B, T + more, …]; blank, or drawn below ``size`` or from real numbers."""
        longer = F.pad(values, (0, 0) * (values.dim() - 2) + (0, self.more), value=blank if values.dim() == 2 else 0)
        if self.draw is None:
            return longer
        if values.is_floating_point():
            drawn = torch.randn(longer.shape, generator=self.draw, dtype=values.dtype) * 10
        else:
            drawn = torch.randint(0, size, longer.shape, generator=self.draw)
        beyond = torch.arange(longer.shape[1]) >= self.lengths[:, None]
        return torch.where(beyond.view(*beyond.shape, *[1] * (values.dim() - 2)), drawn, longer)
