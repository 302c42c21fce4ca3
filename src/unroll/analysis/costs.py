"""Measured speeds side by side: they vary from time to time, and so stay out of what is compared and hashed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any

from unroll.analysis.verdict import SPEED, judge_against, sentence, t_interval
from unroll.errors import BadInput

Speeds = dict[str, list[float]]  # architecture → tokens per second, measurement by measurement


def load_costs(path: Path) -> Speeds:
    """Measured tokens per second of each architecture; empty where nothing was measured.

    Raises:
        BadInput: the file is something else.
    """
    if not path.exists():
        return {}
    try:
        costs = json.loads(path.read_text(encoding="utf-8"))
        speeds = {arch: [float(value) for value in cost["tokens_per_second"]] for arch, cost in costs.items()}
        if not all(values and all(0 < value < math.inf for value in values) for values in speeds.values()):
            raise ValueError
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{path} was not written by unroll evaluate --costs; remove it, and measure anew.") from None
    return speeds


def compare_speeds(experiment: str, speeds: Speeds) -> list[dict[str, Any]]:
    """One row per architecture, as it was measured, with a verdict against the fastest.

    Args:
        experiment: its name.
        speeds: of measurements in turn, so that a machine that slows down slows all of them.

    What varies is this machine in this one pass: another machine, or another day, is not in the interval.
    """
    if not speeds:
        return []
    fastest = max(speeds, key=lambda arch: fmean(speeds[arch]))
    judged = judge_against(fastest, speeds, lower=False)
    rows = []
    for arch, values in speeds.items():
        interval, found = t_interval(values), judged.get(arch)
        rows.append({
            "experiment": experiment, "arch": arch, "measurements": len(values),
            "tokens_per_second": round(interval.mean),
            "half_width": None if interval.half_width is None else round(interval.half_width),
            "p_holm": found and found.p, "verdict": found and sentence(fastest, arch, found, 0, SPEED),
        })  # fmt: skip
    return rows
