"""Cloze: tell each token from all others of its sequence."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.data.batch import Batch, DataSpec
from unroll.data.fields import Record
from unroll.data.vocabularies import Vocabularies
from unroll.metrics import exp
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import ClozeNetwork, TokenOutput
from unroll.tasks.answer import Labelled
from unroll.tasks.base import Blocks, OptimizerFactory, Scores, Task
from unroll.tasks.cloze.description import DESCRIPTION


class Cloze(Task):
    """A gap at every token in turn: Taylor 1953; pseudo-perplexity: Salazar et al., ACL 2020.

    .. math:: L = -\\frac{1}{N} \\sum_t \\ln P(w_t \\mid w_{\\ne t}), \\qquad \\text{pseudo-perplexity} = e^L

    Args:
        network: tells every token from the others.
        spec: sizes that the data decides.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: tokens to be read in training.

    Shapes:
        batch: ``inputs``, mask: [B, T]

    What is told from both sides is no perplexity of a text: its probabilities do not multiply to one over all texts.
    """

    description = DESCRIPTION
    derived_from: ClassVar[dict[str, str]] = {"pseudo_perplexity": "loss"}

    def __init__(self, network: ClozeNetwork, spec: DataSpec, optimizer: OptimizerFactory | None, budget: int) -> None:
        super().__init__(spec, optimizer, budget)
        self.network = network

    def measure_names(self) -> tuple[str, ...]:
        return ("accuracy",)

    def derived(self, metrics: dict[str, float]) -> dict[str, float]:
        return {"pseudo_perplexity": exp(metrics["loss"])}

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        inputs, lengths = batch.sequence("inputs")
        logits = self.network(inputs, lengths)  # [B, T, V]
        losses = F.cross_entropy(logits.transpose(1, 2), inputs, reduction="none")
        if not evaluating:
            return Scores(losses, batch.mask, {}, None)
        told = logits.argmax(dim=-1)
        right = told == inputs
        return Scores(losses, batch.mask, {"accuracy": (right, batch.mask)}, right, told)

    def predict(self, batch: Batch) -> Tensor:
        """The token that the others make likeliest in each place, which is neither padding nor the unknown one."""
        logits: Tensor = self.network(*batch.sequence("inputs"))  # [B, T, V]
        logits[..., [self.spec["inputs"].padding_index, self.spec["inputs"].unknown_index]] = -torch.inf
        return logits.argmax(dim=-1)

    def answer(self, record: Record, predicted: Tensor, vocabulary: Vocabularies) -> Labelled:
        """Tokens, each with the likeliest in its place."""
        symbols = vocabulary.symbols("inputs").symbols
        return Labelled(list(record["inputs"]), [symbols[n] for n in predicted.tolist()])


def build(blocks: Blocks, optimizer: OptimizerFactory, budget: int, tied: bool) -> Cloze:
    """The task and its network."""
    encoder, spec = blocks.encoder(), blocks.spec
    assert isinstance(encoder, SequenceEncoder)  # checked with the settings
    shared = encoder.inputs if tied and isinstance(encoder.inputs, nn.Embedding) else None
    output = TokenOutput(encoder.output_size, spec["inputs"].size, shared)
    return Cloze(ClozeNetwork(encoder, output), spec, optimizer, budget)
