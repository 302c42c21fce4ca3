"""Network and answers of the regression task."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.metrics import shown
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.encoder import SequenceEncoder
from unroll.tasks.answer import Answer
from unroll.tasks.network import Blocks, TaskNetwork
from unroll.tasks.regressor.description import RegressorOptions


@dataclass(frozen=True)
class Prediction(Answer):
    """A number.

    Args:
        prediction: the number, in the unit of the corpus.
    """

    prediction: float

    def values(self) -> list[str]:
        return [repr(self.prediction)]

    def __str__(self) -> str:
        return shown(self.prediction)


class RegressorNetwork(TaskNetwork):
    """Linear regression on the summary vector of a sequence: Hochreiter and Schmidhuber 1997, section 5.4.

    .. math:: \\hat y = h_T v + c

    Args:
        encoder: reduces a sequence to one vector.
        spec: sizes that the data determines.

    Shapes:
        batch: ``inputs``: [B, T, I], predictions: [B]
    """

    def __init__(self, encoder: SequenceEncoder | ConvolutionalEncoder, spec: DataSpec) -> None:
        super().__init__(spec)
        self.encoder = encoder
        self.head = nn.Linear(encoder.output_size, 1)

    def number(self, summary: Tensor) -> Tensor:
        """The number of each sequence: [B, F] → [B]."""
        prediction: Tensor = self.head(summary)
        return prediction.squeeze(1)

    def predict(self, batch: Batch) -> Tensor:
        return self.number(self.encoder.summary(*batch.sequence("inputs")))

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Prediction:
        return Prediction(float(predicted))


def build(blocks: Blocks, options: RegressorOptions) -> RegressorNetwork:
    """Build the network."""
    return RegressorNetwork(blocks.encoder(), blocks.spec)
