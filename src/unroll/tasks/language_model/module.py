"""Language modelling: predict each next token."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from unroll.data.batch import Batch, DataSpec
from unroll.data.vocabularies import Vocabularies
from unroll.metrics import exp
from unroll.networks.language import LanguageNetwork
from unroll.tasks.base import Blocks, OptimizerFactory, Scores, Task
from unroll.tasks.language_model.answers import Continuation
from unroll.tasks.language_model.description import DESCRIPTION


class LanguageModel(Task):
    """Windows of parallel streams with the state carried from one to the next: Mikolov et al. 2010.

    .. math:: L = -\\frac{1}{N} \\sum_t \\ln P(w_{t+1} \\mid w_{\\le t}), \\qquad \\text{perplexity} = e^L

    Args:
        network: embedding, recurrence and output layer, or an n-gram model.
        spec: sizes that the data decides.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: tokens to be read in training.

    Shapes:
        batch: ``inputs``, ``targets``, mask: [B, T]
    """

    description = DESCRIPTION
    derived_from: ClassVar[dict[str, str]] = {
        "perplexity": "loss", "perplexity_known": "loss_known", "bits_per_character": "loss",
    }  # fmt: skip

    def __init__(
        self, network: LanguageNetwork, spec: DataSpec, optimizer: OptimizerFactory | None, budget: int
    ) -> None:
        super().__init__(spec, optimizer, budget)
        self.network = network

    def measure_names(self) -> tuple[str, ...]:
        return ("loss_known",)

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        figures = {name.replace("loss", "perplexity"): exp(metrics[name]) for name in ("loss", "loss_known")}
        if self.spec["inputs"].unit == "characters":
            figures["bits_per_character"] = metrics["loss"] / math.log(2)
        return figures

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        features = self.carried.read(self.network, batch.sequence("inputs").values, batch, self.training)
        targets = batch.sequence("targets").values  # [B, T]
        losses = self.network.losses(features.flatten(0, 1), targets.flatten()).view_as(targets)
        if not evaluating:
            return Scores(losses, batch.mask, {}, None)
        known = batch.mask & (targets != self.spec["inputs"].unknown_index)
        return Scores(losses, batch.mask, {"loss_known": (losses, known)}, self._beats(features, batch))

    def _beats(self, features: Tensor, batch: Batch) -> Tensor | None:
        """Whether each probed target beats its contrast, or all other tokens where it has none: [B, T]."""
        if batch.probe is None:
            return None
        probed = batch.probe.groups >= 0
        logits = self.network.logits(features[probed])  # [P, V], of the P probed places alone
        target = batch.sequence("targets").values[probed][:, None]  # [P, 1]
        contrast = batch.probe.contrasts[probed]  # [P]
        others = logits.scatter(1, target, -math.inf).amax(dim=1)
        rival = torch.where(contrast >= 0, logits.gather(1, contrast.clamp(min=0)[:, None]).squeeze(1), others)
        beats = torch.zeros_like(batch.mask)
        beats[probed] = logits.gather(1, target).squeeze(1) > rival
        return beats

    @torch.inference_mode()
    def generate(
        self, prompt: str, vocabulary: Vocabularies, length: int, temperature: float, seed: int
    ) -> Continuation:
        """Continue a text.

        Args:
            prompt: what it begins with; empty to begin where a sentence does.
            vocabulary: of this model.
            length: tokens to add.
            temperature: divides the logits: below 1 the likely becomes likelier; 0 takes the likeliest.
            seed: of the draws.
        """
        draw = torch.Generator().manual_seed(seed)
        symbols = vocabulary.symbols("inputs")
        numbers = symbols.encode(symbols.split(prompt)).tolist() or [symbols.start]
        state, inputs, added, total = self.network.initial_state(1), torch.tensor([numbers]), [], 0.0
        for _ in range(length):
            features, state = self.network(inputs, torch.tensor([inputs.shape[1]]), state)
            logits = self.network.logits(features[:, -1])[0].double()  # [V]
            logits[[self.spec["inputs"].padding_index, self.spec["inputs"].unknown_index]] = -math.inf
            if temperature > 0:
                token = int(torch.multinomial(torch.softmax(logits / temperature, 0), 1, generator=draw))
            else:
                token = int(logits.argmax())
            total += float(torch.log_softmax(logits, 0)[token])
            added.append(token)
            inputs = torch.tensor([[token]])
        return Continuation(prompt, symbols.join(added), total / max(length, 1), symbols.unit)


def build(blocks: Blocks, optimizer: OptimizerFactory, budget: int, tied: bool) -> LanguageModel:
    """The task and its network."""
    return LanguageModel(blocks.language(tied), blocks.spec, optimizer, budget)
