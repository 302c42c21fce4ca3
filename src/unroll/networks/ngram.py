"""The n-gram baseline: interpolated Kneser–Ney."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from unroll.networks.language import CountingNetwork


class ContextState(NamedTuple):
    """The last n − 1 tokens, as an id for each length of context; −1 for unseen contexts.

    Shapes:
        contexts: [B, n − 1] int64, shortest first
    """

    contexts: Tensor


class KneserNey(CountingNetwork):
    """Interpolated Kneser–Ney: Kneser and Ney 1995, in the form of Chen and Goodman 1998, section 4.1.6.

    .. math::
        P_m(w \\mid h) = \\frac{\\max(c(hw) - D_m, 0)}{c(h\\,\\cdot)}
                       + \\frac{D_m\\,N_{1+}(h\\,\\cdot)}{c(h\\,\\cdot)}\\,P_{m-1}(w \\mid h'),
        \\qquad D_m = \\frac{n_1}{n_1 + 2 n_2}

    where c counts occurrences for the highest order and distinct left neighbours below it, h' is h without its
    oldest word, and P_0 is uniform over the vocabulary. If n_1 or n_2 is 0, D_m is 0.5.

    Args:
        order: n, the length of the longest n-gram, at least 1.
        vocabulary_size: V.

    Shapes:
        inputs: [B, T], features: [B, T, n − 1] context ids, logits: [N, V] log-probabilities

    An m-gram is stored as one integer, the id of its first m − 1 words times V plus its last word, so that any
    order fits into 64 bits and every look-up is a binary search in a sorted table.
    """

    def __init__(self, order: int, vocabulary_size: int) -> None:
        super().__init__()
        self.order, self.vocabulary_size = order, vocabulary_size
        for m in range(1, order + 1):
            self._store(m, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))

    def _store(self, m: int, keys: np.ndarray, probability: np.ndarray, backoff: np.ndarray) -> None:
        self.register_buffer(f"keys_{m}", torch.from_numpy(keys))  # sorted ids of the m-grams seen
        self.register_buffer(f"probability_{m}", torch.from_numpy(probability))  # (c − D) / c(h ·) of each
        self.register_buffer(f"backoff_{m}", torch.from_numpy(backoff))  # weight of P_{m−1}, by context

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *rest: object) -> None:
        # the sizes of the tables depend on the counts
        for name in dict(self.named_buffers()):
            if prefix + name in state_dict:
                self.register_buffer(name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def fit(self, tokens: np.ndarray) -> None:
        """Count ``tokens`` [N] and estimate every order."""
        vocabulary_size = self.vocabulary_size
        shorter = np.zeros(len(tokens), np.int64)  # id of the (m − 1)-gram that ends just before each token
        contexts = 1  # number of distinct (m − 1)-grams
        suffix_of: list[np.ndarray] = []  # for each m: the (m − 1)-gram id of each m-gram without its first word
        tables: list[tuple[np.ndarray, np.ndarray, int]] = []
        previous = np.zeros(0, np.int64)
        for m in range(1, self.order + 1):
            valid = np.arange(len(tokens)) >= m - 1
            keys, ids, counts = np.unique(
                shorter[valid] * vocabulary_size + tokens[valid].astype(np.int64),
                return_inverse=True,
                return_counts=True,
            )
            here = np.full(len(tokens), -1, np.int64)
            here[valid] = ids
            if m > 1:
                suffix = np.empty(len(keys), np.int64)
                suffix[ids] = previous[valid]
                suffix_of.append(suffix)
            tables.append((keys, counts, contexts))
            previous = here
            contexts = len(keys)
            shorter = np.concatenate([[0], here[:-1]])
        for m, (keys, counts, contexts) in enumerate(tables, start=1):
            if m < self.order:  # distinct left neighbours: how many (m + 1)-grams end in this m-gram
                counts = np.bincount(suffix_of[m - 1], minlength=len(keys))
            self._store(m, keys, *_discounted(keys // vocabulary_size, counts, contexts))

    def initial_state(self, batch_size: int) -> tuple[ContextState]:
        """The empty context."""
        return (ContextState(torch.full((batch_size, self.order - 1), -1)),)

    def forward(
        self, inputs: Tensor, lengths: Tensor, state: tuple[ContextState]
    ) -> tuple[Tensor, tuple[ContextState]]:
        """Ids of the contexts that end at every step, and those after the last step."""
        contexts, steps = state[0].contexts, []
        for t in range(inputs.shape[1]):
            contexts = self._advance(contexts, inputs[:, t])
            steps.append(contexts)
        features = torch.stack(steps, dim=1)  # [B, T, n − 1]
        return features, (ContextState(features[torch.arange(len(inputs)), lengths - 1]),)

    def step(self, tokens: Tensor, state: tuple[ContextState]) -> tuple[Tensor, tuple[ContextState]]:
        """Ids of the contexts that end in one more token of each text: tokens [N] → features [N, n − 1]."""
        contexts = self._advance(state[0].contexts, tokens)
        return contexts, (ContextState(contexts),)

    def _advance(self, contexts: Tensor, token: Tensor) -> Tensor:
        """Append ``token`` [B] to every length of context: [B, n − 1] → [B, n − 1]."""
        ends = []
        for m in range(1, self.order):
            shorter = contexts[:, m - 2] if m > 1 else torch.zeros_like(token)
            ends.append(self._find(m, shorter, token))
        return torch.stack(ends, dim=1) if ends else contexts

    def losses(self, features: Tensor, targets: Tensor) -> Tensor:
        """Negative log-probability of each target: features [N, n − 1], targets [N] → [N]."""
        probability = torch.full((len(targets),), 1.0 / self.vocabulary_size, dtype=torch.float64)
        for m in range(1, self.order + 1):
            context = features[:, m - 2] if m > 1 else torch.zeros_like(targets)
            entry = self._find(m, context, targets)
            probability *= torch.where(context >= 0, self.get_buffer(f"backoff_{m}")[context.clamp(min=0)], 1.0)
            seen = entry >= 0
            probability[seen] += self.get_buffer(f"probability_{m}")[entry[seen]]
        return -probability.log()

    def _find(self, m: int, context: Tensor, token: Tensor) -> Tensor:
        """Id of the m-gram of each context and token, −1 if it is unseen: [N], [N] → [N]."""
        keys = self.get_buffer(f"keys_{m}")
        wanted = context * self.vocabulary_size + token
        place = torch.searchsorted(keys, wanted)
        # the table of the longest n-grams is empty if fewer than n tokens were counted
        padded = torch.cat([keys, keys.new_full((1,), -1)])
        return torch.where((context >= 0) & (padded[place] == wanted), place, -1)

    def logits(self, features: Tensor) -> Tensor:
        """Log-probabilities of every token after each context: [N, n − 1] → [N, V]."""
        size = self.vocabulary_size
        probability = torch.full((len(features), size), 1.0 / size, dtype=torch.float64)
        for m in range(1, self.order + 1):
            context = features[:, m - 2] if m > 1 else torch.zeros(len(features), dtype=torch.int64)
            keys, backoff = self.get_buffer(f"keys_{m}"), self.get_buffer(f"backoff_{m}")
            known = context >= 0
            probability *= torch.where(known, backoff[context.clamp(min=0)], 1.0)[:, None]
            start = torch.searchsorted(keys, context * size)
            counts = torch.where(known, torch.searchsorted(keys, (context + 1) * size) - start, 0)
            row = torch.repeat_interleave(torch.arange(len(features)), counts)
            first = torch.repeat_interleave(start - counts.cumsum(0) + counts, counts)
            entry = first + torch.arange(len(row))  # every m-gram that continues each row's context
            probability[row, keys[entry] % size] += self.get_buffer(f"probability_{m}")[entry]
        return probability.log()


def _discounted(context: np.ndarray, counts: np.ndarray, contexts: int) -> tuple[np.ndarray, np.ndarray]:
    """Discounted probability of each m-gram, and the weight of the shorter context."""
    once, twice = np.count_nonzero(counts == 1), np.count_nonzero(counts == 2)
    # the estimate is undefined if no m-gram, or every m-gram, occurs once
    discount = once / (once + 2 * twice) if once and twice else 0.5
    total = np.bincount(context, weights=counts, minlength=contexts)
    kinds = np.bincount(context, weights=(counts > 0).astype(np.float64), minlength=contexts)
    # a context that only occurs at the end of the text has no continuation: all weight goes to the shorter one
    backoff = np.where(total > 0, discount * kinds / np.maximum(total, 1), 1.0)
    return np.maximum(counts - discount, 0) / np.maximum(total[context], 1), backoff
