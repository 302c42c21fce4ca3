"""LightningModule of the tagging task."""

from __future__ import annotations

from torch import Tensor

from unroll.data.batch import Batch
from unroll.data.vocabulary import GAP_INDEX
from unroll.networks.encoder import SequenceEncoder
from unroll.tasks.base import OptimizerFactory, Scores, Task
from unroll.tasks.tagger.answers import TaggerNetwork
from unroll.tasks.tagger.description import DESCRIPTION, TaggerOptions
from unroll.tasks.tagger.spans import SpanF1


class Tagger(Task):
    """Tagging; with a labelling scheme, spans are measured too.

    Args:
        network: the tagger.
        options: settings of the task.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: training budget in tokens.

    Shapes:
        batch: ``inputs``, mask: [B, T], ``labels``: [B, T], −1 for padding and labels that do not occur in training,
        −2 for labels that are not given, which no figure counts
    """

    description = DESCRIPTION
    network: TaggerNetwork

    def __init__(
        self, network: TaggerNetwork, options: TaggerOptions, optimizer: OptimizerFactory | None, budget: int
    ) -> None:
        super().__init__(network, options, optimizer, budget)
        labels = self.spec["labels"]
        self.spans = SpanF1(labels.names) if labels.scheme else None

    def measure_names(self) -> tuple[str, ...]:
        return ("accuracy",)

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        network = self.network
        lengths = batch.sequence("inputs").lengths
        inputs = network.inputs(batch, remembers=evaluating)
        targets = batch.sequence("labels").values  # [B, T]
        if batch.window is None:
            features = network.encoder.outputs(inputs, lengths)
        else:
            assert isinstance(network.encoder, SequenceEncoder)
            features = self.carried.read(network.encoder, inputs, batch, self.training)
        losses, mask = network.output.losses(features, targets, lengths)
        counted = batch.mask & (targets != GAP_INDEX)
        mask = mask & counted
        if not evaluating:
            return Scores(losses, mask, {}, None)
        predicted = network.output.best(features, lengths)
        if self.spans is not None:
            self.spans.update(predicted, targets, batch.mask.sum(dim=1))
        correct = predicted == targets.masked_fill(targets < 0, -2)  # a label unseen in training is always wrong
        return Scores(losses, mask, {"accuracy": (correct, counted)}, correct, predicted, counted)

    def on_validation_epoch_start(self) -> None:
        super().on_validation_epoch_start()
        if self.spans is not None:
            self.spans.reset()

    def metrics(self) -> dict[str, float]:
        spans = {} if self.spans is None else {name: float(value) for name, value in self.spans.compute().items()}
        return super().metrics() | spans

    def parts(self, scores: Scores, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
        if self.spans is None:
            return super().parts(scores, batch)
        assert scores.predicted is not None
        found, predicted, gold = self.spans.by_row(
            scores.predicted, batch.sequence("labels").values, batch.mask.sum(dim=1)
        )
        spans = {"precision": (found, predicted), "recall": (found, gold), "f1": (2 * found, predicted + gold)}
        return super().parts(scores, batch) | spans

    def items(self) -> dict[str, int]:
        if self.spans is None:
            return super().items()
        gold = int(self.spans.gold)
        return super().items() | {"precision": int(self.spans.predicted), "recall": gold, "f1": gold}
