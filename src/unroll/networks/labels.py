"""Output layers that predict the labels of a sequence: independently, jointly, or one after the other."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells.base import CellState
from unroll.networks.crf import LinearChainCRF
from unroll.networks.recurrent import CellFactory
from unroll.networks.restrictions import Restrictions
from unroll.networks.scan import outputs
from unroll.networks.schemes import constraints
from unroll.networks.search import search


class LabelOutput(nn.Module, ABC):
    """Output layer that predicts a label for each step.

    Shapes:
        features: [B, T, F], targets: [B, T] labels, −1 where a label is unknown, lengths: [B]; finite values beyond the
        length of a sequence have no effect
    """

    @abstractmethod
    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihoods [B, T], and the mask [B, T] of the tokens that count."""

    @abstractmethod
    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        """Most likely labels, [B, T], undefined beyond the length of a sequence."""


class SoftmaxOutput(LabelOutput):
    """A softmax at every token, independent of the other labels: Collobert et al., JMLR 2011, section 3.3.1.

    .. math:: P(y_t \\mid x) = \\mathrm{softmax}(h_t V + c)

    Args:
        feature_size: size F of the features.
        label_count: number of labels K.
    """

    def __init__(self, feature_size: int, label_count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, label_count)

    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return _independent(self.linear(features), targets, lengths)

    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.linear(features)
        return logits.argmax(dim=-1)


class CRFOutput(LabelOutput):
    """Joint prediction of all labels: Huang, Xu, Yu 2015; see :class:`~unroll.networks.crf.LinearChainCRF`.

    Args:
        feature_size: size F of the features.
        labels: names of the labels, in the order of their indices.
        scheme: ``bio`` or ``bioes`` to forbid the transitions that the scheme forbids; None to allow all.
    """

    def __init__(self, feature_size: int, labels: Sequence[str], scheme: str | None) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, len(labels))
        self.crf = LinearChainCRF(len(labels), constraints(labels, scheme) if scheme else None)

    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        real = _real(targets, lengths)
        whole = self.crf(self.linear(features), targets, lengths)  # [B]
        # the loss of a sequence is distributed evenly over its tokens, so that their mean is the loss per token
        return (whole / lengths)[:, None].expand(real.shape), real

    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        labels: Tensor = self.crf.viterbi(self.linear(features), lengths)[0]
        return labels


class FeedbackOutput(LabelOutput):
    """Output connections, which feed back the previous label (Jordan 1986), with teacher forcing in training
    (Williams and Zipser 1989) and beam search in prediction.

    .. math::
        s_t = \\mathrm{cell}([h_t; E_{y_{t-1}}], s_{t-1}), \\qquad
        P(y_t \\mid y_{<t}, x) = \\mathrm{softmax}(s_t V + c)

    Args:
        feature_size: size F of the features.
        label_count: number of labels K.
        embedding_size: size of the label embeddings.
        cell: constructs the cell that reads features and labels.
        hidden_size: hidden size H of that cell.
        beam: beam width; 1 for greedy search.

    An additional label precedes the first one and replaces unknown previous labels.
    """

    def __init__(
        self, feature_size: int, label_count: int, embedding_size: int, cell: CellFactory, hidden_size: int, beam: int
    ) -> None:
        super().__init__()
        self.label_count, self.beam = label_count, beam
        self.embedding = nn.Embedding(label_count + 1, embedding_size)
        self.cell = cell(feature_size + embedding_size, hidden_size)
        self.linear = nn.Linear(hidden_size, label_count)

    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        nothing = torch.full_like(targets[:, :1], self.label_count)
        before = torch.cat([nothing, targets[:, :-1]], dim=1)
        before = before.masked_fill(before < 0, self.label_count)
        read = torch.cat([features, self.embedding(before)], dim=-1)  # [B, T, F + E]
        logits = self.linear(outputs(self.cell, read, lengths, self.cell.initial_state(len(features))))  # [B, T, K]
        return _independent(logits, targets, lengths)

    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        return self.search(features, lengths)[0][:, 0]

    def search(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Most likely label sequences found by beam search, best first.

        Shapes:
            labels: [B, W, T] of a beam of width W, scores: [B, W], their log-probabilities; −∞ if there are fewer

        Raises:
            BadInput: a sequence is empty.
        """
        first = torch.full_like(lengths, self.label_count)
        found = search([_Labelling(self, features)], first, None, Restrictions(lengths), self.beam, self.beam)
        return F.pad(found.symbols, (0, features.shape[1] - found.symbols.shape[2])), found.scores


class _Place(NamedTuple):
    """Where the search of labels is.

    Shapes:
        rows: [N], row of the features that each hypothesis reads; steps: [N], the step that is read next;
        cell: [N, H] each
    """

    rows: Tensor
    steps: Tensor
    cell: CellState


class _Labelling:
    """Output connections as the search reads them: a label before, the features of a step, and the state."""

    def __init__(self, output: FeedbackOutput, features: Tensor) -> None:
        self.output, self.features = output, features

    def start(self) -> _Place:
        rows = torch.arange(len(self.features), device=self.features.device)
        return _Place(rows, torch.zeros_like(rows), self.output.cell.initial_state(len(rows)))

    def step(self, previous: Tensor, state: _Place) -> tuple[Tensor, _Place]:
        read = torch.cat([self.features[state.rows, state.steps], self.output.embedding(previous)], dim=-1)
        output, cell = self.output.cell(read, state.cell)
        logits = self.output.linear(output)
        likely = logits.log_softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))
        return likely, _Place(state.rows, state.steps + 1, cell)


def _independent(logits: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of each known label, [B, T] of logits [B, T, K], and the mask of those."""
    known = _real(targets, lengths) & (targets >= 0)
    targets = targets.masked_fill(~known, -1)
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1, reduction="none"), known


def _real(targets: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(targets.shape[1], device=targets.device) < lengths[:, None]  # [B, T]
