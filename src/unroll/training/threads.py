"""Number of CPU threads of torch."""

from __future__ import annotations

import os

import torch

from unroll.errors import BadInput

PER_CORE = 16  # maximum number of threads per core; more only wait for each other, and hundreds take minutes to start


def use_threads(count: int) -> None:
    """Set the number of threads, on which the order of summation depends.

    Raises:
        BadInput: the machine has too few cores for them.
    """
    cores = os.cpu_count() or 1
    if count > PER_CORE * cores:
        raise BadInput(f"training.threads={count} is too many for the {cores} cores of this machine; set at most "
                       f"{PER_CORE * cores}, or use a machine with more cores.")  # fmt: skip
    torch.set_num_threads(count)
