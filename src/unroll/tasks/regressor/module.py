"""Regression: tell one number for each sequence."""

from __future__ import annotations

from torch import Tensor, nn

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.encoder import SequenceEncoder
from unroll.tasks.base import Blocks, OptimizerFactory, Scores, Task
from unroll.tasks.regressor.answers import Prediction
from unroll.tasks.regressor.description import DESCRIPTION


class Regressor(Task):
    """A number read off what stands for a sequence, as its final states: Hochreiter and Schmidhuber 1997, section 5.4.

    .. math:: \\hat y = h_T v + c, \\qquad L = \\frac{1}{N} \\sum (\\hat y - y)^2

    Args:
        encoder: features of every step, and by its readout one vector of the whole sequence.
        spec: sizes that the data decides.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: steps to be read in training.

    Shapes:
        batch: ``inputs``: [B, T, I], ``target``: [B]
    """

    description = DESCRIPTION

    def __init__(
        self,
        encoder: SequenceEncoder | ConvolutionalEncoder,
        spec: DataSpec,
        optimizer: OptimizerFactory | None,
        budget: int,
    ) -> None:
        super().__init__(spec, optimizer, budget)
        self.encoder, self.head = encoder, nn.Linear(encoder.output_size, 1)

    def _predict(self, summary: Tensor) -> Tensor:
        prediction: Tensor = self.head(summary)
        return prediction.squeeze(1)  # [B]

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        inputs, lengths = batch.sequence("inputs")
        if batch.window is None:
            summary, ends = self.encoder.summary(inputs, lengths), batch.mask.any(dim=1)
        else:
            assert isinstance(self.encoder, SequenceEncoder)
            features = self.carried.read(self.encoder, inputs, batch, self.training)
            width = self.encoder.recurrent.hidden_size
            summary = self.encoder.readout(features, lengths, width)
            ends = batch.mask.any(dim=1) & (batch.window.left <= batch.mask.shape[1])
        told = self._predict(summary)
        return Scores((told - batch.single("target")) ** 2, ends, {}, None, told)

    def predict(self, batch: Batch) -> Tensor:
        return self._predict(self.encoder.summary(*batch.sequence("inputs")))

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Prediction:
        return Prediction(float(predicted))


def build(blocks: Blocks, optimizer: OptimizerFactory, budget: int) -> Regressor:
    """The task and its network."""
    return Regressor(blocks.encoder(), blocks.spec, optimizer, budget)
