"""Distributed training: torchrun or SLURM starts the processes, Lightning connects them."""

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
SRUN = ".*`srun` command is available.*"  # a warning of Lightning wherever SLURM is installed
# messages of gloo and NCCL for a lost peer; they have no class of errors for it
GONE = re.compile(
    r"connection (closed|reset|refused|was)|(read|write) error|broken pipe|remote process|timed out", re.I
)


class Group(NamedTuple):
    """The group of processes of a run, from the view of one of them.

    Args:
        rank: rank of this process, from 0.
        world: number of processes.
        local: number of processes on this machine.
        cluster: the environment that started them; None for a single process.
    """

    rank: int
    world: int
    local: int
    cluster: ClusterEnvironment | None


@contextlib.contextmanager
def joined() -> Iterator[Group]:
    """Join the process group for the duration of training.

    Raises:
        ProcessLost: another process has ended.
        BadInput: there are more processes than GPUs.
    """
    here = place()
    if here.world == 1:
        yield Group(0, 1, 1, None)
        return
    # otherwise Lightning divides the cores of the machine, and the order of summation would depend on them
    os.environ.setdefault("OMP_NUM_THREADS", str(torch.get_num_threads()))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", SRUN)
        # requeueing is requested with sbatch --requeue; a run resumes from its own checkpoints
        cluster = SLURMEnvironment(auto_requeue=False) if here.slurm else TorchElasticEnvironment()
    backend = "gloo"
    if torch.cuda.is_available():
        if here.local > torch.cuda.device_count():
            raise BadInput(
                f"This machine has {torch.cuda.device_count()} GPUs for {here.local} processes; lower training.devices."
            )
        torch.cuda.set_device(cluster.local_rank())
        backend = "cpu:gloo,cuda:nccl"
    with _lost_peers_reported():
        _connect(here, cluster, backend)
        yield Group(here.rank, here.world, here.local, cluster)
        leave()  # not after an error, when other processes may be gone


def _connect(here: Place, cluster: ClusterEnvironment, backend: str) -> None:
    """Initialise the process group; on a single machine over loopback, so that no other machine can connect."""
    if here.world > here.local:
        address = f"tcp://{cluster.main_address}:{cluster.main_port}" if here.slurm else None
        distributed.init_process_group(backend, address, rank=here.rank, world_size=here.world)
        return
    interfaces = [name for _, name in socket.if_nameindex() if name in ("lo", "lo0")]
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, interfaces[0])
    if os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":  # torchrun provides a store
        distributed.init_process_group(backend)
        return
    store = _store(here, cluster.main_port)
    distributed.init_process_group(backend, store=store, rank=here.rank, world_size=here.world)


def _store(here: Place, port: int) -> TCPStore:
    """Rendezvous store of the processes of one machine; torch's default listens on every interface.

    Raises:
        Unavailable: another program listens on this port.
    """
    if here.rank > 0:
        return TCPStore(LOOPBACK, port, here.world, is_master=False)
    try:
        listener = socket.create_server((LOOPBACK, port))
    except OSError as error:
        raise Unavailable(f"Port {port}, through which the processes of this run connect, cannot be used "
                          f"({error.strerror}); run the same command again.") from None  # fmt: skip
    return TCPStore(LOOPBACK, port, here.world, is_master=True, master_listen_fd=listener.detach())


def leave() -> None:
    """Leave the process group; this process continues alone."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


@contextlib.contextmanager
def _lost_peers_reported() -> Iterator[None]:
    """Raise errors of lost connections as :class:`ProcessLost`."""
    try:
        yield
    except RuntimeError as error:
        lost = isinstance(error, distributed.DistError) and "InvalidUsage" not in str(error)  # NCCL's error for misuse
        if lost or GONE.search(str(error)):
            said = re.sub(r"\[\S+:\d+\] ", "", " ".join(str(error).split()))  # without locations in gloo's code
            reason = said.split(". ")[0][:160]
            raise ProcessLost(
                f"Another process of this run has ended ({reason}), so this one ends, too; run the same command again "
                "to resume from the last checkpoint."
            ) from error
        raise
