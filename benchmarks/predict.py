"""Sentences per second of `unroll predict`, and how long it takes to the first answer.

    python benchmarks/predict.py RUN FILE [--other FOLDER [--other-run RUN]] [--runs N]

FILE has plain lines (.txt). FOLDER is the `src` of another version of unroll, measured in turn, if needed with the same
run in its own format; its answers must be equal. Each measurement is a process of its own: it answers one line twice
and the file once. The time of the second line, which is that of loading the run, is subtracted from that of the file.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MEASURE = """
import contextlib, json, os, sys, time
from pathlib import Path
from unroll.cli import main
run, file, out = sys.argv[1:]
def predict(*words):
    begin = time.perf_counter()
    with open(out, "w", encoding="utf-8") as target, contextlib.redirect_stdout(target):
        assert main(["predict", run, *words]) == 0
    return time.perf_counter() - begin
line = Path(file).read_text(encoding="utf-8").partition("\\n")[0]
predict(line)
start = time.time() - float(os.environ["STARTED"])
print(json.dumps([start, -predict(line) + predict("--file", file)]))
"""


def measured(sources: Path, run: Path, file: Path) -> tuple[float, float, str]:
    """Seconds to the first answer, seconds for the file without loading the run, and the answers."""
    with tempfile.NamedTemporaryFile() as out:
        environment = {**os.environ, "PYTHONPATH": str(sources), "STARTED": str(time.time())}
        command = [sys.executable, "-W", "ignore", "-c", MEASURE, str(run), str(file), out.name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                              env=environment)  # fmt: skip
        return *json.loads(done.stdout), Path(out.name).read_text(encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("file", type=Path)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--other-run", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    versions = {"this version": (Path(__file__).parent.parent / "src", options.run)}
    if options.other:
        versions["the other one"] = (options.other, options.other_run or options.run)
    count = len(options.file.read_text(encoding="utf-8").splitlines())
    starts: dict[str, list[float]] = {name: [] for name in versions}
    speeds: dict[str, list[float]] = {name: [] for name in versions}
    answers = set()
    for _ in range(options.runs):
        for name, (sources, run) in versions.items():
            start, seconds, printed = measured(sources, run, options.file)
            starts[name].append(start)
            speeds[name].append(count / seconds)
            answers.add(printed)
    assert len(answers) == 1, "the answers differ"
    for name in versions:
        print(f"{name}: {_shown(speeds[name], 0)} sentences/s, {_shown(starts[name], 2)} s to the first answer")
    if options.other:
        for what, found, digits in (("sentences/s", speeds, 1), ("first answer", starts, 2)):
            ratios = [mine / other for mine, other in zip(*found.values(), strict=True)]
            print(f"{what}: ratio {_shown(ratios, digits)}")


def _shown(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


if __name__ == "__main__":
    main()
