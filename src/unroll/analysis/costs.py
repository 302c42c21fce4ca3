"""Comparison of measured speeds. They vary between measurements, so they are kept out of hashed outputs."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from unroll.analysis.rows import Entry, Row
from unroll.analysis.verdict import SPEED, Sample, interval, judge_against, sentence
from unroll.errors import BadInput
from unroll.metrics import TOKENS_PER_SECOND
from unroll.outputs import MISREAD, from_json

SPEEDS = ("tokens_per_second", "low", "high")
Speeds = dict[str, list[float]]  # architecture → tokens per second, measurement by measurement


@dataclass(frozen=True)
class Costs:
    """Speeds read from a file.

    Args:
        speeds: for each architecture whose own runs were measured.
        others: architectures for which only a different run was measured.
        path: the file.
    """

    speeds: Speeds
    others: list[str]
    path: Path

    @property
    def note(self) -> str | None:
        """Why some speeds are omitted; None if all are there."""
        if not self.others:
            return None
        return (f"No speed for {', '.join(self.others)}: {self.path} was measured on other runs; run unroll evaluate "
                f"with --costs {self.path.parent}.")  # fmt: skip


def load_costs(path: Path, runs: Collection[Entry]) -> Costs:
    """Measured tokens per second of these runs, by architecture; empty if the file does not exist.

    Args:
        path: file written by ``evaluate --costs``.
        runs: entries of the runs, as written by ``evaluate``.

    Raises:
        BadInput: the file was not written by ``evaluate --costs``.
    """
    if not path.exists():
        return Costs({}, [], path)
    try:
        costs = from_json(path.read_bytes())
        speeds = {arch: [float(value) for value in cost["tokens_per_second"]] for arch, cost in costs.items()}
        if not all(values and all(0 < value < math.inf for value in values) for values in speeds.values()):
            raise ValueError
        measured = {(arch, cost.get("run")) for arch, cost in costs.items()}
    except (OSError, *MISREAD):
        raise BadInput(f"{path} was not written by unroll evaluate --costs; remove it, and measure again.") from None
    ours = {run["arch"] for run in runs}
    own = {run["arch"] for run in runs if "fingerprint" in run and (run["arch"], run["fingerprint"]) in measured}
    return Costs({arch: speeds[arch] for arch in speeds if arch in own}, sorted(ours & speeds.keys() - own), path)


def compare_speeds(experiment: str, speeds: Speeds) -> list[Row]:
    """One row per architecture, with a verdict against the fastest.

    Args:
        experiment: name of the experiment.
        speeds: measurements taken in turn, so that a slowdown of the machine affects all architectures.

    The intervals cover the variation within one pass on one machine, not between machines or days.
    """
    if not speeds:
        return []
    samples = {arch: Sample(values) for arch, values in speeds.items()}
    fastest = min(samples, key=lambda arch: TOKENS_PER_SECOND.rank(samples[arch].values))
    judged = judge_against(fastest, samples, TOKENS_PER_SECOND)
    rows = []
    for arch, values in speeds.items():
        span = interval(values, TOKENS_PER_SECOND)
        found = judged.get(arch)
        limits = (None if limit is None else round(limit) for limit in (span.mean, span.low, span.high))
        rows.append({
            "experiment": experiment, "arch": arch, "measurements": len(values),
            **dict(zip(SPEEDS, limits, strict=True)),
            "p_holm": found and found.p, "verdict": found and sentence(fastest, arch, found, 0, SPEED),
        })  # fmt: skip
    return rows
