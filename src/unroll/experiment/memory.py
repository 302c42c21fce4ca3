"""Networks that are too large for the machine, refused before any of their weights is there.

The kernel of Linux hands out more memory than there is, and kills a process that uses it, without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import torch

from unroll.config import Config, NgramConfig
from unroll.data.batch import DataSpec
from unroll.errors import BadInput
from unroll.experiment.building import build_without_numbers
from unroll.tasks.network import TaskNetwork

GROUPS, FILES = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
SIZES = "recurrent.hidden_size, recurrent.embedding_size or recurrent.layers"


def refuse_too_large(config: Config, spec: DataSpec, trains: bool) -> None:
    """Count the weights of a network without making them, and refuse what cannot be held in memory.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        trains: whether each process on this machine also holds gradients and what the optimizer keeps.

    Raises:
        BadInput: weights, gradients and the optimizer's moments alone are larger than the memory of the machine, or
            of this process's control group.
    """
    if isinstance(config.arch, NgramConfig):  # it has what it counts
        return
    try:
        network = build_without_numbers(config, spec)
    except Exception:  # a cell of one's own may need numbers; what is wrong with it is reported when it is built
        return
    needed, limit = _bytes(network, config, trains), memory()
    if needed > limit:
        what = "weights, gradients and the optimizer's moments" if trains else "weights"
        where = f" in {config.training.devices} processes" if trains and config.training.devices > 1 else ""
        raise BadInput(f"arch={config.arch.name} has {sum(p.numel() for p in network.parameters()):,} parameters: its "
                       f"{what}{where} take {needed / 1e9:,.1f} GB, and there are {limit / 1e9:,.1f} GB of memory; "
                       f"lower {SIZES}.")  # fmt: skip


def _bytes(network: TaskNetwork, config: Config, trains: bool) -> int:
    """Memory of the weights, and of what is of their size: the gradient, the moments of the optimizer."""
    on_gpu = torch.cuda.is_available()  # which holds the rest, and reports its own lack of memory
    copies = 1 if on_gpu or not trains else 2 + moments(config)
    sizes = ((copies if p.requires_grad else 1) * p.numel() * p.element_size() for p in network.parameters())
    return sum(sizes) * (config.training.devices if trains else 1)


def moments(config: Config) -> int:
    """Numbers that the optimizer keeps of each weight that is learned."""
    settings = config.training.optimizer
    return 2 if settings.name == "adamw" else int(settings.momentum > 0)


def memory() -> int:
    """Bytes that this process may use: all of the machine, or less where its control group has a limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limit_files():
        with suppress(OSError, ValueError):  # no such file, or max
            limits.append(int(file.read_text(encoding="ascii")))
    return min(limits)


def _limit_files() -> Iterator[Path]:
    """Files that may have a limit: those of this process's control group and of all above it, of both versions."""
    lines = GROUPS.read_text(encoding="utf-8").splitlines() if GROUPS.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (FILES / "memory", "memory.limit_in_bytes") if controllers else (FILES, "memory.max")
        group = PurePosixPath(path)
        yield from (top / folder.relative_to("/") / name for folder in (group, *group.parents))
