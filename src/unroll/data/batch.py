"""What a network is given, and the sizes that data decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Window(NamedTuple):
    """What a window of longer sequences says of those before and after it.

    Args:
        first: whether it begins its sequences, so that no state may be carried into it.
        carry: steps after which the state is the one that the next window begins with.
        rows: sequences B, or 0 where one stands for an empty share.

    Shapes:
        left: [B] steps that each sequence has from the beginning of this window on, 0 or less where it has ended
        fresh: [B, T] bool, true where a new document begins, before which the state is forgotten; None where nowhere
    """

    first: bool
    carry: int
    rows: int
    left: Tensor
    fresh: Tensor | None


class Batch(NamedTuple):
    """Sequences side by side, padded at their ends, or windows of them.

    Where words are spelled, each distinct form of U is spelled once, and ``forms`` tells which one a word has. In
    training they are the distinct forms of the batch; in evaluation those of the whole split, the same two tensors in
    every batch, so that what a network makes of them is made once.

    Shapes:
        inputs: [B, T] tokens or [B, T, I] vectors
        targets: [B, T] tokens or labels, or [B] numbers for one number per sequence
        lengths: [B], each ≥ 1
        mask: [B, T] bool, true where a step is real, and not read in an earlier window already
        groups: [B, T] group of a probed step, −1 elsewhere; None where the corpus has no probe
        contrasts: [B, T] token that a probed target must beat, −1 where it must beat all; None as above
        forms: [B, T] row of ``characters`` that spells a word, −1 where padded; None where words are not spelled
        characters: [U, C] characters of each form, padded at their ends; None as above
        character_lengths: [U], each ≥ 1; None as above
        window: where in its sequences this window lies; None for whole sequences
        tokens: steps that the masks of this batch hold, in all ranks that share it
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
    mask: Tensor
    groups: Tensor | None
    contrasts: Tensor | None
    forms: Tensor | None
    characters: Tensor | None
    character_lengths: Tensor | None
    window: Window | None
    tokens: int


@dataclass(frozen=True)
class DataSpec:
    """Sizes that come from the data, never from YAML.

    Args:
        vocabulary_size: V, special tokens included; 0 for real vectors.
        labels: every label in the order of its number; empty where tokens carry none.
        input_size: width of a step of real vectors; 0 for tokens.
        padding_index: the token, and the character, that fills the end of what is shorter.
        unknown_index: the token, and the character, that stands for all that is not in the vocabulary.
        groups: names of the groups of probed steps, in the order of their numbers.
        unit: ``words``, ``characters`` or ``steps``.
        character_count: number of characters that spell words, special ones included; 0 where words are not spelled.
        vector_size: width E of the pretrained vectors; 0 without them.
        scheme: ``bio`` if labels tell spans, as ``O``, ``B-…`` and ``I-…``; else None.
    """

    vocabulary_size: int
    labels: tuple[str, ...]
    input_size: int
    padding_index: int
    unknown_index: int
    groups: tuple[str, ...]
    unit: str
    character_count: int
    vector_size: int
    scheme: str | None

    @property
    def label_count(self) -> int:
        """Number of labels K."""
        return len(self.labels)
