"""How long it takes until something happens: `unroll --help`, and the first optimizer step of `unroll train`.

    python benchmarks/startup.py [--runs N]

Run in the project's root, with the corpus prepared (the first run does it) and MLflow's store in place.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time

FIRST_STEP = """
import os, sys, time
import torch
from torch.optim import AdamW
def stop(*_, **__):
    sys.stdout.write(f"{time.time() - float(os.environ['STARTED']):.2f}")
    sys.stdout.flush()
    os._exit(0)
AdamW.step = stop
from unroll.cli import main
main(["train", "experiment=tagging", "arch=bilstm", "tracking.log_model=false"])
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    helps, steps = [], []
    for _ in range(runs + 1):
        start = time.time()
        subprocess.run(["unroll", "--help"], check=True, capture_output=True)
        helps.append(time.time() - start)
        done = subprocess.run([sys.executable, "-W", "ignore", "-c", FIRST_STEP], check=True, capture_output=True,
                              text=True, env={**os.environ, "STARTED": str(time.time())})  # fmt: skip
        steps.append(float(done.stdout))
    for name, values in (("unroll --help", helps[1:]), ("unroll train, to its first step", steps[1:])):
        print(f"{name}: median {statistics.median(values):.2f} s, {min(values):.2f}–{max(values):.2f} s")


if __name__ == "__main__":
    main()
