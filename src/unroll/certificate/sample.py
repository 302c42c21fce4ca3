"""The sample that a certificate is based on: a few sequences of the validation split, batched in many ways."""

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

SEQUENCES, STREAMS = 11, 5  # not divisible by two or three processes
STEPS = 100  # per sequence or stream, so that a certificate takes seconds
BATCH = 5  # sequences; the last batch has a single one, which leaves none for a second process


class CheckedSample:
    """Eleven sequences of all lengths, or a text as five streams, batched by the run's own loaders.

    Args:
        config: settings of the run.
        spec: sizes determined by the data.
        split: source of the sequences, of which at most 100 steps each are used, or 503 tokens of a text.
    """

    def __init__(self, config: Config, spec: DataSpec, split: Split) -> None:
        self.config = config
        self.spec = spec
        self.is_text = reads_streams(config)
        self.lead = config.task.description.lengths[0]
        split = split.without(*config.task.description.scoring)
        self.split = beginning(split, STREAMS * STEPS + 3) if self.is_text else some(split, self.lead, SEQUENCES, STEPS)
        counted = self.split[self.lead]
        self.count = max(1, min(STREAMS, counted.steps - 1)) if self.is_text else len(counted.lengths)

    def whole(self) -> Batch:
        """All rows in one batch, without windows."""
        (batch,) = self.training(self.count, None)
        return batch

    @property
    def window(self) -> tuple[int, int | None] | None:
        """Length and stride of the run's windows; None if it has none."""
        settings = self.config.training
        return (settings.truncation_length, settings.truncation_stride) if settings.truncation_length else None

    def training(self, size: int, window: tuple[int, int | None] | None, share: Share = ALL) -> list[Batch]:
        """Batches of a training epoch, in windows of length k and stride s, or whole without a window."""
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
    """The first ``tokens`` tokens of a text."""
    steps = min(tokens, split["inputs"].steps)
    begins = split["inputs"].begins
    starts = np.append(begins[begins < steps], steps)
    return replace(split, fields={role: _first(column, starts) for role, column in split.fields.items()})


def _first(column: Column, starts: np.ndarray) -> Column:
    """A column cut to the steps up to the last of ``starts``, or to the values of the records before it."""
    if column.offsets is None:
        return replace(column, values=column.values[: len(starts) - 1])
    return _at(column, np.arange(starts[-1]), starts)


def some(split: Split, by: str, count: int, steps: int) -> Split:
    """``count`` records from the shortest to the longest of a role, each cut to its first ``steps`` steps."""
    lengths = split[by].lengths
    places = np.unique(np.linspace(0, len(lengths) - 1, count).round().astype(int))
    chosen = np.argsort(lengths, kind="stable")[places]
    ends: dict[int, np.ndarray] = {}  # by id of the old offsets, so that columns continue to share them
    fields = {role: _chosen(column, chosen, steps, ends) for role, column in split.fields.items()}
    return replace(split, fields=fields)


def _chosen(column: Column, chosen: np.ndarray, steps: int, ends: dict[int, np.ndarray]) -> Column:
    """Selected records of a column."""
    if column.offsets is None:
        return replace(column, values=column.values[chosen])
    lengths = np.minimum(column.lengths[chosen], steps)
    starts = column.offsets[chosen]
    places = np.concatenate([np.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])
    return _at(column, places, ends.setdefault(id(column.offsets), np.cumsum([0, *lengths])))


def _at(column: Column, places: np.ndarray, offsets: np.ndarray) -> Column:
    """Selected steps of a column."""
    if isinstance(column, SpellingColumn):
        return _spelled(column, places, offsets)
    if isinstance(column, ProbeColumn):
        return ProbeColumn(column.values[places], offsets, column.contrasts[places])
    return Column(column.values[places], offsets)


def _spelled(column: SpellingColumn, places: np.ndarray, offsets: np.ndarray) -> SpellingColumn:
    """Spellings of selected words, reduced to the forms in use."""
    distinct, forms = np.unique(column.values[places], return_inverse=True)
    parts = [column.characters[column.form_offsets[form] : column.form_offsets[form + 1]] for form in distinct]
    return SpellingColumn(forms, offsets, np.cumsum([0, *map(len, parts)]), np.concatenate(parts))


def rows(batch: Batch, chosen: Tensor) -> Batch:
    """Selected rows of a batch, in the given order."""

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


def first_steps(batch: Batch, lead: str, steps: int) -> Batch:
    """The batch cut to its first steps of a role; sequences of other lengths stay whole."""
    whole = batch.sequence(lead).lengths

    def taken(part: Part) -> Part:
        match part:
            case Padded() if torch.equal(part.lengths, whole):
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


def masked(batch: Batch, lead: str, lengths: Tensor) -> Batch:
    """The batch with shorter lengths of a role; masked values stay in the tensors, and other sequences whole."""
    whole = batch.sequence(lead).lengths
    mask = batch.mask & (torch.arange(batch.mask.shape[1]) < lengths[:, None])
    fields = {
        role: part._replace(lengths=lengths) if isinstance(part, Padded) and torch.equal(part.lengths, whole) else part
        for role, part in batch.fields.items()
    }
    return replace(batch, fields=fields, mask=mask, window=batch.window and batch.window._replace(left=lengths))


def in_one_window(batch: Batch, lead: str) -> Batch:
    """Whole sequences as a single window, so that their final state is kept."""
    if batch.window is not None:
        return batch
    lengths = batch.sequence(lead).lengths
    return replace(batch, window=Window(True, batch.mask.shape[1], len(batch.mask), lengths, None))


def padded(batch: Batch, more: int, spec: DataSpec, draw: torch.Generator | None) -> Batch:
    """The batch with more padding.

    Args:
        batch: whole sequences.
        more: number of steps, and of characters per word, to add.
        spec: sizes determined by the data, by role.
        draw: generator of random content for all padding; None to pad as the loaders do.
    """

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
                forms = _Padding(batch.sequence("inputs").lengths, more, draw).of(part.forms, -1, len(part.characters))
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
    """Padding of sequences.

    Args:
        lengths: lengths of the sequences [B].
        more: steps to add.
        draw: generator of random content; None for blanks.
    """

    def __init__(self, lengths: Tensor, more: int, draw: torch.Generator | None) -> None:
        self.lengths, self.more, self.draw = lengths, more, draw

    def of(self, values: Tensor, blank: int, size: int) -> Tensor:
        """Pad values, [B, T, …] → [B, T + more, …], with blanks, random integers below ``size`` or random floats."""
        longer = F.pad(values, (0, 0) * (values.dim() - 2) + (0, self.more), value=blank if values.dim() == 2 else 0)
        if self.draw is None:
            return longer
        if values.is_floating_point():
            drawn = torch.randn(longer.shape, generator=self.draw, dtype=values.dtype) * 10
        else:
            drawn = torch.randint(0, size, longer.shape, generator=self.draw)
        beyond = torch.arange(longer.shape[1]) >= self.lengths[:, None]
        return torch.where(beyond.view(*beyond.shape, *[1] * (values.dim() - 2)), drawn, longer)
