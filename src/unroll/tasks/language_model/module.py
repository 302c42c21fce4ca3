"""LightningModule of the language model task."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from unroll.data.batch import Batch
from unroll.metrics import exp
from unroll.tasks.base import Scores, Task
from unroll.tasks.language_model.answers import LanguageModelNetwork
from unroll.tasks.language_model.description import DESCRIPTION


class LanguageModel(Task):
    """Language model on windows of parallel streams, across which the state is carried: Mikolov et al. 2010.

    .. math:: L = -\\frac{1}{N} \\sum_t \\ln P(w_{t+1} \\mid w_{\\le t}), \\qquad \\text{perplexity} = e^L

    Shapes:
        batch: ``inputs``, ``targets``, mask: [B, T]
    """

    description = DESCRIPTION
    derived_from: ClassVar[dict[str, str]] = {
        "perplexity": "loss", "perplexity_known": "loss_known", "bits_per_character": "loss",
    }  # fmt: skip
    network: LanguageModelNetwork

    def measure_names(self) -> tuple[str, ...]:
        return ("loss_known",)

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        figures = {name.replace("loss", "perplexity"): exp(metrics[name]) for name in ("loss", "loss_known")}
        if self.spec["inputs"].unit == "characters":
            figures["bits_per_character"] = metrics["loss"] / math.log(2)
        return figures

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        network = self.network.network
        features = self.carried.read(network, batch.sequence("inputs").values, batch, self.training)
        targets = batch.sequence("targets").values  # [B, T]
        losses = network.losses(features.flatten(0, 1), targets.flatten()).view_as(targets)
        if not evaluating:
            return Scores(losses, batch.mask, {}, None)
        known = batch.mask & (targets != self.spec["inputs"].unknown_index)
        return Scores(losses, batch.mask, {"loss_known": (losses, known)}, self._wins(features, batch))

    def _wins(self, features: Tensor, batch: Batch) -> Tensor | None:
        """Whether each probed target is more likely than its contrast or, without one, all other tokens: [B, T]."""
        if batch.probe is None:
            return None
        probed = batch.probe.groups >= 0
        logits = self.network.network.logits(features[probed])  # [P, V], of the P probed positions only
        target = batch.sequence("targets").values[probed][:, None]  # [P, 1]
        contrast = batch.probe.contrasts[probed]  # [P]
        others = logits.scatter(1, target, -math.inf).amax(dim=1)
        rival = torch.where(contrast >= 0, logits.gather(1, contrast.clamp(min=0)[:, None]).squeeze(1), others)
        wins = torch.zeros_like(batch.mask)
        wins[probed] = logits.gather(1, target).squeeze(1) > rival
        return wins
