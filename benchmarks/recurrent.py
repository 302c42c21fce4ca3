"""What a recurrent layer costs: against torch's own layers, packed sequences, and the loop that a person would write.

    python benchmarks/recurrent.py [--threads N] [--precision fp32|bf16] [--rounds N] [--quick] [--only PART …]

A figure is one training step of a layer, forward and backward with the gradient by its inputs too. Contenders take
turns, in an order that changes from round to round; the ratio is that of the medians, with the middle half of the
rounds' own ratios beside.
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
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from unroll.cells import Cell, CoupledLSTMCell, GRUCell, LSTMCell, PeepholeLSTMCell, VanillaCell
from unroll.networks.conversion import to_torch
from unroll.networks.recurrent import Recurrent

Run = Callable[[Tensor], Tensor]  # inputs [B, T, I] → outputs [B, T, …]
Make = Callable[[int, int], Cell]


class Contender(NamedTuple):
    """A module, and how it reads inputs."""

    module: nn.Module
    run: Run


class Size(NamedTuple):
    """Sequences side by side, their steps, and the width of input and state."""

    batch: int
    time: int
    hidden: int

    def __str__(self) -> str:
        return f"({self.batch}, {self.time}, {self.hidden})"


class Target(NamedTuple):
    """What a ratio must be, by precision; None where nothing was promised."""

    fp32: float | None
    bf16: float | None
    at_least: bool = False

    def verdict(self, ratio: float, precision: str) -> str:
        bar = self.fp32 if precision == "fp32" else self.bf16
        if bar is None:
            return ""
        met = ratio >= bar if self.at_least else ratio <= bar
        return f"{'at least' if self.at_least else 'at most'} {bar}: {'met' if met else 'MISSED'}"


class Clock:
    """Times training steps under the options of one session."""

    def __init__(self, precision: str, rounds: int, seconds: float) -> None:
        self.precision, self.rounds, self.seconds = precision, rounds, seconds

    def step(self, contender: Contender, inputs: Tensor, direction: Tensor) -> None:
        """Forward and backward; the gradient by the output is given, as a layer above would give it."""
        with torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            output = contender.run(inputs)
        torch.autograd.grad(output, [inputs, *contender.module.parameters()], direction)

    def spent(self, contender: Contender, inputs: Tensor, direction: Tensor, repeats: int) -> float:
        """Seconds of one step."""
        begun = time.perf_counter()
        for _ in range(repeats):
            self.step(contender, inputs, direction)
        return (time.perf_counter() - begun) / repeats

    def measure(self, contenders: dict[str, Contender], size: Size) -> dict[str, list[float]]:
        """Seconds of a step of each contender, round by round."""
        inputs = torch.randn(size.batch, size.time, size.hidden, requires_grad=True)
        rehearsals = {name: self._rehearse(contender, inputs) for name, contender in contenders.items()}
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(self.rounds):
            order = list(contenders)
            random.Random(number).shuffle(order)
            for name in order:
                times[name].append(self.spent(contenders[name], inputs, *rehearsals[name]))
        return times

    def _rehearse(self, contender: Contender, inputs: Tensor) -> tuple[Tensor, int]:
        """A gradient by the output, and how many steps fill the seconds of a round."""
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=self.precision == "bf16"):
            direction = torch.randn_like(contender.run(inputs))
        self.step(contender, inputs, direction)
        return direction, max(1, round(self.seconds / self.spent(contender, inputs, direction, 1)))

    def report(self, case: str, times: dict[str, list[float]], over: str, under: str, target: Target) -> None:
        """Print the ratio of two contenders, and whether it is as promised."""
        ratio = statistics.median(times[over]) / statistics.median(times[under])
        each = [one / two for one, two in zip(times[over], times[under], strict=True)]
        low, _, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
        milliseconds = [f"{1e3 * statistics.median(times[name]):.2f}" for name in (over, under)]
        print(f"{case:44} {over} ÷ {under}: {milliseconds[0]} ÷ {milliseconds[1]} ms = {ratio:.2f} "
              f"({low:.2f}–{high:.2f})  {target.verdict(ratio, self.precision)}", flush=True)  # fmt: skip


def layer(make: Make, size: Size, bidirectional: bool = False) -> Recurrent:
    return Recurrent(make, size.hidden, size.hidden, 1, bidirectional)


def ours(network: Recurrent, lengths: Tensor) -> Contender:
    return Contender(network, lambda inputs: network.outputs(inputs, lengths))


def full(size: Size) -> Tensor:
    return torch.full((size.batch,), size.time)


def unmasked(module: nn.RNNBase) -> Contender:
    return Contender(module, lambda inputs: module(inputs)[0])


def packed(module: nn.RNNBase, lengths: Tensor) -> Contender:
    def run(inputs: Tensor) -> Tensor:
        sequences = pack_padded_sequence(inputs, lengths, batch_first=True, enforce_sorted=False)
        return pad_packed_sequence(module(sequences)[0], batch_first=True, total_length=inputs.shape[1])[0]

    return Contender(module, run)


def step_loop(cell: Cell) -> Contender:
    """One call of the cell per step, with autograd and nothing hoisted."""

    def run(inputs: Tensor) -> Tensor:
        state, outputs = cell.initial_state(len(inputs)), []
        for t in range(inputs.shape[1]):
            output, state = cell(inputs[:, t], state)
            outputs.append(output)
        return torch.stack(outputs, dim=1)

    return Contender(cell, run)


def ragged(size: Size, shortest: int) -> Tensor:
    """Lengths drawn evenly, one of which fills the batch."""
    lengths = torch.randint(shortest, size.time + 1, (size.batch,), generator=torch.Generator().manual_seed(0))
    lengths[0] = size.time
    return lengths


FUSED: dict[str, Make] = {"lstm": LSTMCell, "gru": GRUCell, "vanilla": VanillaCell}
SCANNED: dict[str, Make] = {
    "peephole": PeepholeLSTMCell, "coupled": CoupledLSTMCell, "gru-before": lambda i, h: GRUCell(i, h, "before"),
}  # fmt: skip


def bare(clock: Clock) -> None:
    """A layer against torch's, with the same weights: what the framework adds."""
    for name, make in FUSED.items():
        for size in (Size(20, 35, 256), Size(20, 35, 650)):
            network = layer(make, size)
            contenders = {"ours": ours(network, full(size)), "torch": unmasked(to_torch(network))}
            clock.report(f"{name} {size}", clock.measure(contenders, size), "ours", "torch", Target(1.05, 1.05))
    for name in ("lstm", "gru"):
        size = Size(32, 30, 200)
        network = layer(FUSED[name], size, bidirectional=True)
        contenders = {"ragged": ours(network, ragged(size, 20)), "unmasked": unmasked(to_torch(network))}
        case = f"{name} {size}, both directions"
        clock.report(case, clock.measure(contenders, size), "ragged", "unmasked", Target(1.15, 1.15))


def against_packed(clock: Clock) -> None:
    """A ragged bidirectional LSTM against packed sequences."""
    for shortest, longest in ((20, 30), (5, 50)):
        size = Size(32, longest, 200)
        network, lengths = layer(LSTMCell, size, bidirectional=True), ragged(size, shortest)
        contenders = {"packed": packed(to_torch(network), lengths), "ours": ours(network, lengths)}
        times = clock.measure(contenders, size)
        clock.report(f"lengths {shortest}–{longest}", times, "packed", "ours", Target(1.4, 1.8, at_least=True))


def scanned(clock: Clock) -> None:
    """Cells without a kernel: against the plain loop, and against ``nn.LSTM``."""
    for size in (Size(20, 35, 650), Size(20, 35, 256), Size(64, 64, 256), Size(64, 64, 650)):
        promised = size == Size(20, 35, 650)
        for name, make in SCANNED.items():
            contenders = {
                "ours": ours(layer(make, size), full(size)), "loop": step_loop(make(size.hidden, size.hidden)),
                "nn.LSTM": unmasked(nn.LSTM(size.hidden, size.hidden, batch_first=True)),
            }  # fmt: skip
            times = clock.measure(contenders, size)
            faster = Target(1.2, 1.4, at_least=True) if promised else Target(1.0, 1.0, at_least=True)
            clock.report(f"{name} {size}", times, "loop", "ours", faster)
            clock.report("", times, "ours", "nn.LSTM", Target(2.3, 1.6) if promised else Target(None, None))


def gru_against_lstm(clock: Clock) -> None:
    """A GRU layer against an LSTM layer of the same size, and against torch's GRU."""
    for hidden in (256, 650, 1024):
        size = Size(20, 35, hidden)
        gru, lstm = layer(GRUCell, size), layer(LSTMCell, size)
        contenders = {
            "GRU": ours(gru, full(size)), "LSTM": ours(lstm, full(size)), "nn.GRU": unmasked(to_torch(gru)),
        }  # fmt: skip
        times = clock.measure(contenders, size)
        clock.report(f"gru {size}", times, "GRU", "LSTM", Target(None, 1.15))
        clock.report("", times, "GRU", "nn.GRU", Target(1.05, 1.05))


PARTS = {"bare": bare, "packed": against_packed, "scanned": scanned, "gru": gru_against_lstm}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--quick", action="store_true", help="three short rounds: whether it runs, not how fast")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    clock = Clock(options.precision, 3 if options.quick else options.rounds, 0.05 if options.quick else 0.3)
    print(f"{options.precision}, {options.threads} threads, torch {torch.__version__}; sizes are (B, T, H), I = H")
    for part in options.only:
        torch.manual_seed(0)
        print(f"\n{PARTS[part].__doc__}")
        PARTS[part](clock)


if __name__ == "__main__":
    main()
