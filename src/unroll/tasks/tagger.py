"""Tagging: tell the label of each token."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from unroll.data.batch import Batch, DataSpec
from unroll.data.vocabulary import Vocabulary
from unroll.networks.encoder import SequenceEncoder
from unroll.tasks.base import OptimizerFactory, Scores, Task


class Tagger(Task):
    """A softmax over labels at every token: Collobert et al. 2011; in both directions: Graves and Schmidhuber 2005.

    .. math:: P(y_t \\mid x) = \\mathrm{softmax}(h_t V + c)

    Args:
        encoder: features of every token.
        spec: sizes that the data decides.
        optimizer: see :class:`~unroll.tasks.base.Task`.
        budget: tokens to be read in training.

    Shapes:
        batch: inputs, mask: [B, T], targets: [B, T], −1 where padded or never seen in training
    """

    monitor, mode = "val/accuracy", "max"
    headline = "accuracy"

    def __init__(
        self, encoder: SequenceEncoder, spec: DataSpec, optimizer: OptimizerFactory | None, budget: int
    ) -> None:
        super().__init__(spec, optimizer, budget)
        self.encoder, self.head = encoder, nn.Linear(encoder.output_size, spec.label_count)

    def measure_names(self) -> tuple[str, ...]:
        return ("accuracy",)

    def scores(self, batch: Batch, evaluating: bool) -> Scores:
        logits = self.head(self.encoder.outputs(batch.inputs, batch.lengths))  # [B, T, K]
        losses = F.cross_entropy(logits.transpose(1, 2), batch.targets, ignore_index=-1, reduction="none")
        known = batch.targets >= 0
        if not evaluating:
            return Scores(losses, known, {}, None)
        right = logits.argmax(dim=-1) == batch.targets  # a label never seen in training is never right
        return Scores(losses, known, {"accuracy": (right, batch.mask)}, right)

    @torch.inference_mode()
    def predict_lines(self, lines: list[str], vocabulary: Vocabulary) -> list[Any]:
        """Tokens of each line with their labels; words stand between blanks."""
        answers = []
        for line in lines:
            tokens = vocabulary.split(line)
            labels: list[str] = []
            if tokens:
                inputs = torch.from_numpy(vocabulary.encode(tokens)).long()[None]
                logits = self.head(self.encoder.outputs(inputs, torch.tensor([len(tokens)])))
                labels = [vocabulary.labels[n] for n in logits[0].argmax(dim=-1).tolist()]
            answers.append({"tokens": tokens, "labels": labels})
        return answers
