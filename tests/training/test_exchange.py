"""Processes of one machine listen on loopback alone, and give each other tensors and JSON, which run no code."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from processes import in_processes
from torch.distributed import distributed_c10d

from unroll import experiment, preparation
from unroll.config import Config
from unroll.errors import BadInput, Suspended, Unavailable
from unroll.training.distributed import joined
from unroll.training.exchange import broadcast, by_the_first, gathered, packed, unpacked

Small = Callable[..., Config]
SOURCE = Path(__file__).parent.parent.parent / "src"
LISTENS = "0A"
LOOPBACK = {"0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F"}  # as /proc writes them


def listening(process: int | str) -> set[tuple[str, int]]:
    """Address, in the letters of /proc, and port of every socket on which a process listens."""
    inodes = set()
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            inodes.add(str(descriptor.readlink()).removeprefix("socket:[").removesuffix("]"))
        except FileNotFoundError:
            continue
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in inodes:
                address, port = fields[1].split(":")
                found.add((address, int(port, 16)))
    return found


def family(process: int) -> Iterator[int]:
    """A process and all that it has started."""
    yield process
    for task in Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def other_addresses() -> list[str]:
    """Addresses of this machine at which others would reach it."""
    try:
        told = subprocess.run(["hostname", "-I"], capture_output=True, text=True, check=False).stdout.split()
    except FileNotFoundError:
        return []
    return [address for address in told if not address.startswith(("127.", "::1", "fe80"))]


def refused(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=5).close()
    except OSError:
        return True
    return False


def test_the_check_of_ports_sees_an_open_one() -> None:
    with socket.create_server(("0.0.0.0", 0)) as server:
        port = server.getsockname()[1]
        assert ("00000000", port) in listening("self")
        assert not any(refused(address, port) for address in other_addresses() if ":" not in address)


def test_processes_that_have_met_listen_on_loopback_alone() -> None:
    def meet(rank: int) -> list[tuple[str, int]]:
        with joined():
            gathered(rank)
            return sorted(listening("self"))

    for found in in_processes(2, meet):
        assert isinstance(found, list), found
        assert found
        assert {address for address, _ in found} <= LOOPBACK


@pytest.mark.slow
def test_no_port_of_a_run_answers_at_another_address(small: Small, project: Path) -> None:
    """The launcher and its processes, in training, as people start them."""
    config = small("grammar", "lstm", "training.devices=2", "training.tokens=200000000")
    Path("run.yaml").write_text(config.dump(), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "unroll.cli", "train", "--config", "run.yaml", "--out", "run"]
    run = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        seen: set[tuple[str, int]] = set()
        while not list(Path("outputs/working").glob("*/history.csv")):  # they have met, and train
            assert run.poll() is None
            assert time.monotonic() < deadline
            for process in family(run.pid):
                seen |= _listening_yet(process)
            time.sleep(0.2)
        processes = list(family(run.pid))
        assert len(processes) == 3
        for process in processes:
            seen |= listening(process)
        assert len(seen) >= 3  # the store, and each process for the other
        assert {address for address, _ in seen} <= LOOPBACK
        for address in other_addresses():
            assert all(refused(address, port) for _, port in seen)
    finally:
        os.killpg(run.pid, 9)
        run.wait()


def _listening_yet(process: int) -> set[tuple[str, int]]:
    try:
        return listening(process)
    except OSError:  # it has ended, or is not yet what it will be
        return set()


VALUES: list[Any] = [
    None, True, 3, 0.1, math.inf, "gr\u00fc\u00dfe", [], {}, [1, [2.5, None]], {"tensor": "7", "dict": {}, "tree": [1]},
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=str)
def test_plain_values_come_as_they_were(value: Any) -> None:
    assert unpacked(packed(value)) == value


@pytest.mark.parametrize("kind", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.uint8, torch.int64,
                                  torch.bool])  # fmt: skip
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)], ids=str)
def test_tensors_come_bit_for_bit(kind: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.rand(shape) * 100).to(kind)
    found = unpacked(packed({"a": [tensor, tensor], "b": {"tree": tensor.T if len(shape) == 2 else tensor}}))
    for one in found["a"]:
        assert one.dtype == kind
        assert torch.equal(one, tensor)
    assert torch.equal(found["b"]["tree"], tensor.T if len(shape) == 2 else tensor)


def test_the_state_of_a_generator_and_nan_come_bit_for_bit() -> None:
    state = torch.get_rng_state()
    assert torch.equal(unpacked(packed([state]))[0], state)
    assert math.isnan(unpacked(packed(math.nan)))


class Harmful:
    """An object that does something when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], Path], tuple[str]]:
        return Path, ("harm",)


@pytest.mark.parametrize(
    "value", [Harmful(), (1, 2), {1: 2}, Path("a"), {"a": {3}}], ids=lambda value: type(value).__name__
)
def test_what_would_need_pickling_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="cannot be sent to other processes"):
        packed(value)


def test_what_each_has_is_given_to_all_in_order() -> None:
    def exchange(rank: int) -> Any:
        with joined():
            everyone = gathered({"rank": rank, "long": torch.arange(float(rank * 1000)), "text": "x" * rank})
            return [(one["rank"], len(one["long"]), one["text"]) for one in everyone], broadcast(rank, 1)

    assert in_processes(2, exchange) == [([(0, 0, ""), (1, 1000, "x")], 1)] * 2


@pytest.mark.parametrize("kind", [BadInput, Suspended, Unavailable])
def test_what_the_first_refuses_all_refuse(kind: type[BadInput]) -> None:
    def fail() -> None:
        raise kind("no room")

    def ask(rank: int) -> tuple[str, str]:
        with joined():
            try:
                by_the_first(fail)
            except BadInput as error:
                return type(error).__name__, str(error)
        raise AssertionError

    assert in_processes(2, ask) == [(kind.__name__, "no room")] * 2


def test_a_run_of_two_processes_that_goes_on_unpickles_nothing_of_the_other(small: Small, project: Path) -> None:
    config = small("grammar", "lstm", "training.checkpoint_seconds=1e-6", "training.tokens=300",
                   "training.validations=1", "training.patience=3")  # fmt: skip
    prepared = preparation.prepared(config.data)

    def train(rank: int) -> None:
        def forbidden(*_: Any) -> Any:
            raise AssertionError("an object was pickled for another process")

        for name in ("_object_to_tensor", "_tensor_to_object"):
            assert hasattr(distributed_c10d, name)
            setattr(distributed_c10d, name, forbidden)
        with pytest.raises(AssertionError, match="was pickled"):
            distributed_c10d._object_to_tensor(1)
        experiment.train(config, prepared, project / "run")

    assert in_processes(2, train) == [None, None]
    assert json.loads((project / "run" / "run.json").read_text())["processes"] == 2


def test_no_file_uses_a_collective_that_pickles() -> None:
    names = ("broadcast_object_list", "all_gather_object", "gather_object", "scatter_object_list", "recv_object_list",
             "send_object_list", "import pickle")  # fmt: skip
    for path in (SOURCE / "unroll").rglob("*.py"):
        code = path.read_text(encoding="utf-8")
        assert not [name for name in names if f"{name}(" in code or (name == "import pickle" and name in code)], path
