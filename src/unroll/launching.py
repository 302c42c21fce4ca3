"""Starts one process per device with torchrun's engine, unless a launcher has started them."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from unroll.errors import BadInput, ProcessLost

PROCESSES = 4  # maximum number per core; each takes about 330 MB
AT_A_TIME = "UNROLL_PROCESSES"  # environment variable: number of seeds that a stage trains at a time
TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Place(NamedTuple):
    """Position of this process in its group.

    Args:
        rank: global rank, from 0.
        world: number of processes.
        local: number of processes on this machine; 0 if srun does not provide it.
        local_rank: rank on this machine.
        slurm: whether srun started it.
    """

    rank: int
    world: int
    local: int
    local_rank: int
    slurm: bool


def place() -> Place:
    """Position of this process according to torchrun or srun; a single process without a launcher."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Place(*_numbers("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK"), slurm=False)
    # an sbatch script also has the number of tasks, but no step; it is a single process until it calls srun
    if "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        return Place(*_numbers("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_LOCALID"), slurm=True)
    return Place(0, 1, 1, 0, slurm=False)


def _numbers(rank: str, world: str, local: str, local_rank: str) -> tuple[int, int, int, int]:
    """Values of the variables of the launcher."""
    return int(os.environ[rank]), int(os.environ[world]), int(os.environ.get(local, 0)), int(os.environ[local_rank])


def launch(devices: int, arguments: Sequence[str], module: str = "unroll.cli") -> bool:
    """Run this command in one process per device, unless a launcher has done so.

    Args:
        devices: number of processes on this machine.
        arguments: arguments of the command, without its name.
        module: module of the command.

    Returns:
        Whether the command was run, so that the caller has nothing left to do.

    Raises:
        BadInput: a launcher started another or an unknown number of processes, or an interactive shell.
        ProcessLost: a process ended prematurely.
    """
    here = place()
    if here.local == 0:
        raise BadInput("SLURM does not report the tasks per node; use --ntasks-per-node instead of --ntasks.")
    if here.slurm and "SLURM_PTY_PORT" in os.environ:  # in an interactive shell, one task would wait forever
        raise BadInput(f"srun --pty started {here.world} tasks, of which only one has the terminal; omit --pty, or "
                       "start the shell with --ntasks=1.")  # fmt: skip
    if here.world > 1 and here.local != devices:
        raise BadInput(
            f"{here.local} processes were started on this machine, but training.devices={devices}; make them equal."
        )
    if here.world > 1 and not here.slurm:
        end_with_the_launcher()
    if here.world > 1 or devices == 1:
        return False
    most = PROCESSES * (os.cpu_count() or 1)
    if devices > most:
        raise BadInput(f"training.devices={devices} is too many for this machine; set at most {most}, which is "
                       f"{PROCESSES} per core.")  # fmt: skip
    _run(devices, [module, *arguments])
    return True


def end_with_the_launcher(launcher: int | None = None) -> None:
    """Request that this process is killed when its parent ends, since nothing else would end it.

    Args:
        launcher: id of the parent, which may have ended already; None if unknown.
    """
    import ctypes

    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
    if launcher not in (None, os.getppid()):
        raise SystemExit(128 + signal.SIGKILL)


def _run(devices: int, arguments: Sequence[str]) -> None:
    import logging
    import tempfile
    import uuid

    # torchrun logs through two channels; errors are reported below
    os.environ.setdefault("LOGLEVEL", "CRITICAL")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # torchrun's engine would listen on every interface and unpickle what it receives; with a file in a private folder
    # it communicates only with itself
    os.environ["TORCH_DISABLE_SHARE_RDZV_TCP_STORE"] = "1"
    try:
        with _signals_given_back(), tempfile.TemporaryDirectory(prefix="unroll-") as folder:
            config = LaunchConfig(
                min_nodes=1, max_nodes=1, nproc_per_node=devices, run_id=uuid.uuid4().hex, rdzv_backend="c10d",
                rdzv_endpoint=f"{folder}/rendezvous", rdzv_configs={"store_type": "file"}, max_restarts=0,
                local_addr="127.0.0.1",
            )  # fmt: skip
            elastic_launch(config, sys.executable)("-m", *arguments)
    except SignalException as error:
        # after Ctrl-C the processes report it themselves
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in (2, os.EX_UNAVAILABLE, os.EX_TEMPFAIL):
            raise SystemExit(failure.exitcode) from None  # it has reported the reason
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
        raise ProcessLost(f"Process {rank} of {devices} ended with {how}, so all have ended; run the same command "
                          "again to resume from the last checkpoint.") from None  # fmt: skip


@contextlib.contextmanager
def _signals_given_back() -> Iterator[None]:
    """Restore signal handlers afterwards, since torchrun's engine replaces them permanently."""
    handlers = {number: signal.getsignal(number) for number in TAKEN}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
