"""Two hosts train one model: two network namespaces, joined by a cable, each with its own name and address."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from unroll.config import Config
from unroll.errors import ProcessLost
from unroll.training.checkpoint import LAST
from unroll.training.distributed import _lost_peers_reported

Small = Callable[..., Config]
Results = dict[str, bytes]
SENTENCE = "unroll: Another process of this run has ended ("
REMEDY = "run the same command again to resume from the last checkpoint."
# sh's $0 is the name, and its first argument the file that tells both addresses
ENTER = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec "$@"'


class Hosts:
    """Two hosts that share the file system.

    Args:
        folder: for their file of addresses.
    """

    def __init__(self, folder: Path) -> None:
        number = os.getpid() % 250
        self.names = [f"unroll{number}{letter}" for letter in "ab"]  # torchrun ranks hosts by name
        self.addresses = [f"10.213.{number}.{place}" for place in (1, 2)]
        self.file = folder / "hosts"
        pairs = [f"{address} {name}\n" for address, name in zip(self.addresses, self.names, strict=True)]
        self.file.write_text("127.0.0.1 localhost\n" + "".join(pairs), encoding="utf-8")

    def build(self) -> None:
        for name in self.names:
            _ip("netns", "add", name)
        _ip("link", "add", "cable", "netns", self.names[0], "type", "veth", "peer", "cable", "netns", self.names[1])
        for name, address in zip(self.names, self.addresses, strict=True):
            _ip("-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "link", "set", "cable", "up")
        subprocess.run(self.on(0, "true"), check=True, capture_output=True)

    def remove(self) -> None:
        for name in self.names:
            for pid in self.processes(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def on(self, host: int, *command: str) -> list[str]:
        """A command of this machine that runs a command on a host."""
        name = self.names[host]
        return ["ip", "netns", "exec", name, "unshare", "--uts", "--mount", "sh", "-c", ENTER, name, str(self.file),
                *command]  # fmt: skip

    def processes(self, name: str) -> list[int]:
        told = subprocess.run(["ip", "netns", "pids", name], check=False, capture_output=True, text=True)
        return [int(word) for word in told.stdout.split()]

    def all_processes(self) -> list[int]:
        return [pid for name in self.names for pid in self.processes(name)]

    def training(self, rank: int) -> int:
        """The process that has this rank."""
        (found,) = [pid for pid in self.all_processes() if f"RANK={rank}" in _environment(pid)]
        return found

    def start(self, out: str) -> list[subprocess.Popen[str]]:
        """Start a training on both."""
        command = ["torchrun", "--nnodes=2", "--nproc-per-node=1", "--rdzv-backend=c10d",
                   f"--rdzv-endpoint={self.addresses[0]}:29400", "--no-python", "unroll", "train", "--config",
                   "run.yaml", "--out", out]  # fmt: skip
        environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
        return [
            subprocess.Popen(
                self.on(host, *command), env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for host in (0, 1)
        ]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def _environment(pid: int) -> list[str]:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/environ").read_text(encoding="utf-8", errors="replace").split("\0")
    return []


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces")
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}, with which network namespaces are made")
    made = Hosts(tmp_path)
    try:
        try:
            made.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"network namespaces cannot be made here: {error.stderr!r}")
        yield made
    finally:
        made.remove()


@pytest.fixture
def run(small: Small, project: Path) -> Path:
    """Settings that are trained for some seconds, in ``run.yaml``; nothing is prepared yet."""
    config = small(
        "grammar", "lstm", "arch.encoder.dropout=0.3", "training.tokens=12000", "training.validations=4",
        "training.checkpoint_seconds=0.05",
    )  # fmt: skip
    path = project / "run.yaml"
    path.write_text(config.dump(), encoding="utf-8")
    return path


def ended(commands: list[subprocess.Popen[str]], seconds: float) -> tuple[list[int], list[str]]:
    """Status and last words of each command, which must end within these seconds."""
    deadline = time.monotonic() + seconds
    errors = [command.communicate(timeout=max(0.1, deadline - time.monotonic()))[1] for command in commands]
    return [command.returncode for command in commands], errors


def results(folder: Path) -> Results:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def validations(errors: list[str]) -> list[str]:
    """The tokens at which a run told of a validation."""
    return [line.split()[1] for error in errors for line in error.splitlines() if " tokens  val/" in line]


def whole(hosts: Hosts, out: str) -> tuple[Results, list[str]]:
    """What an uninterrupted run comes to, and when it was validated."""
    codes, errors = ended(hosts.start(out), 120)
    assert codes == [0, 0], errors
    return results(Path(out)), validations(errors)


def wait_for_checkpoint(step: int, commands: list[subprocess.Popen[str]]) -> None:
    """Until a checkpoint of this step or a later one is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert all(command.poll() is None for command in commands), "it ended before its time"
        for path in Path("outputs/working").glob(f"*/{LAST}"):
            with contextlib.suppress(FileNotFoundError):  # it is being replaced
                if torch.load(path, weights_only=True)["global_step"] >= step:
                    return
        time.sleep(0.05)
    raise AssertionError("there was no checkpoint")


@pytest.mark.hosts
def test_two_hosts_train_what_two_processes_of_one_host_train(hosts: Hosts, run: Path) -> None:
    found, _ = whole(hosts, "two")
    done = subprocess.run(
        ["unroll", "train", "--config", _with_devices(run), "--out", "one"],
        env={**os.environ, "PYTHONWARNINGS": "ignore"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = results(Path("one"))
    assert expected.pop("config.yaml") != found.pop("config.yaml")  # which says how many there are on a machine
    assert found == expected


def _with_devices(run: Path) -> str:
    """The same settings for two processes on one machine."""
    text = run.read_text(encoding="utf-8")
    assert "  devices: 1\n" in text
    (run.parent / "devices.yaml").write_text(text.replace("  devices: 1\n", "  devices: 2\n"), encoding="utf-8")
    return "devices.yaml"


@pytest.mark.hosts
@pytest.mark.parametrize("victim", ["the first process", "the second process", "the second host's torchrun"])
def test_a_killed_process_ends_both_hosts_and_the_same_commands_go_on(victim: str, hosts: Hosts, run: Path) -> None:
    expected, told = whole(hosts, "whole")
    commands = hosts.start("killed")
    wait_for_checkpoint(150, commands)  # past the first of the validations
    rank = 0 if victim == "the first process" else 1
    pid = hosts.training(rank)
    if "torchrun" in victim:
        pid = int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()[1])
    os.kill(pid, signal.SIGKILL)
    codes, errors = ended(commands, 30)
    assert all(codes), codes
    assert SENTENCE in errors[1 - rank]
    assert REMEDY in errors[1 - rank]
    assert "/gloo/" not in next(line for line in errors[1 - rank].splitlines() if line.startswith(SENTENCE))
    deadline = time.monotonic() + 5
    while hosts.all_processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not hosts.all_processes()
    assert not Path("killed").exists()

    codes, errors = ended(hosts.start("killed"), 120)
    assert codes == [0, 0], errors
    assert 0 < len(validations(errors)) < len(told)  # it did go on
    assert validations(errors) == told[-len(validations(errors)) :]
    assert results(Path("killed")) == expected
    assert not list(Path("outputs/working").iterdir())


@pytest.mark.parametrize(
    "said",
    [
        "Read error [10.213.7.2]:18059: Connection reset by peer. This is typically caused by a remote worker",
        "Connection closed by peer [10.213.7.2]:52953. This is typically caused by a remote worker",
        "Read error [10.213.7.2]:30933: No route to host. This is typically caused by a remote worker",
        "Read error [10.213.7.2]:11698: Connection timed out. This is typically caused by a remote worker",
    ],
)
def test_what_gloo_says_of_a_host_that_is_gone_is_told_in_a_sentence(said: str) -> None:
    with pytest.raises(ProcessLost) as caught, _lost_peers_reported():
        raise RuntimeError(f"[/__w/pytorch/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:537] {said}")
    told = str(caught.value)
    assert told.startswith(f"Another process of this run has ended ({said.split('. ')[0]}), ")
    assert told.endswith(REMEDY)


def test_what_is_no_loss_of_a_process_stays_what_it_is() -> None:
    with pytest.raises(RuntimeError, match="must match the size"), _lost_peers_reported():
        raise RuntimeError("The size of tensor a (3) must match the size of tensor b (4)")
