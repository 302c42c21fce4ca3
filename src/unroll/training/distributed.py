"""Processes that train one model together: torchrun or SLURM start them, Lightning joins them."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeVar

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed

from unroll.errors import BadInput, ProcessLost
from unroll.launching import place

T = TypeVar("T")
SRUN = ".*`srun` command is available.*"  # what Lightning warns of wherever SLURM is installed
# what gloo and NCCL say when the other end of a connection is gone; they have no class for it
GONE = re.compile(
    r"connection (closed|reset|refused|was)|(read|write) error|broken pipe|remote process|timed out", re.I
)


class Group(NamedTuple):
    """The processes of a run, as one of them sees them.

    Args:
        rank: of this process, from 0.
        world: how many there are.
        local: how many there are on this machine.
        cluster: who started them; None for a process alone.
    """

    rank: int
    world: int
    local: int
    cluster: ClusterEnvironment | None


@contextlib.contextmanager
def joined() -> Iterator[Group]:
    """Join the processes that were started together, for as long as they train.

    Raises:
        ProcessLost: one of the others has ended.
        BadInput: there are more processes than GPUs.
    """
    here = place()
    if here.world == 1:
        yield Group(0, 1, 1, None)
        return
    # where this is not set, Lightning shares the machine's cores out, and the sums would depend on it
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", SRUN)
        # SLURM's requeueing is asked for with sbatch --requeue; a run goes on from its own checkpoints
        cluster = SLURMEnvironment(auto_requeue=False) if here.slurm else TorchElasticEnvironment()
    backend = "gloo"
    if torch.cuda.is_available():
        if here.local > torch.cuda.device_count():
            raise BadInput(f"This machine has {torch.cuda.device_count()} GPUs for {here.local} processes; lower "
                           "training.devices.")  # fmt: skip
        torch.cuda.set_device(cluster.local_rank())
        backend = "cpu:gloo,cuda:nccl"
    with _lost_is_told():
        address = f"tcp://{cluster.main_address}:{cluster.main_port}" if here.slurm else None
        distributed.init_process_group(backend, address, rank=here.rank, world_size=here.world)
        yield Group(here.rank, here.world, here.local, cluster)
        leave()  # not after an error, when the others may be gone


def leave() -> None:
    """Leave the processes that were joined; what this one does from here on, it does alone."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def _lost_is_told() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) and "InvalidUsage" not in str(error)  # NCCL's for own mistakes
        if lost or GONE.search(str(error)):
            said = re.sub(r"\[\S+:\d+\] ", "", " ".join(str(error).split()))  # without the places in gloo's code
            reason = said.split(". ")[0][:160]
            raise ProcessLost(
                f"Another process of this run has ended ({reason}), so this one ends too; start the same command "
                "again, and the run goes on from its last checkpoint."
            ) from error
        raise


def by_the_first(make: Callable[[], T]) -> T:
    """What the first process makes, given to all of them; and what it raises, if it is about bad input."""
    if not distributed.is_initialized():
        return make()
    made: list[Any] = [None, None]
    if distributed.get_rank() == 0:
        try:
            made[0] = make()
        except BadInput as error:
            made[1] = error
    distributed.broadcast_object_list(made)
    if made[1] is not None:
        raise made[1]
    return made[0]  # type: ignore[no-any-return]


def gathered(value: Any) -> list[Any]:
    """What every process has, in the order of their ranks."""
    if not distributed.is_initialized():
        return [value]
    values: list[Any] = [None] * distributed.get_world_size()
    distributed.all_gather_object(values, value)
    return values
