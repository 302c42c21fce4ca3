"""What a network is given, and the sizes that data decides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Batch(NamedTuple):
    """Sequences side by side, padded at their ends.

    Shapes:
        inputs: [B, T] tokens or [B, T, I] vectors
        targets: [B, T] tokens or labels, or [B] numbers for one number per sequence
        lengths: [B], each ≥ 1
        mask: [B, T] bool, true where a step is real
        groups: [B, T] group of a probed step, −1 elsewhere; None where the corpus has no probe
        contrasts: [B, T] token that a probed target must beat, −1 where it must beat all; None as above
        first: whether the window begins the streams, so that no state may be carried into it
    """

    inputs: Tensor
    targets: Tensor
    lengths: Tensor
    mask: Tensor
    groups: Tensor | None
    contrasts: Tensor | None
    first: bool


@dataclass(frozen=True)
class DataSpec:
    """Sizes that come from the data, never from YAML.

    Args:
        vocabulary_size: V, special tokens included; 0 for real vectors.
        label_count: K; 0 where tokens carry no labels.
        input_size: width of a step of real vectors; 0 for tokens.
        padding_index: the token that fills the end of a shorter sequence.
        unknown_index: the token that stands for all that the training split does not have.
        groups: names of the groups of probed steps, in the order of their numbers.
        unit: ``words``, ``characters`` or ``steps``.
    """

    vocabulary_size: int
    label_count: int
    input_size: int
    padding_index: int
    unknown_index: int
    groups: tuple[str, ...]
    unit: str
