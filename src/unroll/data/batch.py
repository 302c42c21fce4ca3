"""What a network is given, and the sizes that data decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple, Union

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Padded(NamedTuple):
    """Sequences side by side, padded at their ends, or windows of them.

    Shapes:
        values: [B, T] or [B, T, …], lengths: [B], each ≥ 1
    """

    values: Tensor
    lengths: Tensor


class Probed(NamedTuple):
    """Which steps are measured apart.

    Shapes:
        groups: [B, T] group of a probed step, −1 elsewhere
        contrasts: [B, T] symbol that a probed target must beat, −1 where it must beat all
    """

    groups: Tensor
    contrasts: Tensor


class Spelled(NamedTuple):
    """The spelling of words: each distinct form once, and which one each word has.

    In training the forms are the distinct ones of the batch; in evaluation those of the whole split, the same two
    tensors in every batch, so that their features are computed once.

    Shapes:
        forms: [B, T] row of ``characters`` that spells a word, −1 where padded
        characters: [U, C] characters of each form, padded at their ends; lengths: [U], each ≥ 1
    """

    forms: Tensor
    characters: Tensor
    lengths: Tensor


class Window(NamedTuple):
    """How a window of longer sequences relates to those before and after it.

    Args:
        first: whether it begins its sequences, so that no state may be carried into it.
        carry: steps after which the state is the one that the next window begins with.
        rows: sequences B, or 0 where one stands for an empty share.

    Shapes:
        left: [B] steps that each sequence has from the beginning of this window on, 0 or less where it has ended
        fresh: [B, T] bool, true where a new document begins, before which the state is reset; None where nowhere
    """

    first: bool
    carry: int
    rows: int
    left: Tensor
    fresh: Tensor | None


Part = Union[Padded, Probed, Spelled, "Tensor"]  # one field of a batch


@dataclass  # not frozen: Lightning sets the fields of a copy where it changes the precision of tensors
class Batch:
    """Some records of a split, field by field.

    Args:
        fields: of a sequence :class:`Padded`, of one value per record a tensor [B, …]; by role.
        window: where in its sequences this window lies; None for whole sequences.
        tokens: steps that the masks of this batch hold, in all ranks that share it.

    Shapes:
        mask: [B, T] bool, true where a step counts: it is real, and was not read in an earlier window already
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
        """Steps measured apart; None where the corpus has no probe."""
        found = self.fields.get("probe")
        assert found is None or isinstance(found, Probed)
        return found

    @property
    def spelling(self) -> Spelled | None:
        """How words are spelled; None where the network does not read it."""
        found = self.fields.get("spelling")
        assert found is None or isinstance(found, Spelled)
        return found

    def map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """The same batch with every tensor changed."""
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
        """The same batch on another device, as Lightning asks for it."""
        return self.map(lambda tensor: tensor.to(device, non_blocking=non_blocking))


@dataclass(frozen=True)
class FieldSpec:
    """Sizes of a field, which come from the data, never from YAML.

    Args:
        size: V symbols or characters, special ones included; K labels, categories or groups; the width of a frame.
        names: every label, category or group in the order of its number; empty for other kinds.
        unit: of symbols, ``words`` or ``characters``.
        vector_size: of symbols, the width E of their pretrained vectors; 0 without them.
        scheme: of labels, ``bio`` if they mark spans; else None.
        shape: of pictures, C × H × W.
        padding_index: the symbol, character or label (−1) that fills the end of a shorter sequence.
        unknown_index: of symbols and characters, the one that stands for all that are not in the vocabulary.
    """

    size: int
    names: tuple[str, ...] = ()
    unit: str = ""
    vector_size: int = 0
    scheme: str | None = None
    shape: tuple[int, ...] = ()
    padding_index: int = 0
    unknown_index: int = 1


DataSpec = Mapping[str, FieldSpec]
