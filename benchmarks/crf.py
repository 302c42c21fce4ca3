"""What the loss of the linear-chain CRF costs, forward and backward, beside the package pytorch-crf.

    python benchmarks/crf.py [--threads N] [--rounds N]

Both get the same emissions, targets and parameters, in fp32, and give the same loss and gradients, which is checked
first. The two take turns, and the ratio is that of the medians of the time per step.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torchcrf
from torch import Tensor

from unroll.networks.crf import LinearChainCRF

CASES = {
    "K 17, B 32, T 30": (17, 30, 30),
    "K 17, B 32, T 5–30": (17, 30, 5),
    "K 50, B 32, T 100": (50, 100, 100),
    "K 50, B 32, T 10–100": (50, 100, 10),
}  # labels, longest and shortest sequence
BATCH = 32


def contenders(labels: int, longest: int, shortest: int) -> list[Callable[[], list[Tensor]]]:
    """A training step of each side: loss, and gradients by emissions, start, transitions and end."""
    torch.manual_seed(0)
    ours, theirs = LinearChainCRF(labels, None), torchcrf.CRF(labels, batch_first=True)
    names = {"start": "start_transitions", "transitions": "transitions", "end": "end_transitions"}
    ours.load_state_dict({own: theirs.state_dict()[their] for own, their in names.items()})
    emissions = torch.randn(BATCH, longest, labels, requires_grad=True)
    targets = torch.randint(labels, (BATCH, longest))
    lengths = torch.randint(shortest, longest + 1, (BATCH,))
    mask = torch.arange(longest) < lengths[:, None]

    def step(loss: Callable[[], Tensor], module: torch.nn.Module, order: list[str]) -> list[Tensor]:
        emissions.grad = None
        module.zero_grad()
        value = loss()
        value.backward()
        return [value.detach(), emissions.grad, *(module.get_parameter(name).grad for name in order)]

    return [
        lambda: step(lambda: ours(emissions, targets, lengths).sum(), ours, list(names)),
        lambda: step(lambda: -theirs(emissions, targets, mask, reduction="sum"), theirs, list(names.values())),
    ]


def timed(step: Callable[[], list[Tensor]]) -> float:
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=100)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for case, sizes in CASES.items():
        sides = contenders(*sizes)
        for _ in range(5):
            for mine, other in zip(*(side() for side in sides), strict=True):
                torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4)
        turns = [[timed(side) for side in sides] for _ in range(arguments.rounds)]
        ours, theirs = (statistics.median(side) * 1e3 for side in zip(*turns, strict=True))
        print(f"{case}: {ours:.2f} ms, pytorch-crf {theirs:.2f} ms, {theirs / ours:.1f} times as fast")


if __name__ == "__main__":
    main()
