"""LightningModule of the regression task."""

from __future__ import annotations

from unroll.data.batch import Batch
from unroll.networks.encoder import SequenceEncoder
from unroll.tasks.base import Scores, Task
from unroll.tasks.regressor.answers import RegressorNetwork
from unroll.tasks.regressor.description import DESCRIPTION


class Regressor(Task):
    """Regression with the squared error.

    .. math:: L = \\frac{1}{N} \\sum (\\hat y - y)^2

    Shapes:
        batch: ``inputs``: [B, T, I], ``target``: [B]
    """

    description = DESCRIPTION
    network: RegressorNetwork

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        encoder = self.network.encoder
        inputs, lengths = batch.sequence("inputs")
        if batch.window is None:
            summary = encoder.summary(inputs, lengths)
            ends = batch.mask.any(dim=1)
        else:
            assert isinstance(encoder, SequenceEncoder)
            features = self.carried.read(encoder, inputs, batch, self.training)
            summary = encoder.read_out(features, lengths)
            ends = batch.mask.any(dim=1) & (batch.window.left <= batch.mask.shape[1])
        predicted = self.network.number(summary)
        return Scores((predicted - batch.single("target")) ** 2, ends, {}, None, predicted)
