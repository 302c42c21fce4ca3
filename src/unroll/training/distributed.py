"""Processes that train one model together: torchrun or SLURM start them, Lightning joins them."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import torch
from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.plugins.environments.torchelastic import TorchElasticEnvironment
from torch import distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from unroll.errors import BadInput, ProcessLost, Unavailable
from unroll.launching import Place, place

LOOPBACK = "127.0.0.1"
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
        _meet(here, cluster, backend)
        yield Group(here.rank, here.world, here.local, cluster)
        leave()  # not after an error, when the others may be gone


def _meet(here: Place, cluster: ClusterEnvironment, backend: str) -> None:
    """Have the processes find each other: on one machine over loopback, so that no other machine can connect."""
    if here.world > here.local:
        address = f"tcp://{cluster.main_address}:{cluster.main_port}" if here.slurm else None
        distributed.init_process_group(backend, address, rank=here.rank, world_size=here.world)
        return
    interfaces = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, interfaces[0])
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun's own, where it listens
        distributed.init_process_group(backend)
        return
    store = _store(here, cluster.main_port)
    distributed.init_process_group(backend, store=store, rank=here.rank, world_size=here.world)


def _store(here: Place, port: int) -> TCPStore:
    """Where processes of one machine leave their addresses; torch's own would listen on every interface.

    Raises:
        Unavailable: another program listens on this port.
    """
    if here.rank > 0:
        return TCPStore(LOOPBACK, port, here.world, is_master=False)
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise Unavailable(f"Port {port} of this machine, where the processes of this run were to meet, cannot be used "
                          f"({error.strerror}); start the same command again.") from None  # fmt: skip
    return TCPStore(LOOPBACK, port, here.world, is_master=True, master_listen_fd=listener.detach())


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
