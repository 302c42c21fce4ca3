"""Training and scores of a cloze task."""

from __future__ import annotations

from typing import ClassVar

from torch.nn import functional as F

from unroll.data.batch import Batch
from unroll.metrics import exp
from unroll.tasks.base import Scores, Task
from unroll.tasks.cloze.answers import ClozeTaskNetwork
from unroll.tasks.cloze.description import DESCRIPTION


class Cloze(Task):
    """Trains the prediction of every token from the others; pseudo-perplexity: Salazar et al., ACL 2020.

    .. math:: L = -\\frac{1}{N} \\sum_t \\ln P(w_t \\mid w_{\\ne t}), \\qquad \\text{pseudo-perplexity} = e^L

    Shapes:
        batch: ``inputs``, mask: [B, T]

    What is predicted from both sides has no perplexity: its probabilities do not multiply to one over all texts.
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
        logits = self.network.network(inputs, lengths)  # [B, T, V]
        losses = F.cross_entropy(logits.transpose(1, 2), inputs, reduction="none")
        if not evaluating:
            return Scores(losses, batch.mask, {}, None)
        told = logits.argmax(dim=-1)
        right = told == inputs
        return Scores(losses, batch.mask, {"accuracy": (right, batch.mask)}, right, told)
