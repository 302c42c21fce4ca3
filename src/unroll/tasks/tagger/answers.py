"""Network and answers of the tagging task."""

from __future__ import annotations

import torch
from torch import Tensor

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import WordEmbedding, Words
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.labels import LabelOutput
from unroll.tasks.answer import Labelled
from unroll.tasks.network import Blocks, TaskNetwork
from unroll.tasks.tagger.description import TaggerOptions


class TaggerNetwork(TaskNetwork):
    """Tagger: Collobert et al. 2011; bidirectional: Graves and Schmidhuber 2005.

    Args:
        encoder: features of every token; its ``inputs`` may be a ``WordEmbedding``, which reads characters.
        output: output layer over the features.
        spec: sizes that the data determines.

    Shapes:
        batch: ``inputs``: [B, T], labels: [B, T]
    """

    def __init__(self, encoder: SequenceEncoder | ConvolutionalEncoder, output: LabelOutput, spec: DataSpec) -> None:
        super().__init__(spec)
        self.encoder, self.output = encoder, output
        self.spelled: tuple[Tensor, Tensor] | None = None  # characters of a whole split, and their features

    def inputs(self, batch: Batch, remembers: bool) -> Tensor | Words:
        """Tokens, with their spelling if the encoder reads characters.

        Args:
            batch: the batch.
            remembers: whether to cache the features of the forms until :meth:`clear_cache`, for batches that share the
                table of forms of a whole split.
        """
        spelling = self.encoder.inputs
        tokens = batch.sequence("inputs").values
        if not isinstance(spelling, WordEmbedding):
            return tokens
        assert batch.spelling is not None
        forms, characters, lengths = batch.spelling
        table = None
        if remembers:
            if self.spelled is None or not torch.equal(self.spelled[0], characters):
                self.spelled = (characters, spelling.features(characters, lengths))
            table = self.spelled[1]
        return Words(tokens, forms, characters, lengths, table)

    def clear_cache(self) -> None:
        self.spelled = None

    def predict(self, batch: Batch) -> Tensor:
        lengths = batch.sequence("inputs").lengths
        return self.output.best(self.encoder.outputs(self.inputs(batch, remembers=True), lengths), lengths)

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Labelled:
        names = self.spec["labels"].names
        return Labelled(list(record["inputs"]), [names[n] for n in predicted.tolist()])


def build(blocks: Blocks, options: TaggerOptions) -> TaggerNetwork:
    """Build the network."""
    encoder = blocks.encoder()
    return TaggerNetwork(encoder, blocks.labels(encoder.output_size), blocks.spec)
