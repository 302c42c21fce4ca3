"""Batches, and the sizes that depend on the data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Union

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Padded(NamedTuple):
    """Sequences, or windows of them, padded at their ends.

    Shapes:
        values: [B, T] or [B, T, …], lengths: [B], each ≥ 1
    """

    values: Tensor
    lengths: Tensor


class Probed(NamedTuple):
    """Steps that are measured separately.

    Shapes:
        groups: [B, T] group of a probed step, −1 elsewhere
        contrasts: [B, T] symbol that a probed target must beat, −1 if it must beat all
    """

    groups: Tensor
    contrasts: Tensor


class Spelled(NamedTuple):
    """The spelling of words: each distinct form once, and the index of the form of each word.

    In training the forms are those of the batch; in evaluation those of the whole split, with the same two tensors in
    every batch, so that their features are computed only once.

    Shapes:
        forms: [B, T] row of ``characters`` with the spelling of a word, −1 for padding
        characters: [U, C] characters of each form, padded at their ends; lengths: [U], each ≥ 1
    """

    forms: Tensor
    characters: Tensor
    lengths: Tensor


class Window(NamedTuple):
    """How a window of longer sequences relates to those before and after it.

    Args:
        first: whether it is the first window of its sequences, so that no state is carried into it.
        carry: number of steps after which the state is passed to the next window.
        rows: number of sequences B, or 0 if a dummy row stands for an empty share.

    Shapes:
        left: [B] remaining steps of each sequence from the start of this window, 0 or less if it has ended
        fresh: [B, T] bool, true at the start of a new document, where the state is reset; None if there is none
    """

    first: bool
    carry: int
    rows: int
    left: Tensor
    fresh: Tensor | None


Part = Union[Padded, Probed, Spelled, "Tensor"]  # one field of a batch


@dataclass  # not frozen: Lightning sets fields of a copy when it converts the precision of tensors
class Batch:
    """A batch of records, field by field.

    Args:
        fields: fields by role; :class:`Padded` for sequences, a tensor [B, …] for one value per record.
        window: position of the window in its sequences; None for whole sequences.
        tokens: number of unmasked steps of the batch in all ranks.

    Shapes:
        mask: [B, T] bool, true where a step counts: not padding, and not already counted in an earlier window
    """

    fields: Mapping[str, Part]
    mask: Tensor
    window: Window | None
    tokens: int

    def sequence(self, name: str) -> Padded:
        """A field of sequences."""
        found = self.fields[name]
        assert isinstance(found, Padded)
        return found

    def single(self, name: str) -> Tensor:
        """A field of one value per record: [B, …]."""
        found = self.fields[name]
        assert not isinstance(found, tuple)
        return found

    @property
    def probe(self) -> Probed | None:
        """The probed steps; None if the corpus has no probe."""
        found = self.fields.get("probe")
        assert found is None or isinstance(found, Probed)
        return found

    @property
    def spelling(self) -> Spelled | None:
        """The spelling of the words; None if the network does not read it."""
        found = self.fields.get("spelling")
        assert found is None or isinstance(found, Spelled)
        return found

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Apply a function to all tensors."""
        fields = {
            name: type(part)(*map(change, part)) if isinstance(part, tuple) else change(part)
            for name, part in self.fields.items()
        }
        window = self.window
        if window is not None:
            fresh = None if window.fresh is None else change(window.fresh)
            window = window._replace(left=change(window.left), fresh=fresh)
        return replace(self, fields=fields, mask=change(self.mask), window=window)

    def to(self, device: torch.device, non_blocking: bool = False) -> Batch:
        """Move the batch to another device; called by Lightning."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class FieldSpec:
    """Sizes of a field, which come from the data and never from YAML.

    Args:
        size: number V of symbols or characters, including special ones; K of labels, categories or groups; width of
            frames.
        names: names of symbols, labels, categories or groups by number; empty for other kinds.
        unit: ``words``, ``characters`` or ``subwords``, for symbols.
        vector_size: size E of pretrained vectors, for symbols; 0 without vectors.
        scheme: ``bio`` for labels that mark spans; otherwise None.
        shape: C × H × W, for pictures.
        lowercase: whether words are converted to lower case, for symbols.
        padding_index: symbol, character or label (−1) that pads shorter sequences.
        unknown_index: symbol or character for everything outside the vocabulary.
    """

    size: int
    names: tuple[str, ...] = ()
    unit: str = ""
    vector_size: int = 0
    scheme: str | None = None
    shape: tuple[int, ...] = ()
    lowercase: bool = False
    padding_index: int = 0
    unknown_index: int = 1


DataSpec = Mapping[str, FieldSpec]
