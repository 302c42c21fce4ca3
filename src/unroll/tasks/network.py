"""Base class of the networks of tasks, and the blocks that they are built from."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import torch
from torch import Tensor, nn

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.networks.language import CountingNetwork
from unroll.networks.sampling import Sampling
from unroll.tasks.answer import Answer

if TYPE_CHECKING:
    from unroll.networks.convolutional import ConvolutionalEncoder
    from unroll.networks.encoder import SequenceEncoder
    from unroll.networks.encoder_decoder import EncoderDecoder
    from unroll.networks.labels import LabelOutput
    from unroll.networks.language import LanguageNetwork


class Blocks(Protocol):
    """The blocks of a network, built from the settings when a task asks for them.

    ``spec`` has the sizes that the data determines, by role.
    """

    spec: DataSpec

    def encoder(self) -> SequenceEncoder | ConvolutionalEncoder:
        """Features of every step."""

    def labels(self, feature_size: int) -> LabelOutput:
        """Output layer that predicts labels from features of a given size."""

    def language(self, tied: bool) -> LanguageNetwork:
        """Network that predicts the next token; if tied, its output matrix is the embedding."""

    def transducer(self, tied: bool, shared: bool) -> EncoderDecoder:
        """Network that writes targets; tied if its output matrix is the embedding, shared if sources have it too."""


class TaskNetwork(nn.Module, ABC):
    """The network of a task. A published run contains this network only.

    Args:
        spec: sizes that the data determines, by role.

    The network of a task that answers records implements :meth:`predict` and :meth:`answer`; that of a task that
    continues texts implements :meth:`generate`. That of a task that searches for its answers also implements
    :meth:`sample`, and reads three attributes: ``best`` is the number of answers per record, ``others`` are the other
    networks of an ensemble, and ``shows_attention`` says whether answers come with the weights of attention.
    """

    def __init__(self, spec: DataSpec) -> None:
        super().__init__()
        self.spec, self.best = spec, 1
        self.others: tuple[TaskNetwork, ...] = ()
        self.shows_attention = False

    @property
    def is_random(self) -> bool:
        """Whether figures depend on the seed."""
        return self.counting is None

    @property
    def attends(self) -> bool:
        """Whether the network has attention over the source of an answer."""
        return False

    @property
    def counting(self) -> CountingNetwork | None:
        """The part that is fitted by counting; None if the network is trained by gradient descent."""
        return next((part for part in self.children() if isinstance(part, CountingNetwork)), None)

    def precise(self, batch: Batch) -> Batch:
        """Convert a batch to the precision of the weights, as Lightning does in training."""
        weight = next(self.parameters(), None)
        if weight is None or weight.dtype != torch.float64:
            return batch
        return batch.map(lambda values: values.double() if values.is_floating_point() else values)

    def predict(self, batch: Batch) -> Tensor | Sequence[Any]:
        """Predict whole records; the batch may lack the predicted fields.

        Shapes:
            result: [B, T], undefined beyond the end of a record, or [B, …] if the loss counts records; a sequence of B
            values that :meth:`answer` understands, if an answer is a sequence of its own length
        """
        raise NotImplementedError(f"{type(self).__name__} predicts no batches")

    def sample(self, batch: Batch, sampling: Sampling, seeds: Sequence[int]) -> Sequence[Any]:
        """Draw an answer to each record, as :meth:`predict` searches for one.

        Args:
            batch: the records.
            sampling: the distribution from which symbols are drawn.
            seeds: a seed for each record.
        """
        raise NotImplementedError(f"{type(self).__name__} draws no answers")

    def answer(self, record: Record, predicted: Any, vocabulary: Vocabularies) -> Answer:
        """The answer for one record.

        Args:
            record: values of the record by role, as read from the file.
            predicted: row of the record in :meth:`predict`, cut to its length if it has a value per step.
            vocabulary: vocabularies of the run, by role.
        """
        raise NotImplementedError(f"{type(self).__name__} answers no records")

    def generate(
        self, prompts: Sequence[str], vocabulary: Vocabularies, length: int, seed: int, temperature: float, top_k: int,
        top_p: float,
    ) -> list[Answer]:  # fmt: skip
        """Continue texts.

        Args:
            prompts: start of each text; empty to start at the beginning of a sentence.
            vocabulary: vocabularies of the run, by role.
            length: number of tokens to add.
            seed: random seed of the first text; each further one has the next seed.
            temperature: divisor of the logits; 0 to choose the most likely token.
            top_k: number of most probable tokens from which the next one is drawn; 0 for all.
            top_p: probability of the most probable tokens from which the next one is drawn; 1 for all.

        Raises:
            BadInput: a number is not in its range, or the network predicts no token.
        """
        raise NotImplementedError(f"{type(self).__name__} continues no texts")

    def clear_cache(self) -> None:  # most networks have none
        """Discard what was computed from earlier batches or weights."""
