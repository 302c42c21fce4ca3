"""Networks that are too large for the machine, refused before any of their weights is there.

The kernel of Linux hands out more memory than there is, and kills a process that uses it, without a word.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import torch

from unroll.config import Config
from unroll.data.batch import DataSpec
from unroll.errors import BadInput
from unroll.experiment.building import build_without_numbers
from unroll.tasks.network import TaskNetwork

GROUPS, FILES = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
SIZES = "arch.encoder.hidden_size, arch.inputs.size or arch.encoder.layers"


def refuse_too_large(config: Config, spec: DataSpec, trains: bool) -> None:
    """Refuse a network whose weights do not fit into memory; they are counted on the meta device.

    Args:
        config: settings of the run.
        spec: sizes that the data determines.
        trains: whether each process also holds gradients and the state of the optimizer.

    Raises:
        BadInput: weights, gradients and the moments of the optimizer exceed the memory of the machine or of the control
            group of this process.
    """
    try:
        network = build_without_numbers(config, spec)
    except Exception:  # a user-defined cell may need values; its errors are reported when it is built
        return
    needed = _bytes(network, config, trains)
    limit = memory()
    if needed > limit:
        what = "weights, gradients and the optimizer's moments" if trains else "weights"
        where = f" in {config.training.devices} processes" if trains and config.training.devices > 1 else ""
        raise BadInput(f"arch={config.arch.name} has {sum(p.numel() for p in network.parameters()):,} parameters: its "
                       f"{what}{where} take {needed / 1e9:,.1f} GB, and there are {limit / 1e9:,.1f} GB of memory; "
                       f"lower {SIZES}.")  # fmt: skip


def _bytes(network: TaskNetwork, config: Config, trains: bool) -> int:
    """Bytes of the weights, their gradients and the moments of the optimizer."""
    on_gpu = torch.cuda.is_available()  # gradients and moments are on the GPU, which reports a lack of memory itself
    copies = 1 if on_gpu or not trains else 2 + moments(config)
    sizes = ((copies if p.requires_grad else 1) * p.numel() * p.element_size() for p in network.parameters())
    return sum(sizes) * (config.training.devices if trains else 1)


def moments(config: Config) -> int:
    """Number of moments that the optimizer keeps of each weight."""
    settings = config.training.optimizer
    return 2 if settings.name == "adamw" else int(settings.momentum > 0)


def memory() -> int:
    """Bytes that this process may use: the memory of the machine, or the limit of its control group."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for file in _limit_files():
        with suppress(OSError, ValueError):  # no such file, or no limit
            limits.append(int(file.read_text(encoding="ascii")))
    return min(limits)


def _limit_files() -> Iterator[Path]:
    """Files with limits of the control group of this process and its ancestors, in both versions of cgroups."""
    lines = GROUPS.read_text(encoding="utf-8").splitlines() if GROUPS.is_file() else []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top, name = (FILES / "memory", "memory.limit_in_bytes") if controllers else (FILES, "memory.max")
        group = PurePosixPath(path)
        yield from (top / folder.relative_to("/") / name for folder in (group, *group.parents))
