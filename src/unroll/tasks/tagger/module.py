"""Tagging: tell the label of each token."""

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
from unroll.tasks.base import Blocks, OptimizerFactory, Scores, Task
from unroll.tasks.tagger.description import DESCRIPTION
from unroll.tasks.tagger.spans import SpanF1


class Tagger(Task):
    """Labels of tokens: Collobert et al. 2011; in both directions: Graves and Schmidhuber 2005.

    Args:
        encoder: features of every token; its ``inputs`` may be a ``WordEmbedding``, which spells words.
        output: tells labels from features.
        spec: sizes that the data decides; with a scheme, spans are measured too.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: tokens to be read in training.

    Shapes:
        batch: ``inputs``, mask: [B, T], ``labels``: [B, T], −1 where padded or never seen in training
    """

    description = DESCRIPTION

    def __init__(
        self,
        encoder: SequenceEncoder | ConvolutionalEncoder,
        output: LabelOutput,
        spec: DataSpec,
        optimizer: OptimizerFactory | None,
        budget: int,
    ) -> None:
        super().__init__(spec, optimizer, budget)
        self.encoder, self.output = encoder, output
        self.spans = SpanF1(spec["labels"].names) if spec["labels"].scheme else None
        self.spelled: tuple[Tensor, Tensor] | None = None  # in one evaluation: a split's characters, their features

    def measure_names(self) -> tuple[str, ...]:
        return ("accuracy",)

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        inputs, lengths = self._inputs(batch, evaluating), batch.sequence("inputs").lengths
        targets = batch.sequence("labels").values  # [B, T]
        if batch.window is None:
            features = self.encoder.outputs(inputs, lengths)
        else:
            assert isinstance(self.encoder, SequenceEncoder)
            features = self.carried.read(self.encoder, inputs, batch, self.training)
        losses, mask = self.output.losses(features, targets, lengths)
        mask = mask & batch.mask
        if not evaluating:
            return Scores(losses, mask, {}, None)
        told = self.output.best(features, lengths)
        if self.spans is not None:
            self.spans.update(told, targets, batch.mask.sum(dim=1))
        right = told == targets.masked_fill(targets < 0, -2)  # a label never seen in training: never right
        return Scores(losses, mask, {"accuracy": (right, batch.mask)}, right, told)

    def _inputs(self, batch: Batch, evaluating: bool) -> Tensor | Words:
        """Tokens, with their spelling where the encoder reads it: that of a split's forms once in an evaluation."""
        spelling, tokens = self.encoder.inputs, batch.sequence("inputs").values
        if not isinstance(spelling, WordEmbedding):
            return tokens
        assert batch.spelling is not None
        forms, characters, lengths = batch.spelling
        table = None
        if evaluating:
            if self.spelled is None or not torch.equal(self.spelled[0], characters):
                self.spelled = (characters, spelling.features(characters, lengths))
            table = self.spelled[1]
        return Words(tokens, forms, characters, lengths, table)

    def on_validation_epoch_start(self) -> None:
        """Forget the last evaluation, and what was spelled with the weights of then."""
        super().on_validation_epoch_start()
        self.spelled = None
        if self.spans is not None:
            self.spans.reset()

    def metrics(self) -> dict[str, float]:
        self.spelled = None
        spans = {} if self.spans is None else {name: float(value) for name, value in self.spans.compute().items()}
        return super().metrics() | spans

    def parts(self, scores: Scores, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        if self.spans is None:
            return super().parts(scores, batch)
        assert scores.told is not None
        found, told, true = self.spans.by_row(scores.told, batch.sequence("labels").values, batch.mask.sum(dim=1))
        spans = {"precision": (found, told), "recall": (found, true), "f1": (2 * found, told + true)}
        return super().parts(scores, batch) | spans

    def items(self) -> dict[str, int]:
        if self.spans is None:
            return super().items()
        gold = int(self.spans.gold)
        return super().items() | {"precision": int(self.spans.predicted), "recall": gold, "f1": gold}

    def predict(self, batch: Batch) -> Tensor:
        lengths = batch.sequence("inputs").lengths
        return self.output.best(self.encoder.outputs(self._inputs(batch, evaluating=True), lengths), lengths)

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Labelled:
        names = self.spec["labels"].names
        return Labelled(list(record["inputs"]), [names[n] for n in predicted.tolist()])


def build(blocks: Blocks, optimizer: OptimizerFactory, budget: int) -> Tagger:
    """The task and its network."""
    encoder = blocks.encoder()
    return Tagger(encoder, blocks.labels(encoder.output_size), blocks.spec, optimizer, budget)
