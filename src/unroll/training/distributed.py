"""Processes that train one model together: torchrun or SLURM start them, Lightning joins them."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch


class Place(NamedTuple):
    """Which process this is.

    Args:
        rank: its number, from 0.
        world: how many there are.
        local: how many there are on this machine.
    """

    rank: int
    world: int
    local: int


# what the launchers tell each process: rank, number of processes, and their number on a machine
LAUNCHERS = (
    ("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"),  # torchrun
    ("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE"),
)


def place() -> Place:
    """Place of this process, as its launcher tells it; that of a process alone where there is none."""
    for names in LAUNCHERS:
        found = [os.environ.get(name, "") for name in names]
        if all(text.isdigit() for text in found):
            return Place(*map(int, found))
    return Place(0, 1, 1)


def launch(devices: int, arguments: Sequence[str]) -> None:
    """Start the same command once per device under torchrun, in place of this process, unless that was done already."""
    if devices == 1 or place().world > 1:
        return
    command = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}", "-m", "unroll.cli"]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *command, *arguments])


def gathered(value: Any) -> list[Any]:
    """What every process has, in the order of their ranks."""
    if not torch.distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * torch.distributed.get_world_size()
    torch.distributed.all_gather_object(values, value)
    return values
