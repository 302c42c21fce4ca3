"""One process per device: started by torchrun's engine, or by a launcher that has done so already."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from unroll.errors import BadInput, ProcessLost

PROCESSES = 4  # for each core, at most: each takes a third of a gigabyte
TAKEN = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class Place(NamedTuple):
    """Which process this is.

    Args:
        rank: its number among all, from 0.
        world: how many there are.
        local: how many there are on this machine; 0 where srun does not tell.
        local_rank: its number on this machine.
        slurm: whether srun started it.
    """

    rank: int
    world: int
    local: int
    local_rank: int
    slurm: bool


def place() -> Place:
    """Place of this process, as torchrun or srun tells it; that of a process alone where there is no launcher."""
    if "TORCHELASTIC_RUN_ID" in os.environ:
        return Place(*_numbers("RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "LOCAL_RANK"), slurm=False)
    # a script of sbatch has the number of tasks too, but no step: it is alone, until it says srun
    if "SLURM_STEP_ID" in os.environ and int(os.environ.get("SLURM_NTASKS", 1)) > 1:
        return Place(*_numbers("SLURM_PROCID", "SLURM_NTASKS", "SLURM_NTASKS_PER_NODE", "SLURM_LOCALID"), slurm=True)
    return Place(0, 1, 1, 0, slurm=False)


def _numbers(rank: str, world: str, local: str, local_rank: str) -> tuple[int, int, int, int]:
    """What the launcher tells in these variables."""
    return int(os.environ[rank]), int(os.environ[world]), int(os.environ.get(local, 0)), int(os.environ[local_rank])


def launch(devices: int, arguments: Sequence[str], module: str = "unroll.cli") -> bool:
    """Run this command in one process per device, unless a launcher did so.

    Args:
        devices: processes on this machine.
        arguments: of the command, without its name.
        module: which the command is.

    Returns:
        Whether it was run, so that nothing is left to be done.

    Raises:
        BadInput: a launcher started another number of processes, or does not tell how many; or a shell.
        ProcessLost: a process ended before its time.
    """
    here = place()
    if here.local == 0:
        raise BadInput("SLURM does not tell the processes per machine; give --ntasks-per-node, not --ntasks.")
    if here.slurm and "SLURM_PTY_PORT" in os.environ:  # in a shell of it, one would wait for the others for ever
        raise BadInput(f"srun --pty started {here.world} tasks, of which one has the terminal; leave out --pty, or "
                       "take a shell with --ntasks=1.")  # fmt: skip
    if here.world > 1 and here.local != devices:
        raise BadInput(f"{here.local} processes were started on this machine, and training.devices={devices}; "
                       "make the two alike.")  # fmt: skip
    if here.world > 1 and not here.slurm:
        end_with_the_launcher()
    if here.world > 1 or devices == 1:
        return False
    most = PROCESSES * (os.cpu_count() or 1)
    if devices > most:
        raise BadInput(f"training.devices={devices} is more than this machine can run: at most {most}, {PROCESSES} for "
                       "each core; lower it.")  # fmt: skip
    _run(devices, [module, *arguments])
    return True


def end_with_the_launcher(launcher: int | None = None) -> None:
    """Have this process killed when the one that started it is gone: nobody else would end it.

    Args:
        launcher: the process that started this one, which may be gone by now; None if it does not tell.
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

    # torchrun's parts log in two manners; what went wrong is told below
    os.environ.setdefault("LOGLEVEL", "CRITICAL")
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # torchrun's engine would listen on every interface and unpickle what it receives; in a file of a folder that only
    # this user can open, it talks to itself alone
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
        # after Ctrl-C the processes say so themselves
        raise SystemExit(128 + error.sigval) from None
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        if failure.exitcode in (2, os.EX_UNAVAILABLE, os.EX_TEMPFAIL):
            raise SystemExit(failure.exitcode) from None  # it has said why
        how = f"signal {-failure.exitcode}" if failure.exitcode < 0 else f"status {failure.exitcode}"
        raise ProcessLost(f"Process {rank} of {devices} ended with {how}, and so all have ended; start the same "
                          "command again, and the run goes on from its last checkpoint.") from None  # fmt: skip


@contextlib.contextmanager
def _signals_given_back() -> Iterator[None]:
    """Have signals afterwards go where they went before: torchrun's engine takes them for good."""
    handlers = {number: signal.getsignal(number) for number in TAKEN}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
