"""Word vectors computed from characters."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from unroll.cells import LSTMCell
from unroll.networks.readout import finals
from unroll.networks.recurrent import Recurrent

WIDTH = 3  # kernel size of the convolution, in characters


class CharacterCNN(nn.Module):
    """Character-level convolution with maximum pooling: Ma and Hovy, ACL 2016, section 2.1.

    .. math:: f = \\max_{t = 1}^{C} \\left( W [e_{t-1}; e_t; e_{t+1}] + b \\right)

    where e are the embedded characters with dropout, padded with zeros at both ends.

    Args:
        character_count: number of characters, including special ones.
        padding_index: index of the padding character.
        embedding_size: size of the character embeddings; 30 in the paper.
        filters: number of filters F; 30 in the paper.
        dropout: dropout probability on the embedded characters, in [0, 1).

    Shapes:
        characters: [U, C], lengths: [U], each ≥ 1, features: [U, F]

    As in the paper, characters are initialised from U(−√(3/d), √(3/d)) with d the size of their embedding, the filters
    from U(−√(6/(r + c)), √(6/(r + c))) with r and c the numbers of rows and columns of W, and b is 0.
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
        # padding is read as zeros, so that the features of a word do not depend on the batch
        embedded = self.dropout(self.embedding(characters.masked_fill(~real, self.padding_index)))  # [U, C, d]
        responses = self.convolution(embedded.transpose(1, 2))  # [U, F, C]
        best: Tensor = responses.masked_fill(~real[:, None], -math.inf).max(dim=2).values
        return best


class CharacterBiLSTM(nn.Module):
    """Last hidden states of a bidirectional LSTM over the characters of a word: Lample et al., NAACL 2016, section 4.1.

    .. math:: f = [\\overrightarrow{h}_C; \\overleftarrow{h}_1]

    Args:
        character_count: number of characters, including special ones.
        padding_index: index of the padding character.
        embedding_size: size of the character embeddings; 25 in the paper.
        hidden_size: size H of each direction; 25 in the paper.

    Shapes:
        characters: [U, C], lengths: [U], each ≥ 1, features: [U, 2 · H]

    The paper applies dropout to the concatenated word vector only, which the encoder does. It gives no distribution of
    the initial values: characters are initialised as in :class:`CharacterCNN`, and the LSTM as every other LSTM.
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
    """Embedding initialised from U(−√(3/d), √(3/d)), with zeros for padding."""
    embedding = nn.Embedding(character_count, embedding_size, padding_index)
    bound = math.sqrt(3 / embedding_size)
    with torch.no_grad():
        embedding.weight.uniform_(-bound, bound)
        embedding.weight[padding_index].zero_()
    return embedding
