"""LightningModule of the cloze task."""

from __future__ import annotations

from typing import ClassVar

from unroll.data.batch import Batch
from unroll.metrics import exp
from unroll.tasks.base import Scores, Task
from unroll.tasks.cloze.answers import ClozeTaskNetwork
from unroll.tasks.cloze.description import DESCRIPTION


class Cloze(Task):
    """Cloze task, with pseudo-perplexity: Salazar et al., ACL 2020.

    .. math:: L = -\\frac{1}{N} \\sum_t \\ln P(w_t \\mid w_{\\ne t}), \\qquad \\text{pseudo-perplexity} = e^L

    Shapes:
        batch: ``inputs``, mask: [B, T]

    A prediction from both sides has no perplexity: the products of its probabilities do not sum to one over all texts.
    """

    description = DESCRIPTION
    derived_from: ClassVar[dict[str, str]] = {"pseudo_perplexity": "loss"}
    network: ClozeTaskNetwork

    def measure_names(self) -> tuple[str, ...]:
        return ("accuracy",)

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        return {"pseudo_perplexity": exp(metrics["loss"])}

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        inputs, lengths = batch.sequence("inputs")
        network = self.network.network
        features = network.features(inputs, lengths)  # [B, T, F]
        losses = network.losses(features, inputs, batch.mask)  # [B, T]
        if not evaluating:
            return Scores(losses, batch.mask, {}, None)
        predicted = network.likeliest(features)
        correct = predicted == inputs
        return Scores(losses, batch.mask, {"accuracy": (correct, batch.mask)}, correct, predicted)
