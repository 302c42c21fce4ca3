"""Precision, recall and F1 of spans such as named entities."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from unroll.data.vocabulary import GAP_INDEX
from unroll.errors import BadInput


class SpanF1(Metric):
    """Precision, recall and F1 of spans in BIO labels (IOB2), over all types.

    .. math:: P = \\frac{\\text{found}}{\\text{predicted}}, \\qquad R = \\frac{\\text{found}}{\\text{gold}},
              \\qquad F_1 = \\frac{2 P R}{P + R}

    A predicted span is found if a gold span has the same start, end and type: Tjong Kim Sang, CoNLL 2002. Invalid
    sequences are read as in ``conlleval`` and the default mode of ``seqeval``: an ``I-X`` at the start, after ``O`` or
    after a span of another type starts a span. Figures with denominator 0 are 0.

    Args:
        labels: ``B-…``, ``I-…`` and mostly ``O``, in the order of their indices; spans of one type may have ``B`` and
            ``I`` alone.

    Shapes:
        predicted, targets: [B, T], lengths: [B]

    Raises:
        BadInput: a label does not belong to the scheme.

    A target of −1 is a label that does not occur in the training split. It is not ``O``, so it counts as a gold span
    that is never found, or as part of one. It continues a preceding span of type X unless ``I-X`` is a known label, and
    an ``I-X`` continues it unless ``B-X`` is a known label, since it then has another type. Two such labels in a row
    are assumed to be one span. A target of −2 is not given: no span reaches across it.
    """

    full_state_update = False
    found: Tensor
    predicted: Tensor
    gold: Tensor
    kinds: Tensor  # [K + 1] type of each label
    joins: Tensor  # [K + 1, K + 1] whether the second label continues the span of the first

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        for label in labels:
            if label != "O" and not re.fullmatch(r"[BI](-.+)?", label):
                raise BadInput(f"{label!r} is not a BIO label; give O, B-TYPE or I-TYPE.")
        if "O" not in labels:
            labels = [*labels, "O"]  # which nothing has, as in word segmentation, but padding
        kinds = sorted({label[1:] for label in labels if label != "O"})
        names = [*labels, None]  # the unknown label is last, at index −1
        self.outside = labels.index("O")
        kind = torch.tensor([kinds.index(name[1:]) if name and name != "O" else len(kinds) for name in names])
        joins = torch.tensor([[_continues(left, right, labels) for right in names] for left in names])
        self.register_buffer("kinds", kind, persistent=False)
        self.register_buffer("joins", joins, persistent=False)
        for name in ("found", "predicted", "gold"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Count the spans of a batch."""
        found, spans, gold = self.by_row(predicted, targets, lengths)
        self.found += found.sum()
        self.predicted += spans.sum()
        self.gold += gold.sum()

    def by_row(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Numbers of found, predicted and gold spans in each row: [B] each."""
        is_given = targets != GAP_INDEX  # [B, T]; where no label is given, nothing is counted
        predicted, targets = (torch.where(is_given, labels, self.outside) for labels in (predicted, targets))
        spans, gold = self._spans(predicted, lengths), self._spans(targets, lengths)
        row = len(self.kinds) * predicted.numel() * predicted.shape[1]  # difference between the numbers of two rows
        parts = (spans[torch.isin(spans, gold)], spans, gold)
        found, spans, gold = (torch.bincount(part // row, minlength=len(predicted)) for part in parts)
        return found, spans, gold

    def compute(self) -> dict[str, Tensor]:
        """``precision``, ``recall`` and ``f1`` of all batches."""
        found = self.found.double()
        return {
            "precision": found / self.predicted.clamp(min=1),
            "recall": found / self.gold.clamp(min=1),
            "f1": 2 * found / (self.predicted + self.gold).clamp(min=1),
        }

    def _spans(self, labels: Tensor, lengths: Tensor) -> Tensor:
        """All spans of [B, T] labels, each as a number that encodes its start, end and type: [N]."""
        real = torch.arange(labels.shape[1], device=labels.device) < lengths[:, None]  # [B, T]
        labels = torch.where(real, labels, self.outside)
        joined = self.joins[labels[:, :-1], labels[:, 1:]]  # [B, T − 1]
        starts, ends = labels != self.outside, labels != self.outside
        starts[:, 1:] &= ~joined
        ends[:, :-1] &= ~joined
        # spans do not overlap, so the n-th start and the n-th end belong together
        first, last = (bounds.flatten().nonzero().squeeze(1) for bounds in (starts, ends))
        return (first * labels.numel() + last) * len(self.kinds) + self.kinds[labels.flatten()[first]]


def _continues(left: str | None, right: str | None, labels: Sequence[str]) -> bool:
    """Whether ``right`` continues the span of ``left``; None is an unknown label."""
    if left == "O" or right == "O" or (right or "").startswith("B"):
        return False
    if right is None:
        return left is None or f"I{left[1:]}" not in labels
    if left is None:
        return f"B{right[1:]}" not in labels
    return left[1:] == right[1:]
