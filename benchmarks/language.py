"""What a word language model costs: a training step against plain PyTorch, its output layer, and its memory.

    python benchmarks/language.py [--threads N] [--busy] [--rounds N] [--steps N] [--keep-memory] [--only PART …]

Two layers of 650 units, tied weights, 33,278 words, 20 streams of 35 steps (Zaremba et al. 2014; Merity et al. 2018).
The plain side has torch's modules alone, with cross-entropy, clipping and SGD as ours. Contenders take turns in one
process, in an order that changes from round to round; the ratio is that of the medians, with the middle half of the
rounds' own ratios beside. Memory is that of a fresh process for each contender.

Fresh pages of memory for large tensors are much of the time, so that a figure holds for its allocator alone: the C
library's as it is or, with --keep-memory, one that gives nothing back to the system, for all contenders.
"""

from __future__ import annotations

import argparse
import ctypes
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unroll.cells import Cell, GRUCell, LSTMCell
from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.language import RecurrentLanguageNetwork
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import Recurrent, State

VOCABULARY, WIDTH, LAYERS, STREAMS, TIME = 33_278, 650, 2, 20, 35
PLACES = STREAMS * TIME
CLIP, RATE, SCALE = 0.25, 1.0, 0.05
CELLS: dict[str, type[Cell]] = {"lstm": LSTMCell, "gru": GRUCell}
MODULES: dict[str, type[nn.RNNBase]] = {"lstm": nn.LSTM, "gru": nn.GRU}
SIDES = ("plain fp32", "plain bf16", "ours fp32", "ours bf16")


class Plain(nn.Module):
    """The same network in torch's own modules."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, WIDTH, padding_idx=0)
        self.recurrent = MODULES[name](WIDTH, WIDTH, LAYERS, batch_first=True)
        self.decoder = nn.Linear(WIDTH, VOCABULARY)
        self.decoder.weight = self.embedding.weight
        nn.init.normal_(self.embedding.weight, std=SCALE)
        self.state: tuple[Tensor, ...] | Tensor | None = None

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        output, state = self.recurrent(self.embedding(inputs), self.state)
        self.state = state.detach() if isinstance(state, Tensor) else tuple(part.detach() for part in state)
        return F.cross_entropy(self.decoder(output.flatten(0, 1)), targets.flatten())


class Ours(nn.Module):
    """The network of the language model task."""

    def __init__(self, name: str) -> None:
        super().__init__()
        embedding = embed(VOCABULARY, WIDTH, 0, SCALE)
        encoder = SequenceEncoder(embedding, Recurrent(CELLS[name], WIDTH, WIDTH, LAYERS, False), nn.Identity(), None)
        self.network = RecurrentLanguageNetwork(encoder, TokenOutput(WIDTH, VOCABULARY, embedding))
        self.state: State = self.network.initial_state(STREAMS)
        self.lengths = torch.full((STREAMS,), TIME)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        features, state = self.network(inputs, self.lengths, self.state)
        self.state = tuple(type(cell)(*(part.detach().float() for part in cell)) for cell in state)
        return self.network.losses(features.flatten(0, 1), targets.flatten()).sum() / PLACES


def contender(side: str, name: str) -> Callable[[], object]:
    """A training step."""
    torch.manual_seed(0)
    model: Plain | Ours = Plain(name) if side.startswith("plain") else Ours(name)
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, RATE)
    draw = torch.Generator().manual_seed(0)
    windows = [torch.randint(1, VOCABULARY, (STREAMS, TIME + 1), generator=draw) for _ in range(8)]

    def step() -> None:
        windows.append(window := windows.pop(0))
        optimizer.zero_grad()
        with halved(side):
            loss = model.loss(window[:, :-1], window[:, 1:])
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, CLIP)
        optimizer.step()

    return step


def halved(side: str) -> torch.autocast:
    return torch.autocast("cpu", torch.bfloat16, enabled=side.endswith("bf16"))


class Bar(NamedTuple):
    """A ratio of two contenders, and what it is to be."""

    over: str
    under: str
    bar: float
    at_least: bool = True


class Clock:
    """Times contenders in turn."""

    def __init__(self, rounds: int, steps: int, busy: bool) -> None:
        self.rounds, self.steps = rounds, steps
        self.now = time.process_time if busy else time.perf_counter

    def measure(self, contenders: dict[str, Callable[[], object]]) -> dict[str, list[float]]:
        """Milliseconds of a step of each contender, round by round."""
        times: dict[str, list[float]] = {name: [] for name in contenders}
        for number in range(self.rounds):
            order = list(contenders)
            random.Random(number).shuffle(order)
            for name in order:
                contenders[name]()  # caches and memory as this contender leaves them
                begun = self.now()
                for _ in range(self.steps):
                    contenders[name]()
                times[name].append(1e3 * (self.now() - begun) / self.steps)
        return times

    def report(self, title: str, times: dict[str, list[float]], bars: list[Bar], places: int = 0) -> None:
        """Print the time of each contender, and the ratios."""
        print(f"\n{title}")
        for name, found in times.items():
            middle = statistics.median(found)
            speed = f"  {1e3 * places / middle:7,.0f} tokens/s" if places else ""
            print(f"  {name:24} {middle:7.1f} ms ({min(found):.1f}–{max(found):.1f}){speed}")
        for bar in bars:
            each = [one / two for one, two in zip(times[bar.over], times[bar.under], strict=True)]
            low, _, high = statistics.quantiles(each, n=4) if len(each) > 1 else each * 3
            show(
                bar,
                statistics.median(times[bar.over]) / statistics.median(times[bar.under]),
                f" ({low:.2f}–{high:.2f})",
            )


def show(bar: Bar, ratio: float, spread: str = "") -> None:
    met = ratio >= bar.bar if bar.at_least else ratio <= bar.bar
    print(f"  {bar.over} ÷ {bar.under} = {ratio:.2f}{spread}  {'at least' if bar.at_least else 'at most'} {bar.bar}: "
          f"{'met' if met else 'MISSED'}", flush=True)  # fmt: skip


STEP_BARS = {
    "lstm": [Bar("plain fp32", "ours bf16", 2.3), Bar("plain bf16", "ours bf16", 1.5)],
    "gru": [Bar("plain fp32", "ours bf16", 2.6), Bar("plain bf16", "ours bf16", 1.5)],
}


def training_step(clock: Clock) -> None:
    """A training step of the whole model."""
    for name, bars in STEP_BARS.items():
        times = clock.measure({side: contender(side, name) for side in SIDES})
        clock.report(f"training step, {name}", times, bars, PLACES)


def sample() -> tuple[TokenOutput, Tensor, Tensor]:
    """An output layer, features and targets."""
    torch.manual_seed(0)
    output = TokenOutput(WIDTH, VOCABULARY, None)
    return output, torch.randn(PLACES, WIDTH), torch.randint(0, VOCABULARY, (PLACES,))


def plain_losses(output: TokenOutput, features: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output.decoder(features), targets, reduction="none")


def loss(clock: Clock) -> None:
    """The output layer, forward and backward, against its three products in half precision."""
    output, given, targets = sample()
    features, weight = given.bfloat16(), output.decoder.weight.detach().bfloat16()
    residuals = torch.empty(PLACES, VOCABULARY, dtype=torch.bfloat16)
    d_features, d_weight = torch.empty_like(features), torch.empty_like(weight)

    def products() -> None:
        torch.mm(features, weight.t(), out=residuals)
        torch.mm(residuals, weight, out=d_features)
        torch.mm(residuals.t(), features, out=d_weight)

    leaf = features.clone().requires_grad_()

    def step(losses: Callable[..., Tensor], side: str) -> None:
        for parameter in output.parameters():
            parameter.grad = None
        leaf.grad = None
        with halved(side):
            total = losses(output, leaf if side.endswith("bf16") else wide, targets).sum() / PLACES
        total.backward()

    wide = given.clone().requires_grad_()
    times = clock.measure({
        "three products": products,
        "plain fp32": lambda: step(plain_losses, "plain fp32"),
        "plain bf16": lambda: step(plain_losses, "plain bf16"),
        "ours bf16": lambda: step(TokenOutput.losses, "ours bf16"),
    })  # fmt: skip
    clock.report("output layer, forward and backward", times, [Bar("ours bf16", "three products", 1.25, False)])


def evaluation(clock: Clock) -> None:
    """The output layer without gradients."""
    output, given, targets = sample()
    features = given.bfloat16()

    @torch.no_grad()
    def run(losses: Callable[..., Tensor], side: str) -> Tensor:
        with halved(side):
            return losses(output, features if side.endswith("bf16") else given, targets)

    times = clock.measure({
        "plain fp32": lambda: run(plain_losses, "plain fp32"),
        "plain bf16": lambda: run(plain_losses, "plain bf16"),
        "ours bf16": lambda: run(TokenOutput.losses, "ours bf16"),
    })  # fmt: skip
    bars = [Bar("plain fp32", "ours bf16", 3.0), Bar("plain bf16", "ours bf16", 1.7)]
    clock.report("output layer, evaluation", times, bars)


def memory(_: Clock) -> None:
    """What a training step needs beyond parameters and gradients, each contender in a process of its own."""
    print("\ngrowth of memory in training steps, beyond parameters and gradients")
    for name in CELLS:
        grown = {side: growth(side, name) for side in SIDES}
        for side, megabytes in grown.items():
            print(f"  {name} {side:20} {megabytes:6.0f} MB")
        for side in ("plain fp32", "plain bf16"):
            show(Bar("ours bf16", side, 0.6, at_least=False), grown["ours bf16"] / grown[side])


def growth(side: str, name: str) -> float:
    command = [sys.executable, __file__, "--growth", side, name, "--threads", str(torch.get_num_threads())]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def own_growth(side: str, name: str) -> float:
    """Megabytes by which this process grows at its highest, above its size with parameters and gradients."""
    step = contender(side, name)
    step()  # gradients exist from here on, and whatever is loaded once is loaded
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before = resident("VmRSS")
    for _ in range(3):
        step()
    return (resident("VmHWM") - before) / 1e3


def resident(what: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what))


def keep_memory() -> None:
    """Let the C library keep all freed memory: M_MMAP_MAX = 0, and no trimming."""
    libc = ctypes.CDLL(None)
    libc.mallopt(-4, 0)
    libc.mallopt(-1, 2**31 - 1)


PARTS = {"step": training_step, "loss": loss, "evaluation": evaluation, "memory": memory}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--busy", action="store_true", help="processor time of one thread, where others work beside")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=4, help="of each contender in a round")
    parser.add_argument("--keep-memory", action="store_true", help="an allocator that gives no memory back")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--growth", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1 if options.busy else options.threads)
    if options.growth:
        print(own_growth(*options.growth))
        return
    if options.keep_memory:
        keep_memory()
    kept = "keeps all freed memory" if options.keep_memory else "as it is"
    clock = "processor time" if options.busy else "wall time"
    print(f"{clock}, {torch.get_num_threads()} threads, torch {torch.__version__}, the C library's allocator {kept}")
    for part in options.only:
        PARTS[part](Clock(options.rounds, options.steps, options.busy))


if __name__ == "__main__":
    main()
