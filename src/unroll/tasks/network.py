"""What every network of a task shares: the blocks that it is built from, and what it predicts."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.tasks.answer import Answer

if TYPE_CHECKING:
    from unroll.networks.convolutional import ConvolutionalEncoder
    from unroll.networks.encoder import SequenceEncoder
    from unroll.networks.labels import LabelOutput
    from unroll.networks.language import LanguageNetwork


class Blocks(Protocol):
    """The blocks of a network as the settings have them, each built when a task asks for it.

    ``spec`` are the sizes that the data decides, by role.
    """

    spec: DataSpec

    def encoder(self) -> SequenceEncoder | ConvolutionalEncoder:
        """Features of every step."""

    def labels(self, feature_size: int) -> LabelOutput:
        """What predicts labels from features of a width."""

    def language(self, tied: bool) -> LanguageNetwork:
        """A network that predicts the next token; if tied, its output matrix is the embedding."""


class TaskNetwork(nn.Module, ABC):
    """A network that a task trains and that answers afterwards. A published run is this network alone.

    Args:
        spec: sizes that the data decides, by role.

    A task that answers records has :meth:`predict` and :meth:`answer`; one that continues texts has :meth:`generate`.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec = spec

    @property
    def is_random(self) -> bool:
        """Whether figures depend on the seed; a network that is counted says that they do not."""
        return not any(getattr(part, "is_deterministic", False) for part in self.children())

    def precise(self, batch: Batch) -> Batch:
        """Convert a batch to the precision of the weights, as Lightning does in training."""
        weight = next(self.parameters(), None)
        if weight is None or weight.dtype != torch.float64:
            return batch
        return batch.map(lambda values: values.double() if values.is_floating_point() else values)

    def predict(self, batch: Batch) -> Tensor:
        """Predict whole records; a batch may lack the fields that are predicted.

        Shapes:
            result: [B, T], undefined beyond a record's end, or [B, …] where the loss counts records
        """
        raise NotImplementedError(f"{type(self).__name__} predicts no batches")

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Answer:
        """The answer for one record.

        Args:
            record: its values by role, as they were read.
            predicted: its row of :meth:`predict`, cut to the length of the record where it has a value per step.
            vocabulary: of the run, by role.
        """
        raise NotImplementedError(f"{type(self).__name__} answers no records")

    def generate(self, prompt: str, vocabulary: Vocabularies, length: int, temperature: float, seed: int) -> Answer:
        """Continue a text.

        Args:
            prompt: beginning of the text; empty to begin where a sentence does.
            vocabulary: of the run, by role.
            length: tokens to add.
            temperature: divides the logits: below 1 the likely becomes likelier; 0 takes the likeliest.
            seed: of the draws.
        """
        raise NotImplementedError(f"{type(self).__name__} continues no texts")

    def forget(self) -> None:  # most networks keep nothing
        """Forget what was computed from earlier batches or weights."""
