"""Labels of the tokens of a sequence, told from their features: one by one, together, or each from the one before."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.networks.crf import LinearChainCRF
from unroll.networks.recurrent import CellFactory
from unroll.networks.scan import outputs
from unroll.networks.schemes import constraints


class LabelOutput(nn.Module, ABC):
    """What stands between the features of tokens and their labels.

    Shapes:
        features: [B, T, F], targets: [B, T] labels, −1 where a label is not known, lengths: [B]; what features and
        targets hold beyond a sequence's length changes nothing, as long as it is finite
    """

    @abstractmethod
    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Negative log-likelihoods [B, T], and the mask [B, T] of the tokens that they stand for."""

    @abstractmethod
    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        """The likeliest labels, [B, T]; beyond a sequence's length they are undefined."""


class SoftmaxOutput(LabelOutput):
    """A softmax at every token, whatever its neighbours are: Collobert et al., JMLR 2011, section 3.3.1.

    .. math:: P(y_t \\mid x) = \\mathrm{softmax}(h_t V + c)

    Args:
        feature_size: width F.
        label_count: K.
    """

    def __init__(self, feature_size: int, label_count: int) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, label_count)

    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        return _one_by_one(self.linear(features), targets, lengths)

    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.linear(features)
        return logits.argmax(dim=-1)


class CRFOutput(LabelOutput):
    """All labels of a sequence together: Huang, Xu, Yu 2015; see :class:`~unroll.networks.crf.LinearChainCRF`.

    Args:
        feature_size: width F.
        labels: names of the labels, in the order of their numbers.
        scheme: ``bio`` or ``bioes`` to forbid what the scheme does; None to forbid nothing.
    """

    def __init__(self, feature_size: int, labels: Sequence[str], scheme: str | None) -> None:
        super().__init__()
        self.linear = nn.Linear(feature_size, len(labels))
        self.crf = LinearChainCRF(len(labels), constraints(labels, scheme) if scheme else None)

    def losses(self, features: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        real = _real(targets, lengths)
        whole = self.crf(self.linear(features), targets, lengths)  # [B]
        # the loss of a sequence, spread evenly, so that the mean over tokens is the mean per token
        return (whole / lengths)[:, None].expand(real.shape), real

    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        labels: Tensor = self.crf.viterbi(self.linear(features), lengths)[0]
        return labels


class FeedbackOutput(LabelOutput):
    """Output connections: the label before, embedded, is fed to the step: Jordan 1986; trained on the true label
    before ("teacher forcing": Williams and Zipser 1989), told by beam search.

    .. math::
        s_t = \\mathrm{cell}([h_t; E_{y_{t-1}}], s_{t-1}), \\qquad
        P(y_t \\mid y_{<t}, x) = \\mathrm{softmax}(s_t V + c)

    Args:
        feature_size: width F.
        label_count: K.
        embedding_size: width of the embedding of a label.
        cell: makes the cell that reads features and labels.
        hidden_size: width H of that cell.
        beam: label sequences that are kept at each step of the search; 1 is greedy.

    One more label stands before the first one, and where the label before is not known.
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
        told = self.linear(outputs(self.cell, read, lengths, self.cell.initial_state(len(features))))  # [B, T, K]
        return _one_by_one(told, targets, lengths)

    def best(self, features: Tensor, lengths: Tensor) -> Tensor:
        return self.search(features, lengths)[0][:, 0]

    def search(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """The likeliest label sequences that a beam finds, best first.

        Shapes:
            labels: [B, W, T] of a beam of width W, scores: [B, W], their log-probabilities; −∞ where there are fewer
        """
        batch, time, width, count = *features.shape[:2], self.beam, self.label_count
        state = self.cell.initial_state(batch * width)
        wide = torch.promote_types(features.dtype, torch.float32)  # in bf16, sums over a sequence would be coarse
        scores = features.new_full((batch, width), -torch.inf, dtype=wide)
        scores[:, 0] = 0.0  # one beginning, not as many as the beam is wide
        labels = torch.full((batch, width, time), count, device=features.device)
        stays = scores.new_full((count,), -torch.inf)  # beyond a sequence's end: one way to go on, at no cost
        stays[0] = 0.0
        for step in range(time):
            before = labels[:, :, step - 1] if step else labels[:, :, 0]
            read = torch.cat([features[:, step, None].expand(-1, width, -1), self.embedding(before)], dim=-1)
            output, state = self.cell(read.flatten(0, 1), state)
            likely = torch.log_softmax(self.linear(output).to(wide), dim=-1).view(batch, width, count)
            likely = torch.where((step < lengths)[:, None, None], likely, stays)
            scores, chosen = (scores[..., None] + likely).flatten(1).topk(width)  # [B, W], of W · K
            origin = chosen // count  # [B, W]
            labels = labels.gather(1, origin[..., None].expand_as(labels))
            labels[:, :, step] = chosen % count
            rows = (origin + width * torch.arange(batch, device=features.device)[:, None]).flatten()
            state = type(state)(*(part[rows] for part in state))
        return labels, scores


def _one_by_one(logits: Tensor, targets: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood of each known label, [B, T] of logits [B, T, K], and the mask of those."""
    known = _real(targets, lengths) & (targets >= 0)
    targets = targets.masked_fill(~known, -1)
    return F.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1, reduction="none"), known


def _real(targets: Tensor, lengths: Tensor) -> Tensor:
    return torch.arange(targets.shape[1], device=targets.device) < lengths[:, None]  # [B, T]
