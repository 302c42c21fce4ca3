"""Copying under search: copied symbols are found, scored as their losses, and read as unknown ones."""

from __future__ import annotations

from typing import NamedTuple

import pytest
import torch
from cells.test_cells import EXACT, randomized
from networks.decoders import HIDDEN, SOURCES, SYMBOLS, make, memory
from torch import Tensor

from unroll.networks.copying import CopyingOutput, extended
from unroll.networks.decoder import Decoder, Running
from unroll.networks.memory import Memory
from unroll.networks.output import TokenOutput
from unroll.networks.restrictions import Restrictions
from unroll.networks.search import search
from unroll.networks.state import Shared

END, UNKNOWN, WIDTH = 2, 1, 4
# of three sources, with symbols that the target vocabulary lacks: 7, 8 and 9
COPIED = torch.tensor([[3, 7, 3, 8, 0, 0], [9, 0, 0, 0, 0, 0], [7, 4, 9, 7, 9, 5]])


class Copied(NamedTuple):
    """The state of a decoder, and the symbols that each row may copy, by sentence."""

    running: Running
    places: Shared


class Copier:
    """A decoder with copying as search reads it."""

    def __init__(self, decoder: Decoder, copying: CopyingOutput, read: Memory, which: list[int]) -> None:
        self.decoder, self.copying, self.read = decoder, copying, read
        places = extended(COPIED[which], torch.tensor(SOURCES)[which], torch.arange(SYMBOLS), SYMBOLS)
        self.places = places[:, : read.features.shape[1]]

    def start(self) -> Copied:
        return Copied(self.decoder.start(self.read), Shared(self.places, torch.arange(len(self.places))))

    def step(self, previous: Tensor, state: Copied) -> tuple[Tensor, Copied]:
        features, running = self.decoder.step(self.copying.readable(previous), state.running)
        assert running.weights is not None
        places = state.places.values[state.places.owners]
        return self.copying.log_probabilities(features, running.weights, places), Copied(running, state.places)

    def loss(self, row: int, symbols: Tensor) -> Tensor:
        """The teacher-forced loss of an answer and its end."""
        alone = Memory(*(part[row : row + 1] for part in self.read))
        known = self.copying.readable(torch.cat([torch.tensor([END]), symbols]))
        features, weights = self.decoder.whole(known[None], torch.tensor([len(known)]), self.decoder.start(alone))
        assert weights is not None
        targets, places = torch.cat([symbols, torch.tensor([END])]), self.places[row].expand(len(known), -1)
        return self.copying.losses(features[0], targets, weights[0], places).sum()


@pytest.mark.parametrize("wiring", ["after", "before-feeding"])
def test_copied_symbols_are_found_scored_and_read_as_unknown(wiring: str) -> None:
    decoder = make(wiring, "coverage").eval()
    torch.manual_seed(9)
    copying: CopyingOutput = CopyingOutput(TokenOutput(HIDDEN, SYMBOLS, None), HIDDEN, SYMBOLS, UNKNOWN).double()
    randomized(copying).gate.bias.data -= 2.0
    together = Copier(decoder, copying, memory("coverage"), [0, 1, 2])
    first, settings = torch.full((3,), END), (END, Restrictions(5), WIDTH, WIDTH)
    found = search([together], first, *settings)
    assert bool((found.symbols >= SYMBOLS).any())
    for row, length in enumerate(SOURCES):
        for n in range(WIDTH):
            symbols = found.symbols[row, n, : found.lengths[row, n]]
            torch.testing.assert_close(found.log_probabilities[row, n], -together.loss(row, symbols).detach(), **EXACT)
        alone = Copier(decoder, copying, memory("coverage", length, which=[row]), [row])
        own = search([alone], first[:1], *settings)
        # a copied symbol is numbered by its step, which other sentences do not change
        assert torch.equal(own.symbols[0], found.symbols[row])
        torch.testing.assert_close(own.scores[0], found.scores[row], **EXACT)
