"""What a decoder costs under teacher forcing: in one scan, in a loop of hoisted steps, and in plain steps.

    python benchmarks/decoder.py [--threads N] [--precision fp32|bf16] [--rounds N] [--quick] [--cell NAME]
                                 [--score general|additive]

A figure is one training step of a decoder without its output layer: forward from the memory, and backward to its
parameters and the memory. Contenders take turns, in an order that changes from round to round; the ratio is that of the
medians, with the middle half of the rounds' own ratios beside.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from unroll.cells import cell_named
from unroll.networks.attention import ATTENTIONS, AdditiveAttention, Attention
from unroll.networks.bridge import LinearBridge
from unroll.networks.decoder import Decoder
from unroll.networks.memory import Memory
from unroll.networks.recurrent import Recurrent
from unroll.networks.wiring import Wiring

SYMBOLS, SIZE = (
    500,
    256,
)  # a small vocabulary: the gradient of its embedding is not compared; the features have twice the size


class Batch(NamedTuple):
    """A memory, the symbols before the targets, and the lengths of those."""

    memory: Memory
    symbols: Tensor
    lengths: Tensor


Run = Callable[[Decoder, Batch], Tensor]  # features [B, T, H]


def fused(decoder: Decoder, batch: Batch) -> Tensor:
    return decoder.whole(batch.symbols, batch.lengths, decoder.start(batch.memory))[0]


def hoisted(decoder: Decoder, batch: Batch) -> Tensor:
    """Features step by step, with embeddings, keys and memory projected once, as wirings without a scan run."""
    running = decoder.start(batch.memory)
    assert running.source is not None
    source, entry, made = running.source.apart(), decoder._entry(), []
    firsts = entry.first(decoder.embedding(batch.symbols).transpose(0, 1).contiguous())
    for first in firsts.unbind(0):
        output, running = decoder._advance(entry, first, source, 1, running)
        made.append(decoder._features(output, running.weights, source, 1))
    return torch.stack(made, dim=1)


def deferred(decoder: Decoder, batch: Batch) -> Tensor:
    """As ``hoisted``, but with the features of all steps computed after the loop."""
    running = decoder.start(batch.memory)
    assert running.source is not None
    return decoder._looped(batch.symbols, batch.lengths, running.source.apart(), running)[0]


def plain(decoder: Decoder, batch: Batch) -> Tensor:
    """One call of the parts per step, as a person would write it: nothing is projected in advance."""
    attention, wiring = decoder.attention, decoder.wiring
    assert attention is not None
    running = decoder.start(batch.memory)
    cell, state, made = decoder.recurrent.layers[0].cell, running.state[0], []
    fed = torch.zeros_like(state[0])
    for symbols in batch.symbols.unbind(1):
        parts = [decoder.embedding(symbols)]
        if wiring.read == "before":
            context, _ = attention.read(state[0][:, None], attention.prepare(batch.memory), None)
            parts.append(context[:, 0])
        output, state = cell(torch.cat([*parts, fed] if wiring.feeding else parts, dim=-1), state)
        if wiring.read == "after":
            context, _ = attention.read(output[:, None], attention.prepare(batch.memory), None)
        fed = torch.tanh(decoder.of_context(context[:, 0]) + decoder.of_output(output))
        made.append(fed)
    return torch.stack(made, dim=1)


def build(wiring: Wiring, cell: str, score: str) -> Decoder:
    torch.manual_seed(0)
    sizes = wiring.input_sizes(SIZE, 2 * SIZE, 2 * SIZE, SIZE)
    recurrent = Recurrent(cell_named(cell), sum(sizes), SIZE, 1, False)
    kind = ATTENTIONS[score]
    attention: Attention = kind(SIZE, 2 * SIZE, SIZE) if issubclass(kind, AdditiveAttention) else kind(SIZE, 2 * SIZE)
    bridge = LinearBridge(2 * SIZE, recurrent.initial_state(1))
    return Decoder(
        nn.Embedding(SYMBOLS, SIZE), recurrent, wiring, bridge, attention, 2 * SIZE, 2 * SIZE, nn.Dropout(0.0)
    )


def batch_of(size: int, precision: str) -> Batch:
    """Sentences of 8 to 16 symbols, as in Multi30k, with a memory of as many steps in the precision of an encoder."""
    random_numbers = torch.Generator().manual_seed(0)
    lengths = torch.randint(8, 17, (2, size), generator=random_numbers)
    lengths[:, 0] = 16
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    features = torch.randn(size, 16, 2 * SIZE, generator=random_numbers).to(kind).requires_grad_()
    summary = torch.randn(size, 2 * SIZE, generator=random_numbers).to(kind).requires_grad_()
    symbols = torch.randint(SYMBOLS, (size, 16), generator=random_numbers)
    return Batch(Memory(features, lengths[0], summary), symbols, lengths[1])


class Clock:
    """Times training steps under the options of one session."""

    def __init__(self, precision: str, rounds: int, seconds: float) -> None:
        self.precision, self.rounds, self.seconds = precision, rounds, seconds

    def step(self, run: Run, decoder: Decoder, batch: Batch) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            features = run(decoder, batch)
        real = (torch.arange(features.shape[1]) < batch.lengths[:, None]).to(features.dtype)
        features.backward(real[..., None].expand_as(features))  # as of an output layer over the real targets
        for tensor in (*decoder.parameters(), batch.memory.features, batch.memory.summary):
            tensor.grad = None

    def spent(self, run: Run, decoder: Decoder, batch: Batch, repeats: int) -> float:
        """Seconds of one step."""
        begun = time.perf_counter()
        for _ in range(repeats):
            self.step(run, decoder, batch)
        return (time.perf_counter() - begun) / repeats

    def measure(self, runs: dict[str, Run], decoder: Decoder, batch: Batch) -> dict[str, list[float]]:
        """Seconds of a step of each contender, round by round."""
        repeats = {}
        for name, run in runs.items():
            self.step(run, decoder, batch)
            repeats[name] = max(1, round(self.seconds / self.spent(run, decoder, batch, 1)))
        times: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(self.rounds):
            order = list(runs)
            random.Random(number).shuffle(order)
            for name in order:
                times[name].append(self.spent(runs[name], decoder, batch, repeats[name]))
        return times

    def report(self, case: str, times: dict[str, list[float]], over: str, under: str, bar: float | None) -> None:
        """Print the ratio of two contenders, and whether it is as promised."""
        ratio = statistics.median(times[over]) / statistics.median(times[under])
        each = [one / two for one, two in zip(times[over], times[under], strict=True)]
        low, _, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
        milliseconds = [f"{1e3 * statistics.median(times[name]):.2f}" for name in (over, under)]
        verdict = "" if bar is None else f"at least {bar}: {'met' if ratio >= bar else 'MISSED'}"
        print(f"{case:36} {over} ÷ {under}: {milliseconds[0]} ÷ {milliseconds[1]} ms = {ratio:.2f} "
              f"({low:.2f}–{high:.2f})  {verdict}", flush=True)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="three short rounds: whether it runs, not how fast")
    parser.add_argument("--cell", default="gru")
    parser.add_argument("--score", default="general", choices=["general", "additive"])
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = Clock(options.precision, 3 if options.quick else options.rounds, 0.05 if options.quick else 0.3)
    print(f"{options.precision}, {options.threads} threads, torch {torch.__version__}; {options.cell} and "
          f"{options.score} attention of {SIZE}, T = S = 16")  # fmt: skip
    promised = options.score == "general"
    bars: dict[tuple[int, str], float] = {
        (64, "hoisted"): 1.5 if options.precision == "fp32" else 2.0,
        (16, "plain"): 3.0,
    }
    for size in (64, 16):
        decoder = build(Wiring("attention", "after"), options.cell, options.score)
        batch = batch_of(size, options.precision)
        times = clock.measure(
            {"hoisted": hoisted, "deferred": deferred, "plain": plain, "fused": fused}, decoder, batch
        )
        for over in ("hoisted", "deferred", "plain"):
            bar = bars.get((size, over)) if promised else None
            clock.report(f"after, B = {size}", times, over, "fused", bar)
    for read, feeding in (("after", True), ("before", False), ("before", True)):
        decoder = build(Wiring("attention", read, feeding), options.cell, options.score)
        batch = batch_of(64, options.precision)
        times = clock.measure({"plain": plain, "hoisted": fused}, decoder, batch)
        clock.report(f"{read}{', feeding' if feeding else ''}, B = 64", times, "plain", "hoisted", None)


if __name__ == "__main__":
    main()
