"""Memories: what is left of a source for a decoder to read, be it a sequence, a category or a vector."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from unroll.errors import no_such
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import Words
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.readout import READOUTS


class Memory(NamedTuple):
    """What is left of a source.

    Shapes:
        features: [B, S, F] of every step, with any value beyond the length of a source; lengths: [B], each ≥ 1;
        summary: [B, C] of the whole source
    """

    features: Tensor
    lengths: Tensor
    summary: Tensor


class SequenceMemory(nn.Module):
    """Memory of a sequence: the features of an encoder, and a summary of them.

    With the summary ``final`` it is the encoder of Sutskever, Vinyals, Le, NeurIPS 2014; its features are the
    annotations of Bahdanau, Cho, Bengio, ICLR 2015, section 3.2.

    Args:
        encoder: recurrent network of any cell, directions and layers, or convolutional network.
        summary: how to reduce the features to one vector, one of ``unroll.networks.readout.READOUTS``. A convolutional
            network has no direction, so that its ``final`` features are its last ones.

    Shapes:
        inputs: [B, S] tokens or [B, S, I] vectors, or another type that the encoder accepts; lengths: [B];
        features: [B, S, F], summary: [B, F]

    Raises:
        BadInput: there is no such summary.

    Vectors beyond the length of a source may have any value, even NaN; zeros replace them before the encoder, since a
    gradient of zero times NaN is NaN.
    """

    def __init__(self, encoder: SequenceEncoder | ConvolutionalEncoder, summary: str) -> None:
        super().__init__()
        if summary not in READOUTS:
            raise no_such("summary of a source", summary, READOUTS)
        self.encoder = encoder
        self.feature_size = self.summary_size = encoder.output_size
        self.summary = summary
        self.direction_size = (
            encoder.recurrent.hidden_size if isinstance(encoder, SequenceEncoder) else encoder.output_size
        )

    def forward(self, inputs: Tensor | Words, lengths: Tensor) -> Memory:
        """Read sources."""
        if isinstance(inputs, Tensor) and inputs.is_floating_point():
            padding = torch.arange(inputs.shape[1], device=inputs.device) >= lengths[:, None]  # [B, S]
            inputs = inputs.masked_fill(padding[..., None], 0.0)
        features = self.encoder.outputs(inputs, lengths)
        return Memory(features, lengths, READOUTS[self.summary](features, lengths, self.direction_size))


class CategoryMemory(nn.Module):
    """Memory of a category: its embedding, as the only step and as the summary.

    Args:
        category_count: number of categories K.
        size: size F of the embedding.

    Shapes:
        categories: [B], features: [B, 1, F], summary: [B, F]
    """

    def __init__(self, category_count: int, size: int) -> None:
        super().__init__()
        self.feature_size = self.summary_size = size
        self.embedding = nn.Embedding(category_count, size)

    def forward(self, categories: Tensor) -> Memory:
        """Read categories."""
        return of_vectors(self.embedding(categories))


class VectorMemory(nn.Module):
    """Memory of a vector, as the only step and as the summary: Vinyals et al., "Show and Tell", CVPR 2015.

    Args:
        size: size F of the vectors.

    Shapes:
        vectors: [B, F], features: [B, 1, F], summary: [B, F]
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.feature_size = self.summary_size = size

    def forward(self, vectors: Tensor) -> Memory:
        """Read vectors."""
        return of_vectors(vectors)


def of_vectors(vectors: Tensor) -> Memory:
    """A memory of one step: [B, F]."""
    return Memory(vectors[:, None], torch.ones(len(vectors), dtype=torch.long, device=vectors.device), vectors)


MEMORIES: dict[str, type[nn.Module]] = {
    "sequence": SequenceMemory, "category": CategoryMemory, "vector": VectorMemory,
}  # fmt: skip
