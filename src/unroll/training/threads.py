"""How many CPU threads torch computes with."""

from __future__ import annotations

import os

import torch

from unroll.errors import BadInput

PER_CORE = 16  # at most: from there on threads only wait for each other, and hundreds take minutes to begin


def use_threads(count: int) -> None:
    """Compute with this many threads, which decide in what order sums are added up.

    Raises:
        BadInput: the machine has too few cores for them.
    """
    cores = os.cpu_count() or 1
    if count > PER_CORE * cores:
        raise BadInput(f"training.threads={count} are too many for the {cores} cores of this machine; set at most "
                       f"{PER_CORE * cores}, or use a machine with more cores.")  # fmt: skip
    torch.set_num_threads(count)
