"""Network and answers of the cloze task."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import ClozeNetwork
from unroll.networks.output import TokenOutput
from unroll.tasks.answer import Labelled
from unroll.tasks.cloze.description import ClozeOptions
from unroll.tasks.network import Blocks, TaskNetwork


class ClozeTaskNetwork(TaskNetwork):
    """Predicts each token from the others: Taylor 1953.

    Args:
        network: bidirectional language model.
        spec: sizes that the data determines.

    Shapes:
        batch: ``inputs``: [B, T], tokens: [B, T]
    """

    def __init__(self, network: ClozeNetwork, spec: DataSpec) -> None:
        super().__init__(spec)
        self.network = network

    def predict(self, batch: Batch) -> Tensor:
        """The most likely token at each position, excluding padding and the unknown token."""
        logits: Tensor = self.network(*batch.sequence("inputs"))  # [B, T, V]
        logits[..., [self.spec["inputs"].padding_index, self.spec["inputs"].unknown_index]] = -torch.inf
        return logits.argmax(dim=-1)

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Labelled:
        """Each token with the most likely token at its position."""
        symbols = vocabulary.symbols("inputs").symbols
        return Labelled(list(record["inputs"]), [symbols[n] for n in predicted.tolist()])


def build(blocks: Blocks, options: ClozeOptions) -> ClozeTaskNetwork:
    """Build the network."""
    encoder = blocks.encoder()
    spec = blocks.spec
    assert isinstance(encoder, SequenceEncoder)  # checked with the settings
    shared = encoder.inputs if options.tied and isinstance(encoder.inputs, nn.Embedding) else None
    output = TokenOutput(encoder.output_size, spec["inputs"].size, shared)
    return ClozeTaskNetwork(ClozeNetwork(encoder, output), spec)
