"""Search with decoders: sources alone and in batches, teacher-forced losses, and sources that are not copied."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import pytest
import torch
from networks.decoders import HIDDEN, SCORES, SYMBOLS, WIRINGS, make, memory
from torch import Tensor

from unroll.networks.beam import Hypotheses
from unroll.networks.decoder import Decoder, Running
from unroll.networks.memory import Memory
from unroll.networks.output import TokenOutput
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import Sampling
from unroll.networks.search import search

END = 4
EXACT = {"rtol": 0.0, "atol": 1e-10}


class Translating:
    """A decoder and its output layer as the search reads them."""

    def __init__(self, decoder: Decoder, output: TokenOutput, read: Memory) -> None:
        self.decoder, self.output, self.read = decoder, output, read

    def start(self) -> Running:
        return self.decoder.start(self.read)

    def step(self, previous: Tensor, state: Running) -> tuple[Tensor, Running]:
        features, after = self.decoder.step(previous, state)
        return self.output.log_probabilities(features), after


def build(wiring: str, score: str, **settings: Any) -> tuple[Decoder, TokenOutput]:
    decoder = make(wiring, score, **settings)
    torch.manual_seed(6)
    output = TokenOutput(HIDDEN, SYMBOLS, None).double()
    output.decoder.weight.data.mul_(4.0)
    return decoder.eval(), output.eval()


def find(decoder: Decoder, output: TokenOutput, read: Memory, **settings: Any) -> Hypotheses:
    first = torch.full((len(read.lengths),), END)
    return search([Translating(decoder, output, read)], first, END, Restrictions(6), **settings)


CASES = [(wiring, "additive") for wiring in WIRINGS] + [
    (wiring, score) for wiring, score in product(("before-feeding", "after"), SCORES) if score != "additive"
]  # fmt: skip
WAYS: list[dict[str, Any]] = [
    {"width": 4, "best": 4, "alpha": 0.6}, {"width": 1}, {"sampling": Sampling(), "seeds": [3, 4, 5]},
]  # fmt: skip


@pytest.mark.parametrize(("wiring", "score"), CASES)
def test_scores_are_minus_teacher_forced_losses_alone_and_in_a_batch_with_any_padding(wiring: str, score: str) -> None:
    decoder, output = build(wiring, score, cell="lstm", layers=2)
    for way in WAYS:
        together = find(decoder, output, memory(score), **way)
        padded = find(decoder, output, memory(score, total=9, garbage=math.nan), **way)
        assert torch.equal(padded.symbols, together.symbols)
        torch.testing.assert_close(padded.scores, together.scores, **EXACT)
        for row in range(3):
            own = way | ({"seeds": way["seeds"][row : row + 1]} if "seeds" in way else {})
            alone = find(decoder, output, memory(score, which=[row]), **own)
            assert torch.equal(alone.symbols[0], together.symbols[row])
            torch.testing.assert_close(alone.scores[0], together.scores[row], **EXACT)
            for symbols, length, found in zip(*(part[row] for part in together[:3]), strict=True):
                targets = torch.tensor([*symbols[:length].tolist(), END])
                shifted = torch.tensor([[END, *symbols[:length].tolist()]])
                running = decoder.start(memory(score, which=[row]))
                features, _ = decoder.whole(shifted, torch.tensor([len(targets)]), running)
                loss = output.losses(features[0], targets).sum()
                torch.testing.assert_close(found, -loss, **EXACT)


def test_answers_have_different_lengths_and_lose_rows_on_the_way() -> None:
    lengths = set()
    for wiring, score in CASES:
        decoder, output = build(wiring, score, cell="lstm", layers=2)
        lengths |= set(find(decoder, output, memory(score), **WAYS[0]).lengths.flatten().tolist())
    assert len(lengths) > 4


@pytest.mark.parametrize("wiring", ["every_step", "before", "after-feeding"])
def test_a_beam_reads_each_source_once(wiring: str) -> None:
    decoder, output = build(wiring, "general")
    read, seen = memory("general"), set()

    class Watching(Translating):
        def step(self, previous: Tensor, state: Running) -> tuple[Tensor, Running]:
            assert state.source is not None
            if state.source.rows == 3:  # until a sentence leaves
                first = state.source.values.summary if wiring == "every_step" else state.source.values.prepared.keys
                seen.add((first.data_ptr(), len(previous)))
            return super().step(previous, state)

    search([Watching(decoder, output, read)], torch.full((3,), END), None, Restrictions(5), width=4)
    assert len({pointer for pointer, _ in seen}) == 1
    assert {rows for _, rows in seen} == {3, 12}
