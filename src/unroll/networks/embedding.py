"""Word vectors: learned, one-hot or pretrained, and concatenated with features of characters."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.networks.characters import CharacterEncoder
from unroll.networks.pages import LARGE, zeros_like

CHUNK = 128  # forms per batch, sorted by length to reduce padding


class TokenEmbedding(nn.Embedding):
    """An embedding whose gradient, if it is large, is made in huge pages of memory.

    Shapes:
        tokens: […], result: […, I]
    """

    def forward(self, tokens: Tensor) -> Tensor:
        """Vector of each token."""
        weight = self.weight
        if weight.requires_grad and torch.is_grad_enabled() and weight.nbytes >= LARGE:
            vectors: Tensor = _Lookup.apply(weight, tokens, self.padding_idx)  # type: ignore[no-untyped-call]
            return vectors
        return super().forward(tokens)


class _Lookup(torch.autograd.Function):
    """Rows of a matrix, with a gradient in huge pages."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, tokens: Tensor, padding_index: int | None) -> Tensor:
        ctx.save_for_backward(weight, tokens)
        ctx.padding_index = padding_index
        return F.embedding(tokens, weight)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> tuple[Tensor, None, None]:
        weight, tokens = ctx.saved_tensors
        gradient = zeros_like(weight, weight.dtype)
        gradient.index_add_(0, tokens.flatten(), given.flatten(0, -2).to(weight.dtype))
        if ctx.padding_index is not None:
            gradient[ctx.padding_index] = 0
        return gradient, None, None


def embed(vocabulary_size: int, embedding_size: int, padding_index: int, scale: float) -> nn.Embedding:
    """Embedding initialised from N(0, scale²), with zeros for padding.

    A scale near 1 makes tokens easy to distinguish from the start. A tied output matrix over a large vocabulary needs a
    small scale; otherwise the initial softmax assigns nearly all probability to a wrong word.
    """
    embedding = TokenEmbedding(vocabulary_size, embedding_size, padding_index)
    with torch.no_grad():
        embedding.weight.mul_(scale)
    return embedding


def embedding_from(vectors: Tensor, padding_index: int, frozen: bool) -> nn.Embedding:
    """Embedding initialised with pretrained vectors, with zeros for padding.

    Args:
        vectors: one row per token, NaN for tokens without a vector.
        padding_index: index of the padding token.
        frozen: whether to exclude the vectors from training.

    Shapes:
        vectors: [V, E]

    Tokens without a vector are initialised from N(0, s²), where s is the standard deviation of all given numbers, so
    that they have the scale of the other words without a setting for it.
    """
    missing = vectors.isnan().any(dim=1, keepdim=True)  # [V, 1]
    spread = vectors[~missing[:, 0]].std(correction=0)
    embedding = embed(len(vectors), vectors.shape[1], padding_index, float(spread))
    with torch.no_grad():
        embedding.weight.copy_(torch.where(missing, embedding.weight, vectors))
        embedding.weight[padding_index] = 0
    embedding.weight.requires_grad_(not frozen)
    return embedding


class OneHot(nn.Module):
    """One-hot encoding of tokens; padding is all zeros.

    The first matrix of a network over one-hot vectors acts as an embedding of the size of its gates.

    Args:
        vocabulary_size: size V of the vocabulary.
        padding_index: index of the padding token.

    Shapes:
        tokens: [B, T], result: [B, T, V]
    """

    one: Tensor

    def __init__(self, vocabulary_size: int, padding_index: int) -> None:
        super().__init__()
        self.embedding_dim, self.padding_index = vocabulary_size, padding_index  # named as in nn.Embedding
        self.register_buffer("one", torch.ones(()), persistent=False)  # follows the device and dtype of the network

    def forward(self, tokens: Tensor) -> Tensor:
        """Vector of each token."""
        places = (tokens != self.padding_index)[..., None].to(self.one.dtype)  # [B, T, 1]
        return places.new_zeros(*tokens.shape, self.embedding_dim).scatter_(-1, tokens[..., None], places)


class Words(NamedTuple):
    """Words with their spelling; each distinct form is stored once.

    Shapes:
        tokens: [B, T]
        forms: [B, T] row of the form of each word in ``characters``, −1 for padding
        characters: [U, C], character_lengths: [U], each ≥ 1
        table: [U, F] features of every form, from :meth:`WordEmbedding.features`; None to compute them
    """

    tokens: Tensor
    forms: Tensor
    characters: Tensor
    character_lengths: Tensor
    table: Tensor | None = None


class WordEmbedding(nn.Module):
    """Word vectors concatenated with character-level features: Ma and Hovy 2016; Lample et al. 2016.

    .. math:: x_t = [e(w_t); f(\\text{characters of } w_t)]

    Args:
        words: word vectors of size E.
        characters: character-level features of size F.

    Shapes:
        words: see :class:`Words`, result: [B, T, E + F]; zeros for padding

    Each form is read once per batch. In evaluation, where the weights do not change, the features of a whole split can
    be computed once with :meth:`features` and passed as ``Words.table``. The caller keeps the table, since it becomes
    invalid with the next training step.
    """

    def __init__(self, words: nn.Embedding | OneHot, characters: CharacterEncoder) -> None:
        super().__init__()
        self.words, self.characters = words, characters
        self.output_size = words.embedding_dim + characters.output_size

    def features(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Features of every form, in batches of 128 sorted by length: [U, C], [U] → [U, F]."""
        order = lengths.argsort(stable=True)
        parts = [
            self.characters(characters[some, : int(lengths[some].max())], lengths[some])
            for some in torch.split(order, CHUNK)
        ]
        return torch.cat(parts).index_select(0, order.argsort())

    def forward(self, words: Words) -> Tensor:
        """Vector of each word."""
        table = self.features(words.characters, words.character_lengths) if words.table is None else words.table
        spelled = F.embedding(words.forms.clamp(min=0), table) * (words.forms >= 0)[..., None]  # [B, T, F]
        return torch.cat([self.words(words.tokens), spelled], dim=-1)
