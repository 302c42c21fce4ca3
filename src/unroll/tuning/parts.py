"""What each part of a network costs: formulas in the letters of the part's own docstring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from unroll.cells import Cell, LSTMCell, cell_named
from unroll.config.architectures import (
    CharacterCNNConfig,
    ConvolutionalConfig,
    CRFConfig,
    FeedbackConfig,
    LearnedConfig,
    RecurrentConfig,
)
from unroll.data.batch import DataSpec
from unroll.errors import BadInput
from unroll.networks.characters import WIDTH
from unroll.networks.recurrent import RecurrentLayer

Arguments = tuple[tuple[str, float | str], ...]  # of a cell, by name
Counts = dict[tuple[int, int], int]  # by input width I and hidden width H
CHARACTERS = 3  # read for each token: of UD English EWT 2.8, as a batch of 32 sentences spells each form once
SMALL = ((1, 1), (2, 1), (1, 2), (2, 2), (1, 3), (3, 4))  # widths I and H of the cells that are counted


@dataclass(frozen=True)
class Cost:
    """What a part of a network costs.

    Args:
        parameters: entries of its weights.
        products: entries of the matrices that one token is multiplied by.
        kept: about how many numbers of one token are held when a step holds most.
    """

    parameters: int = 0
    products: int = 0
    kept: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.parameters + other.parameters, self.products + other.products, self.kept + other.kept)

    def __mul__(self, copies: int) -> Cost:
        return Cost(self.parameters * copies, self.products * copies, self.kept * copies)


def words(arch: LearnedConfig, spec: DataSpec) -> tuple[Cost, int]:
    """What a token becomes, and its width I: an embedding, V · I, or one-hot and real vectors, without weights."""
    if not spec.vocabulary_size:
        return Cost(kept=spec.input_size), spec.input_size
    if arch.inputs == "one_hot":
        return Cost(kept=spec.vocabulary_size), spec.vocabulary_size
    width = arch.embedding_size if arch.inputs == "embedding" else spec.vector_size
    return Cost(spec.vocabulary_size * width, kept=width), width


def spelling(arch: RecurrentConfig, spec: DataSpec) -> tuple[Cost, int]:
    """What spells words, and the width F of what it tells: d for each character, and 3 · d · F + F or two LSTMs."""
    settings = arch.characters
    if settings is None:
        return Cost(), 0
    width, size = settings.embedding_size, settings.size
    if isinstance(settings, CharacterCNNConfig):
        reader, told = linear(WIDTH * width, size), size
    else:
        reader, told = layer(LSTMCell, (), width, size, layer_norm=False, learned_state=False) * 2, 2 * size
    read = Cost(reader.parameters, CHARACTERS * reader.products, CHARACTERS * (width + reader.kept) + told)
    return Cost(spec.character_count * width) + read, told


def recurrent(arch: RecurrentConfig, width: int) -> Cost:
    """L layers of D directions, each but the first D · H wide; with dropout, masks and what they leave are kept."""
    directions = 1 + arch.bidirectional
    features, total = directions * arch.hidden_size, Cost()
    for read in [width] + [features] * (arch.layers - 1):
        total += _of_arch(arch, read, arch.layer_norm, arch.learned_state) * directions
    return total + Cost(kept=width + 2 * arch.layers * features if arch.dropout else 0)


def convolutions(arch: ConvolutionalConfig, width: int) -> Cost:
    """L layers of k · I · H + H, each but the first H wide, which keep what they read and what they tell."""
    total = Cost()
    for read in [width] + [arch.hidden_size] * (arch.layers - 1):
        total += linear(arch.kernel_width * read, arch.hidden_size) + Cost(kept=read)
    return total + Cost(kept=width + 2 * arch.hidden_size if arch.dropout else 0)


def tokens(features: int, vocabulary_size: int, tied: int | None) -> Cost:
    """The output layer, F · V + V; if tied to an embedding of width I, V, and F · I where F is not I."""
    if tied is None:
        return _logits(features, vocabulary_size)
    projection = linear(features, tied, bias=False) if features != tied else Cost()
    return projection + Cost(vocabulary_size, tied * vocabulary_size, 3 * vocabulary_size)


def labels(arch: RecurrentConfig | ConvolutionalConfig, features: int, spec: DataSpec) -> Cost:
    """What tells labels: F · K + K; for a CRF K² + 2 · K more; for feedback a cell and an embedding of K + 1 labels."""
    count = spec.label_count
    if isinstance(arch, ConvolutionalConfig):
        return _logits(features, count)
    output = arch.output
    if isinstance(output, FeedbackConfig):
        read = features + output.embedding_size
        before = Cost((count + 1) * output.embedding_size, kept=read)
        return before + _of_arch(arch, read, False, False) + _logits(arch.hidden_size, count)
    chain = Cost(count * count + 2 * count, kept=4 * count) if isinstance(output, CRFConfig) else Cost()
    return _logits(features, count) + chain


def linear(width: int, size: int, bias: bool = True) -> Cost:
    """A matrix and a bias: I · H + H."""
    return Cost(width * size + bias * size, width * size, size)


def _logits(width: int, size: int) -> Cost:
    """A linear layer under a softmax: its logarithms are kept, and two gradients are as large."""
    return linear(width, size) + Cost(kept=2 * size)


def _of_arch(arch: RecurrentConfig, width: int, layer_norm: bool, learned_state: bool) -> Cost:
    arguments = tuple(sorted(arch.cell_arguments.items()))
    try:
        return layer(cell_named(arch.cell), arguments, width, arch.hidden_size, layer_norm, learned_state)
    except TypeError as error:
        raise BadInput(f"arch.cell={arch.cell} refuses arch.cell_arguments={arch.cell_arguments}: {error}; "
                       "see what src/unroll/cells/ says of it.") from None  # fmt: skip


def layer(
    make: Callable[..., Cell], arguments: Arguments, width: int, size: int, layer_norm: bool, learned_state: bool
) -> Cost:
    """One direction of a layer, with its norms and first state: a · I · H + b · H² + c · H + d · I + e.

    Args:
        make: makes the cell of two widths and its arguments.
        arguments: of the cell.
        width: I.
        size: H.
        layer_norm: whether it normalises its products.
        learned_state: whether its first state is learned.

    Raises:
        BadInput: the size of the cell is no such polynomial.

    The factors are those of tiny cells, whose weights are counted: so a cell of one's own, whatever it has, needs no
    formula. Its matrices are taken to be used once at each step.
    """
    every, matrices, kept = _counted(make, arguments, layer_norm, learned_state)
    return Cost(_extended(every, width, size), _extended(matrices, width, size), kept * size)


@cache
def _counted(
    make: Callable[..., Cell], arguments: Arguments, layer_norm: bool, learned_state: bool
) -> tuple[Counts, Counts, int]:
    """Of tiny cells: entries of all weights and of matrices, by I and H, and numbers that a step keeps of each unit."""
    every, matrices = {}, {}
    with torch.random.fork_rng(devices=[]):  # whoever asks for a cost draws the same numbers afterwards
        for widths in SMALL:
            cell = make(*widths, **dict(arguments))
            if layer_norm:
                cell.normalize()
            every[widths] = _entries(RecurrentLayer(cell, False, learned_state), 0)
            matrices[widths] = _entries(cell, 2)
    if any(_extended(counts, 3, 4) != counts[3, 4] for counts in (every, matrices)):
        raise BadInput(f"The weights of {type(cell).__name__} do not grow with I · H, H², H and I, so that no formula "
                       "tells its cost; leave it out of what is compared at equal cost.")  # fmt: skip
    # measured: 2 numbers of each gate where a derivative is by hand, 3 where a tape keeps norms, 4 in oneDNN's LSTM
    return every, matrices, 3 * cell.gates + 2 * len(cell.initial_state(1))


def _entries(module: nn.Module, dimensions: int) -> int:
    """Entries of the parameters that have so many dimensions or more."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.dim() >= dimensions)


def _extended(counts: Counts, width: int, size: int) -> int:
    """The polynomial in I and H through five counts, by Newton's differences: exact in whole numbers."""
    one, i, h = counts[1, 1], width - 1, size - 1
    by_width, by_size = counts[2, 1] - one, counts[1, 2] - one
    by_both, bend = counts[2, 2] - one - by_width - by_size, counts[1, 3] - one - 2 * by_size
    return one + i * by_width + h * by_size + i * h * by_both + h * (h - 1) // 2 * bend
