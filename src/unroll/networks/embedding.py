"""Words as vectors: learned, one-hot or pretrained, and joined with what their characters tell."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.networks.characters import CharacterEncoder

CHUNK = 128  # forms that are read together: of similar length, so that short words do not wait for long ones


def embed(vocabulary_size: int, embedding_size: int, padding_index: int, scale: float) -> nn.Embedding:
    """Embedding from scratch: N(0, scale²), padding at zero.

    A scale near 1 makes tokens easy to distinguish from the start. As a tied output matrix over a large vocabulary it
    must be small, or the first softmax is all but certain of the wrong word.
    """
    embedding = nn.Embedding(vocabulary_size, embedding_size, padding_index)
    with torch.no_grad():
        embedding.weight.mul_(scale)
    return embedding


def embedding_from(vectors: Tensor, padding_index: int, frozen: bool) -> nn.Embedding:
    """Embedding that begins with pretrained vectors, padding at zero.

    Args:
        vectors: a row per token, of NaN where it has no vector.
        padding_index: the token that fills the end of a shorter sequence.
        frozen: whether the vectors stay as they are in training.

    Shapes:
        vectors: [V, E]

    A token without a vector is drawn from N(0, s²), s being the standard deviation of all numbers given: a network
    then hears it neither louder nor softer than the words around it, and there is no scale to be chosen.
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
    """Each token as a vector of V numbers, 1 at its own place and 0 elsewhere; padding is all zeros.

    A network that reads it learns a vector per token in its first matrix, as from an embedding as wide as its gates.

    Args:
        vocabulary_size: V.
        padding_index: the token that fills the end of a shorter sequence.

    Shapes:
        tokens: [B, T], result: [B, T, V], which is V times the memory of the tokens
    """

    one: Tensor

    def __init__(self, vocabulary_size: int, padding_index: int) -> None:
        super().__init__()
        self.embedding_dim, self.padding_index = vocabulary_size, padding_index  # named as torch's embedding has it
        self.register_buffer("one", torch.ones(()), persistent=False)  # knows the network's device and precision

    def forward(self, tokens: Tensor) -> Tensor:
        """Vector of each token."""
        places = (tokens != self.padding_index)[..., None].to(self.one.dtype)  # [B, T, 1]
        return places.new_zeros(*tokens.shape, self.embedding_dim).scatter_(-1, tokens[..., None], places)


class Words(NamedTuple):
    """Words with their spelling: each distinct form once, and which one each word has.

    Shapes:
        tokens: [B, T]
        forms: [B, T] row of a word's form in ``characters``, −1 where padded
        characters: [U, C], character_lengths: [U], each ≥ 1
        table: [U, F] features of every form, as :meth:`WordEmbedding.features` gave them; None to compute them here
    """

    tokens: Tensor
    forms: Tensor
    characters: Tensor
    character_lengths: Tensor
    table: Tensor | None = None


class WordEmbedding(nn.Module):
    """Word vectors joined with features of the words' characters: Ma and Hovy 2016; Lample et al. 2016.

    .. math:: x_t = [e(w_t); f(\\text{characters of } w_t)]

    Args:
        words: vectors of tokens, width E.
        characters: features of spelled words, width F.

    Shapes:
        words: see :class:`Words`, result: [B, T, E + F]; zeros where padded

    A form is read once, however many words have it. While weights stand still, as in evaluation, the features of a
    whole split may be computed once by :meth:`features` and handed in with every batch of it as ``Words.table``.
    Who holds that table knows how long it is valid; none of it stays in here, where it could outlive a training step.
    """

    def __init__(self, words: nn.Embedding | OneHot, characters: CharacterEncoder) -> None:
        super().__init__()
        self.words, self.characters = words, characters
        self.output_size = words.embedding_dim + characters.output_size

    def features(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Features of every form, the shortest first and no more than 128 at a time: [U, C], [U] → [U, F]."""
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
