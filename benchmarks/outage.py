"""What a tracking server that is slow, gone and back costs a run: training times, in turn, and the points that arrive.

    python benchmarks/outage.py [--rounds N]

The server is MLflow's own, on loopback, on SQLite. In the quiet rounds it answers; in the others it is killed when a
fifth of the points are written, started again at three fifths, and made to hang for three seconds at four fifths. Its
start keeps a core busy for seconds, so in the quiet rounds a second server, which nobody asks, is started just then.
The time is that between the first and the last point of a run, in which nothing but training happens; every point must
arrive once.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from pathlib import Path

from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parent.parent
SETTINGS = ["experiment=grammar", "arch=lstm", "training.tokens=1500000", "training.validations=10",
            "training.threads=1", "tracking.system_metrics=false", "tracking.log_model=false"]  # fmt: skip
POINTS = 10 * (10 * 7 + 12)  # about as many as such a run writes


class Server:
    """MLflow's server."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.uri = f"http://127.0.0.1:{port}"
        self.command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", f"sqlite:///{folder}/mlflow.db",
                        "--artifacts-destination", str(folder), "--port", str(port), "--workers", "1"]  # fmt: skip

    def start(self) -> None:
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = subprocess.Popen(self.command, start_new_session=True, env=environment,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.uri}/health"):
                return
            time.sleep(0.25)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def stop(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()


def written(folder: Path) -> int:
    return sum(path.read_bytes().count(b"\n") for path in folder.glob("outputs/working/*/history.csv"))


def wait_for(folder: Path, share: float, run: subprocess.Popen[bytes]) -> None:
    while written(folder) < share * POINTS and run.poll() is None:
        time.sleep(0.02)


def disturb(server: Server, folder: Path, run: subprocess.Popen[bytes]) -> None:
    wait_for(folder, 0.2, run)
    server.stop()
    wait_for(folder, 0.6, run)
    server.start()
    wait_for(folder, 0.8, run)
    server.signal(signal.SIGSTOP)
    time.sleep(3)
    server.signal(signal.SIGCONT)


def run_once(disturbed: bool) -> float:
    """Seconds between the first and the last point."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        shutil.copytree(ROOT / "conf", folder / "conf")
        server = Server(folder)
        server.start()
        command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", *SETTINGS, f"tracking.uri={server.uri}",
                   "--out", "run"]  # fmt: skip
        run = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if disturbed:
            disturb(server, folder, run)
        else:
            wait_for(folder, 0.6, run)
            idle = Server(folder / "idle")
            (folder / "idle").mkdir()
            idle.start()
        assert run.wait() == 0
        if not disturbed:
            idle.stop()
        client = MlflowClient(server.uri)
        (found,) = client.search_runs([each.experiment_id for each in client.search_experiments()])
        points = [point for name in found.data.metrics for point in client.get_metric_history(found.info.run_id, name)]
        server.stop()
        arrived = Counter(f"{point.step},{point.key},{point.value!r}" for point in points)
        assert arrived == Counter((folder / "run" / "history.csv").read_text(encoding="utf-8").splitlines()[1:])
        times = [point.timestamp for point in points]
        return (max(times) - min(times)) / 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    pairs = [(run_once(False), run_once(True)) for _ in range(parser.parse_args().rounds)]
    quiet, disturbed = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratios = sorted(b / a for a, b in pairs)
    print(f"training took {quiet:.2f} s beside a server that answers, {disturbed:.2f} s beside one that is killed, "
          f"started again and hangs: ratio {disturbed / quiet:.3f} ({ratios[0]:.3f}–{ratios[-1]:.3f}); every point "
          f"arrived once in {2 * len(pairs)} of {2 * len(pairs)} runs")  # fmt: skip


if __name__ == "__main__":
    main()
