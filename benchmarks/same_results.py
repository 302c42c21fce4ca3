"""Compares the runs of two `outputs/` folders, such as those of two versions on one machine.

    python benchmarks/same_results.py BEFORE AFTER

Runs are paired by experiment, architecture and seed, in folders `<experiment>/<arch>-<seed>` or
`<experiment>/<arch>/<seed>`. Of each pair, the history of training, the weights and the figures on the test split must
be the same bits. What else describes a run, such as its settings and digests, may differ. The status is 1 if a number
differs, or if only one of the folders has a run.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Run = tuple[str, str, int]  # experiment, architecture, seed


def runs(outputs: Path) -> dict[Run, Path]:
    """Folders of the finished runs, in either layout."""
    found: dict[Run, Path] = {}
    for facts in sorted((outputs / "runs").rglob("run.json")):
        experiment, *inner = facts.parent.relative_to(outputs / "runs").parts
        arch, seed = inner if len(inner) == 2 else inner[0].rsplit("-", 1)
        found[experiment, arch, int(seed)] = facts.parent
    return found


def figures(outputs: Path) -> dict[Run, Mapping[str, Any]]:
    """Figures of every run on the test split."""
    found = {}
    for file in sorted((outputs / "metrics").glob("*.json")):
        for run in json.loads(file.read_text(encoding="utf-8")).values():
            found[file.stem, run["arch"], run["seed"]] = run["test"]
    return found


def differences(before: Path, after: Path) -> list[str]:
    """What differs between two runs, by the names of what is compared."""
    files = ("history.csv", "weights.safetensors")
    return [name for name in files if (before / name).read_bytes() != (after / name).read_bytes()]


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    options = parser.parse_args()
    old, new = runs(options.before), runs(options.after)
    old_figures, new_figures = figures(options.before), figures(options.after)
    differing = 0
    for run in sorted(old.keys() | new.keys()):
        name = "{}/{}-{}".format(*run)
        if run not in old or run not in new:
            differing += 1
            print(f"{name}: only in {options.before if run in old else options.after}")
            continue
        found = differences(old[run], new[run])
        if old_figures.get(run) != new_figures.get(run):
            found.append("test figures")
        differing += bool(found)
        if found:
            print(f"{name}: {', '.join(found)} differ")
    print(f"{len(old.keys() | new.keys()) - differing} of {len(old.keys() | new.keys())} runs are the same")
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
