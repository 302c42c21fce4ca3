"""What a certificate is made on: a few sequences of the validation split, and batches of them of every kind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from unroll.config import Config
from unroll.data.batch import Batch, DataSpec, Padded, Part, Probed, Spelled, Window
from unroll.data.loader import ALL, Share
from unroll.data.prepared import Column, ProbeColumn, SpellingColumn, Split
from unroll.experiment.loading import evaluation_loader, loaders, reads_streams

SEQUENCES, STREAMS = 11, 5  # neither two processes nor three can share them evenly
STEPS = 100  # of a sequence, and about as many of a stream, so that a certificate takes seconds
BATCH = 5  # sequences of which the last batch has one: there is none for a second process


class Sample:
    """Eleven sequences of all lengths, or a text as five streams, in batches as the run's own loaders make them.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        split: what the sequences are taken from, at most 100 steps of each, or 503 tokens of a text.
    """

    def __init__(self, config: Config, spec: DataSpec, split: Split) -> None:
        self.config, self.spec, self.is_text = config, spec, reads_streams(config)
        self.split = beginning(split, STREAMS * STEPS + 3) if self.is_text else some(split, SEQUENCES, STEPS)
        inputs = self.split["inputs"]
        self.count = max(1, min(STREAMS, inputs.steps - 1)) if self.is_text else len(inputs.lengths)

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
    steps, begins = min(tokens, split["inputs"].steps), split["inputs"].begins
    starts = np.append(begins[begins < steps], steps)
    return replace(split, fields={role: _first(column, starts) for role, column in split.fields.items()})


def _first(column: Column, starts: np.ndarray) -> Column:
    """The steps of a text up to the last of some places, or the values of its records until then."""
    if column.offsets is None:
        return replace(column, values=column.values[: len(starts) - 1])
    return _at(column, np.arange(starts[-1]), starts)


def some(split: Split, count: int, steps: int) -> Split:
    """Records from the shortest to the longest, of each sequence no more than its first steps."""
    lengths = split["inputs"].lengths
    places = np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(int))
    chosen = np.argsort(lengths, kind="stable")[places]
    ends: dict[int, np.ndarray] = {}  # by the offsets that columns share, so that they share them again
    fields = {role: _chosen(column, chosen, steps, ends) for role, column in split.fields.items()}
    return replace(split, fields=fields)


def _chosen(column: Column, chosen: np.ndarray, steps: int, ends: dict[int, np.ndarray]) -> Column:
    """Some records of a column."""
    if column.offsets is None:
        return replace(column, values=column.values[chosen])
    lengths, starts = np.minimum(column.lengths[chosen], steps), column.offsets[chosen]
    places = np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    return _at(column, places, ends.setdefault(id(column.offsets), np.cumsum([0, *lengths])))


def _at(column: Column, places: np.ndarray, offsets: np.ndarray) -> Column:
    """A column with some of its steps."""
    if isinstance(column, SpellingColumn):
        return _spelled(column, places, offsets)
    if isinstance(column, ProbeColumn):
        return ProbeColumn(column.values[places], offsets, column.contrasts[places])
    return Column(column.values[places], offsets)


def _spelled(column: SpellingColumn, places: np.ndarray, offsets: np.ndarray) -> SpellingColumn:
    """The spelling of some words, without the forms that none of them has."""
    distinct, forms = np.unique(column.values[places], return_inverse=True)
    parts = [column.characters[column.form_offsets[form] : column.form_offsets[form + 1]] for form in distinct]
    return SpellingColumn(forms, offsets, np.cumsum([0, *map(len, parts)]), np.concatenate(parts))


def rows(batch: Batch, chosen: Tensor) -> Batch:
    """Some records of a batch, in the order asked for."""

    def taken(part: Part) -> Part:
        if isinstance(part, Spelled):
            return part._replace(forms=part.forms[chosen])
        return type(part)(*(values[chosen] for values in part)) if isinstance(part, tuple) else part[chosen]

    window = batch.window
    if window is not None:
        fresh = None if window.fresh is None else window.fresh[chosen]
        window = window._replace(rows=len(chosen), left=window.left[chosen], fresh=fresh)
    fields = {role: taken(part) for role, part in batch.fields.items()}
    return replace(batch, fields=fields, mask=batch.mask[chosen], window=window)


def first_steps(batch: Batch, steps: int) -> Batch:
    """The same sequences, and no more of them than their first steps."""

    def taken(part: Part) -> Part:
        match part:
            case Padded():
                return Padded(part.values[:, :steps], part.lengths.clamp(max=steps))
            case Probed():
                return Probed(part.groups[:, :steps], part.contrasts[:, :steps])
            case Spelled():
                return part._replace(forms=part.forms[:, :steps])
            case _:
                return part

    window = batch.window
    if window is not None:
        window = window._replace(carry=steps, fresh=None if window.fresh is None else window.fresh[:, :steps])
    fields = {role: taken(part) for role, part in batch.fields.items()}
    return replace(batch, fields=fields, mask=batch.mask[:, :steps], window=window)


def masked(batch: Batch, lengths: Tensor) -> Batch:
    """The same tensors of shorter sequences: what is masked off stays where it is."""
    mask = batch.mask & (torch.arange(batch.mask.shape[1]) < lengths[:, None])
    fields = {role: part._replace(lengths=lengths) if isinstance(part, Padded) else part
              for role, part in batch.fields.items()}  # fmt: skip
    return replace(batch, fields=fields, mask=mask, window=batch.window and batch.window._replace(left=lengths))


def in_one_window(batch: Batch) -> Batch:
    """Whole sequences as the only window of themselves, so that the state behind them is kept."""
    if batch.window is not None:
        return batch
    lengths = batch.sequence("inputs").lengths
    return replace(batch, window=Window(True, batch.mask.shape[1], len(batch.mask), lengths, None))


def padded(batch: Batch, more: int, spec: DataSpec, draw: torch.Generator | None) -> Batch:
    """The same sequences with more padding.

    Args:
        batch: whole sequences.
        more: steps, and characters of every word, to add.
        spec: sizes that the data decides, by role.
        draw: of what all the padding is to hold; None to leave what is there, and to add what the loaders add.
    """
    lengths = batch.sequence("inputs").lengths

    def extended(role: str, part: Part) -> Part:
        match part:
            case Padded():
                known = spec["inputs" if role == "targets" else role]
                longer = _Padding(part.lengths, more, draw).of(part.values, known.padding_index, known.size)
                return part._replace(values=longer)
            case Probed():
                return Probed(*(F.pad(values, (0, more), value=-1) for values in part))
            case Spelled():
                known = spec["spelling"]
                forms = _Padding(lengths, more, draw).of(part.forms, -1, len(part.characters))
                spelled = _Padding(part.lengths, more, draw)
                characters = spelled.of(part.characters, known.padding_index, known.size)
                return Spelled(forms, characters, part.lengths)
            case _:
                return part

    window = batch.window
    if window is not None and window.fresh is not None:
        window = window._replace(fresh=F.pad(window.fresh, (0, more)))
    fields = {role: extended(role, part) for role, part in batch.fields.items()}
    return replace(batch, fields=fields, mask=F.pad(batch.mask, (0, more)), window=window)


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
