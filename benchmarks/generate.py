"""Tokens per second of `unroll generate`.

    python benchmarks/generate.py RUN PROMPTS [--length N] [--other FOLDER] [--runs N] [OPTION …]

PROMPTS has a prompt per line. FOLDER is the `src` of another version of unroll, measured in turn with the same run.
OPTIONs, such as `--top-p 0.9`, are passed on to this version alone. Each measurement is a process of its own: it adds a
token to one prompt, and then N tokens to each; the time of the first, which is that of loading the run, is subtracted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

MEASURE = """
import contextlib, io, sys, time
from pathlib import Path
from unroll.cli import main
run, prompts, length, *options = sys.argv[1:]
def generate(*words):
    begin = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        assert main(["generate", run, *words, *options]) == 0
    return time.perf_counter() - begin
first = Path(prompts).read_text(encoding="utf-8").partition("\\n")[0]
generate("--prompt", first, "--length", "1")
load = generate("--prompt", first, "--length", "1")
print(generate("--file", prompts, "--length", length) - load)
"""


def seconds(sources: Path, options: argparse.Namespace, words: list[str]) -> float:
    """Seconds that all continuations take, without loading the run."""
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, str(options.run), str(options.prompts),
               str(options.length), *words]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "PYTHONPATH": str(sources)})  # fmt: skip
    return float(done.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--length", type=int, default=100)
    parser.add_argument("--other", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options, words = parser.parse_known_args()
    versions = {"this version": (Path(__file__).parent.parent / "src", words)}
    if options.other:
        versions["the other one"] = (options.other, [])
    tokens = options.length * len(options.prompts.read_text(encoding="utf-8").splitlines())
    speeds: dict[str, list[float]] = {name: [] for name in versions}
    for _ in range(options.runs):
        for name, (sources, passed) in versions.items():
            speeds[name].append(tokens / seconds(sources, options, passed))
    for name, found in speeds.items():
        print(f"{name}: {_shown(found, 0)} tokens/s")
    if options.other:
        ratios = [mine / other for mine, other in zip(*speeds.values(), strict=True)]
        print(f"ratio {_shown(ratios, 2)}")


def _shown(values: list[float], digits: int) -> str:
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


if __name__ == "__main__":
    main()
