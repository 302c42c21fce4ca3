"""Spans such as named entities, told by labels of single tokens, and how many of them are found."""

from __future__ import annotations

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torchmetrics import Metric

from unroll.errors import BadInput


class SpanF1(Metric):
    """Precision, recall and F1 of whole spans in BIO labels (IOB2), over all types together.

    .. math:: P = \\frac{\\text{found}}{\\text{predicted}}, \\qquad R = \\frac{\\text{found}}{\\text{gold}},
              \\qquad F_1 = \\frac{2 P R}{P + R}

    A predicted span is found if a gold one has the same start, end and type: Tjong Kim Sang, CoNLL 2002. What breaks
    the scheme is read as ``conlleval`` and the default mode of ``seqeval`` read it: an ``I-X`` at the start, after
    ``O`` or after a span of another type begins a span. A figure that divides by nothing is 0.

    Args:
        labels: ``O``, ``B-…`` and ``I-…`` in the order of their numbers.

    Shapes:
        predicted, targets: [B, T], lengths: [B]

    Raises:
        BadInput: a label is none of the scheme, or ``O`` is missing.

    A target of −1 hides a label that the training split does not have. It is not ``O``, so it counts as a gold span
    that is never found, or as a part of one: it goes on with a span of type X before it unless ``I-X`` is a known
    label, and an ``I-X`` goes on with it unless ``B-X`` is one, for then it hides another type. Two such labels side by
    side are taken for one span, which is all that is guessed here.
    """

    full_state_update = False
    found: Tensor
    predicted: Tensor
    gold: Tensor
    kinds: Tensor  # [K + 1] type of each label
    joins: Tensor  # [K + 1, K + 1] whether the second label goes on with the first one's span

    def __init__(self, labels: Sequence[str]) -> None:
        super().__init__()
        for label in labels:
            if label != "O" and not re.fullmatch(r"[BI]-.+", label):
                raise BadInput(f"{label!r} is no BIO label; give O, B-TYPE or I-TYPE.")
        if "O" not in labels:
            raise BadInput("No token of the training split has the label O, so spans cannot be told from the rest; "
                           "correct the labels or leave the scheme out.")  # fmt: skip
        kinds = sorted({label[2:] for label in labels if label != "O"})
        names = [*labels, None]  # the hidden label stands last, where −1 finds it
        self.outside = labels.index("O")
        kind = torch.tensor([kinds.index(name[2:]) if name and name != "O" else len(kinds) for name in names])
        joins = torch.tensor([[_continues(left, right, labels) for right in names] for left in names])
        self.register_buffer("kinds", kind, persistent=False)
        self.register_buffer("joins", joins, persistent=False)
        for name in ("found", "predicted", "gold"):
            self.add_state(name, torch.zeros((), dtype=torch.int64), dist_reduce_fx="sum")

    def update(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> None:
        """Count the spans of a batch."""
        found, told, true = self.by_row(predicted, targets, lengths)
        self.found += found.sum()
        self.predicted += told.sum()
        self.gold += true.sum()

    def by_row(self, predicted: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Spans that are found, predicted and true in each row: [B] each."""
        told, true = self._spans(predicted, lengths), self._spans(targets, lengths)
        row = len(self.kinds) * predicted.numel() * predicted.shape[1]  # what the numbers of the next row are larger by
        parts = (told[torch.isin(told, true)], told, true)
        found, told, true = (torch.bincount(part // row, minlength=len(predicted)) for part in parts)
        return found, told, true

    def compute(self) -> dict[str, Tensor]:
        """``precision``, ``recall`` and ``f1`` of all that was counted."""
        found = self.found.double()
        return {
            "precision": found / self.predicted.clamp(min=1),
            "recall": found / self.gold.clamp(min=1),
            "f1": 2 * found / (self.predicted + self.gold).clamp(min=1),
        }

    def _spans(self, labels: Tensor, lengths: Tensor) -> Tensor:
        """Every span of [B, T] labels as one number, made of its first place, its last and its type: [N]."""
        real = torch.arange(labels.shape[1], device=labels.device) < lengths[:, None]  # [B, T]
        labels = torch.where(real, labels, self.outside)
        joined = self.joins[labels[:, :-1], labels[:, 1:]]  # [B, T − 1]
        starts, ends = labels != self.outside, labels != self.outside
        starts[:, 1:] &= ~joined
        ends[:, :-1] &= ~joined
        # spans do not overlap, so that the n-th start and the n-th end belong together
        first, last = (places.flatten().nonzero().squeeze(1) for places in (starts, ends))
        return (first * labels.numel() + last) * len(self.kinds) + self.kinds[labels.flatten()[first]]


def _continues(left: str | None, right: str | None, labels: Sequence[str]) -> bool:
    """Whether ``right`` goes on with the span that ``left`` is in; None is a label that is hidden."""
    if left == "O" or right == "O" or (right or "").startswith("B-"):
        return False
    if right is None:
        return left is None or f"I-{left[2:]}" not in labels
    if left is None:
        return f"B-{right[2:]}" not in labels
    return left[2:] == right[2:]
