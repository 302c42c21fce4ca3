"""Convolutional encoder of sequences, a baseline without recurrence."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from unroll.errors import BadInput
from unroll.networks.embedding import Words
from unroll.networks.readout import maximum


class ConvolutionalEncoder(nn.Module):
    """Inputs → layers of convolutions over time → features, in place of a ``SequenceEncoder``.

    Features of every step: Collobert et al., JMLR 2011; the maximum over time for a whole sequence: Kim, EMNLP 2014.

    .. math:: x^{(l)}_t = \\max\\Bigl(0,\\ b^{(l)} + \\sum_{j=-r}^{r} W^{(l)}_j x^{(l-1)}_{t+j}\\Bigr),
              \\qquad x_t = 0 \\text{ for } t \\text{ outside the sequence}

    Args:
        inputs: maps a batch to vectors [B, T, I]: an embedding, or the identity for real vectors.
        input_size: size I of the input of one step.
        hidden_size: number of filters H of every layer.
        layers: number of layers L; the receptive field is 1 + L · (kernel_width − 1) steps.
        kernel_width: kernel size 2r + 1 in steps, an odd number.
        dropout: dropout probability on the input vectors and on the features, in [0, 1).

    Shapes:
        inputs: [B, T] tokens or [B, T, I] vectors, lengths: [B], features: [B, T, H]; they are undefined beyond the
        length of a sequence

    Raises:
        BadInput: the kernel width is even.

    Each layer reads zeros beyond the length of a sequence, as it does at the end of the batch, so that the features of
    a sequence do not depend on the other sequences.
    """

    def __init__(
        self, inputs: nn.Module, input_size: int, hidden_size: int, layers: int, kernel_width: int, dropout: float
    ) -> None:
        super().__init__()
        if kernel_width % 2 == 0:
            raise BadInput(f"A kernel of {kernel_width} steps has no centre; choose an odd kernel width.")
        self.inputs = inputs
        self.dropout = nn.Dropout(dropout)
        self.output_size = hidden_size
        widths = [input_size] + [hidden_size] * layers
        self.layers = nn.ModuleList(
            nn.Conv1d(narrow, wide, kernel_width, padding=kernel_width // 2) for narrow, wide in pairwise(widths)
        )

    def outputs(self, inputs: Tensor | Words, lengths: Tensor) -> Tensor:
        """Features of every step."""
        features: Tensor = self.dropout(self._convolved(inputs, lengths))
        return features

    def summary(self, inputs: Tensor | Words, lengths: Tensor) -> Tensor:
        """One vector per sequence, the maximum over its steps, followed by dropout as in Kim's network: [B, H]."""
        features: Tensor = self.dropout(maximum(self._convolved(inputs, lengths), lengths))
        return features

    def _convolved(self, inputs: Tensor | Words, lengths: Tensor) -> Tensor:
        features: Tensor = self.dropout(self.inputs(inputs)).transpose(1, 2)  # [B, I, T]
        padding = (torch.arange(features.shape[2], device=features.device) >= lengths[:, None])[:, None]  # [B, 1, T]
        for layer in self.layers:
            features = torch.relu(layer(features.masked_fill(padding, 0.0)))  # [B, H, T]
        return features.transpose(1, 2)
