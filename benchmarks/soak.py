"""Kills runs at random moments, starts them again, and compares what they come to with runs that were left alone.

    python benchmarks/soak.py [--kills N] [--seed N]

Each run is `unroll train` in processes of its own, killed with SIGKILL, all of them at once, at places drawn over its
first nine tenths (by tokens, so that they are inside the run on a machine of any speed); a checkpoint is due every
twentieth of a second, so that many a kill falls into the writing of one.
A kill is recovered if the same command goes on from a checkpoint that is no older than the one that the kill left.
At the end weights, history, settings and run.json must be the same bytes. The status is 1 if anything differs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
COMMON = ["tracking=none", "training.checkpoint_seconds=0.05", "training.validations=6"]
CASES = {
    "language model, LSTM with dropout": ["experiment=grammar", "arch=lstm", "arch.encoder.dropout=0.3",
                                          "training.tokens=150000"],
    "language model, GRU, bf16, accumulation 2, k 35, s 20": [
        "experiment=grammar", "arch=gru", "training.precision=bf16-mixed", "training.accumulate=2",
        "training.truncation_stride=20", "training.tokens=120000"],
    "tagger, spelling biLSTM with CRF, early stopping": [
        "experiment=tagging", "arch=bilstm-chars-crf", "arch.encoder.dropout=0.3", "training.patience=5",
        "training.tokens=40000"],
    "regressor, IRNN": ["experiment=adding", "arch=irnn", "training.tokens=3000000"],
    "two processes, LSTM with dropout": ["experiment=grammar", "arch=lstm", "arch.encoder.dropout=0.3",
                                         "training.devices=2", "training.tokens=120000"],
}  # fmt: skip


def start(folder: Path, settings: list[str], out: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-W", "ignore", "-m", "unroll.cli", "train", *COMMON, *settings, "--out", out]
    return subprocess.Popen(command, cwd=folder, start_new_session=True, stdout=subprocess.DEVNULL,
                            stderr=subprocess.PIPE)  # fmt: skip


def finish(process: subprocess.Popen[bytes]) -> str:
    said = process.communicate()[1].decode()
    if process.returncode:
        sys.exit(said)
    return said


def step_of(path: Path) -> int:
    try:
        return int(torch.load(path, weights_only=True)["global_step"])
    except Exception:  # it was being written, or is not there
        return -1


def reached(folder: Path) -> int:
    """The step from which the run would go on."""
    return max([step_of(path) for path in folder.glob("outputs/working/*/*.ckpt")], default=-1)


def tokens_of(path: Path) -> int:
    """Tokens at the newest whole line of a history."""
    lines = path.read_text().rpartition("\n")[0].splitlines()
    return int(lines[-1].split(",")[0]) if lines else 0


def trained(folder: Path) -> int:
    return max(map(tokens_of, folder.glob("outputs/working/*/history.csv")), default=0)


def kill(folder: Path, settings: list[str], place: float, delay: float) -> int:
    """Start the run, kill it so many seconds after it has saved again and seen so many tokens; the step it reached."""
    begin, process = time.time(), start(folder, settings, "killed")
    while trained(folder) < place or not any(
        path.stat().st_mtime > begin for path in folder.glob("outputs/working/*/previous.ckpt")
    ):
        if process.poll() is not None:
            sys.exit(f"the run ended before it could be killed: {process.communicate()[1].decode()}")
        time.sleep(0.01)
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    if (folder / "killed").exists():
        sys.exit("the run ended before it could be killed; give it more tokens")
    return reached(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    draw, recovered, differing = random.Random(options.seed), 0, []
    for number, (name, settings) in enumerate(CASES.items()):
        kills = options.kills // len(CASES) + (number < options.kills % len(CASES))
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            shutil.copytree(ROOT / "conf", folder / "conf")
            finish(start(folder, settings, "whole"))
            total, steps = tokens_of(folder / "whole" / "history.csv"), [0]
            for place in sorted(draw.uniform(0.0, 0.9 * total) for _ in range(kills)):
                step = kill(folder, settings, place, delay=draw.uniform(0.0, 0.05))
                recovered += step >= steps[-1]
                steps.append(step)
            finish(start(folder, settings, "killed"))
            one, two = contents(folder / "whole"), contents(folder / "killed")
            other = [file for file in one if one[file] != two.get(file)]
            differing += [f"{name}: {file}" for file in other]
            print(f"{name}: killed after steps {', '.join(map(str, steps[1:]))}; "
                  f"{'differs in ' + ', '.join(other) if other else 'the same bytes'}", flush=True)  # fmt: skip
    print(f"{recovered} of {options.kills} kills recovered; {len(differing)} files differ")
    return int(bool(differing) or recovered < options.kills)


if __name__ == "__main__":
    sys.exit(main())
