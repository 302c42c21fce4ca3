"""Greedy search, beams and draws with a decoder, in turn.

    python benchmarks/search.py [--read after] [--beam 5] [--precision bf16-mixed] [--vocabulary 8000] [--runs N]

A GRU decoder of one layer with additive attention, 64 sources of 8 to 18 steps at a time; each answer has as many
symbols as its source. The weights are random, so that only the speed has a meaning.
"""

from __future__ import annotations

import argparse
import statistics
import time
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from unroll.cells import GRUCell
from unroll.networks.attention import AdditiveAttention
from unroll.networks.bridge import BRIDGES
from unroll.networks.decoder import Decoder, Running
from unroll.networks.memory import Memory
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent
from unroll.networks.restrictions import Restrictions
from unroll.networks.sampling import Sampling
from unroll.networks.search import search
from unroll.networks.wiring import READS, Wiring

WIDTH, SENTENCES = 256, 64


class Translating:
    """A decoder and its output layer as the search reads them, which counts the seconds that they take."""

    def __init__(self, decoder: Decoder, output: TokenOutput, memory: Memory) -> None:
        self.decoder, self.output, self.memory, self.seconds = decoder, output, memory, 0.0

    def start(self) -> Running:
        return self.decoder.start(self.memory)

    def step(self, previous: Tensor, state: Running) -> tuple[Tensor, Running]:
        begin = time.perf_counter()
        features, after = self.decoder.step(previous, state)
        likely = self.output.log_probabilities(features)
        self.seconds += time.perf_counter() - begin
        return likely, after


def build(read: str, vocabulary: int) -> tuple[Decoder, TokenOutput]:
    torch.manual_seed(0)
    wiring = Wiring("attention", read)
    inputs = sum(wiring.input_sizes(WIDTH, 2 * WIDTH, 2 * WIDTH, WIDTH))
    recurrent = Recurrent(GRUCell, inputs, WIDTH, 1, False)
    bridge = BRIDGES["linear"](2 * WIDTH, recurrent.initial_state(1))
    embedding, attention = nn.Embedding(vocabulary, WIDTH), AdditiveAttention(WIDTH, 2 * WIDTH, WIDTH)
    decoder = Decoder(embedding, recurrent, wiring, bridge, attention, 2 * WIDTH, 2 * WIDTH, nn.Identity())
    output = TokenOutput(WIDTH, vocabulary, None)
    output.decoder.weight.data.mul_(32)  # some 4 nats, as of a trained network; the time of top-p depends on it
    return decoder.eval(), output.eval()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--read", choices=READS, default="after")
    parser.add_argument("--beam", type=int, default=5)
    parser.add_argument("--precision", choices=("32", "bf16-mixed"), default="32")
    parser.add_argument("--vocabulary", type=int, default=8000)
    parser.add_argument("--runs", type=int, default=9)
    options = parser.parse_args()
    decoder, output = build(options.read, options.vocabulary)
    lengths = torch.arange(SENTENCES) % 11 + 8
    memory = Memory(torch.randn(SENTENCES, 18, 2 * WIDTH), lengths, torch.randn(SENTENCES, 2 * WIDTH))
    first, seeds = torch.ones(SENTENCES, dtype=torch.int64), range(SENTENCES)
    ways = {
        "greedy": {}, f"beam {options.beam}": {"width": options.beam},
        "sampling": {"sampling": Sampling(), "seeds": seeds},
        "top-k 50": {"sampling": Sampling(top_k=50), "seeds": seeds},
        "top-p 0.9": {"sampling": Sampling(top_p=0.9), "seeds": seeds},
    }  # fmt: skip
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    half = torch.autocast("cpu", torch.bfloat16) if options.precision == "bf16-mixed" else nullcontext()
    with torch.inference_mode(), half:
        for run in range(options.runs + 1):
            for name, settings in ways.items():
                stepper = Translating(decoder, output, memory)
                begin = time.perf_counter()
                search([stepper], first, 2, Restrictions(lengths, lengths), **settings)  # type: ignore[arg-type]
                if run:  # the first is not counted
                    taken[name].append((time.perf_counter() - begin, stepper.seconds))
    for name, found in taken.items():
        whole, network = (statistics.median(part) for part in zip(*found, strict=True))
        ratios = [mine[0] / greedy[0] for mine, greedy in zip(found, taken["greedy"], strict=True)]
        ratio = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}–{max(ratios):.2f})"
        print(f"{name:>10}: {SENTENCES / whole:6,.0f} sentences/s, {1000 * whole:6.1f} ms, of which the network "
              f"{1000 * network:6.1f} ms; ÷ greedy {ratio}")  # fmt: skip


if __name__ == "__main__":
    main()
