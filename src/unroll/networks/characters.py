"""Words read character by character."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unroll.cells import LSTMCell
from unroll.networks.readout import finals
from unroll.networks.recurrent import Recurrent

WIDTH = 3  # characters that a filter of the convolution sees


class CharacterCNN(nn.Module):
    """The largest answer of each filter along a word: Ma and Hovy, ACL 2016, section 2.1.

    .. math:: f = \\max_{t = 1}^{C} \\left( W [e_{t-1}; e_t; e_{t+1}] + b \\right)

    where e are the embedded characters, with dropout, and zeros stand before the first and after the last.

    Args:
        character_count: number of characters, special ones included.
        padding_index: the character that fills the end of a shorter word.
        embedding_size: width of the embedding of a character; 30 in the paper.
        filters: number of filters F; 30 in the paper.
        dropout: probability that a unit of an embedded character is dropped, in [0, 1).

    Shapes:
        characters: [U, C], lengths: [U], each ≥ 1, features: [U, F]

    As in the paper, characters are drawn from U(−√(3/d), √(3/d)) with d the width of their embedding, the filters from
    U(−√(6/(r + c)), √(6/(r + c))) with r and c the rows and columns of W, and b is 0.
    """

    def __init__(
        self, character_count: int, padding_index: int, embedding_size: int, filters: int, dropout: float
    ) -> None:
        super().__init__()
        self.padding_index, self.output_size = padding_index, filters
        self.embedding = _embedding(character_count, embedding_size, padding_index)
        self.dropout = nn.Dropout(dropout)
        self.convolution = nn.Conv1d(embedding_size, filters, WIDTH, padding="same")
        nn.init.xavier_uniform_(self.convolution.weight.data.flatten(1))
        nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Features of each word."""
        real = torch.arange(characters.shape[1], device=characters.device)[None] < lengths[:, None]  # [U, C]
        # What fills a word is read as zeros, whatever it is: so a word's end looks the same alone and in a batch.
        embedded = self.dropout(self.embedding(characters.masked_fill(~real, self.padding_index)))  # [U, C, d]
        answers = self.convolution(embedded.transpose(1, 2))  # [U, F, C]
        best: Tensor = answers.masked_fill(~real[:, None], -math.inf).max(dim=2).values
        return best


class CharacterBiLSTM(nn.Module):
    """The last states of an LSTM in each direction along a word: Lample et al., NAACL 2016, section 4.1.

    .. math:: f = [\\overrightarrow{h}_C; \\overleftarrow{h}_1]

    Args:
        character_count: number of characters, special ones included.
        padding_index: the character that fills the end of a shorter word.
        embedding_size: width of the embedding of a character; 25 in the paper.
        hidden_size: width H of each direction; 25 in the paper.

    Shapes:
        characters: [U, C], lengths: [U], each ≥ 1, features: [U, 2 · H]

    The paper drops units of the joined word vector alone, which is what reads it; its text gives no distribution for
    the first values, so that characters are drawn as in :class:`CharacterCNN` and the LSTM begins as all others do.
    """

    def __init__(self, character_count: int, padding_index: int, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.embedding = _embedding(character_count, embedding_size, padding_index)
        self.recurrent = Recurrent(LSTMCell, embedding_size, hidden_size, layers=1, bidirectional=True)
        self.output_size = self.recurrent.output_size

    def forward(self, characters: Tensor, lengths: Tensor) -> Tensor:
        """Features of each word."""
        return finals(self.recurrent.outputs(self.embedding(characters), lengths), lengths, self.recurrent.hidden_size)


CharacterEncoder = CharacterCNN | CharacterBiLSTM


def _embedding(character_count: int, embedding_size: int, padding_index: int) -> nn.Embedding:
    """Characters from U(−√(3/d), √(3/d)), padding at zero."""
    embedding = nn.Embedding(character_count, embedding_size, padding_index)
    bound = math.sqrt(3 / embedding_size)
    with torch.no_grad():
        embedding.weight.uniform_(-bound, bound)
        embedding.weight[padding_index].zero_()
    return embedding
