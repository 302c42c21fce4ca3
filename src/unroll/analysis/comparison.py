"""Architectures side by side: means over seeds, differences to the best, targets met or missed."""

from __future__ import annotations

import csv
import io
import json
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

from unroll.analysis.verdict import holm, sentence, t_interval, welch
from unroll.errors import BadInput
from unroll.outputs import whole, write_text

KEYS = {"arch", "seed", "split", "parameters", "tokens", "test", "validation", "headline", "mode"}
Results = dict[str, dict[str, Any]]  # run → what evaluate wrote of it


def load_results(path: Path) -> Results:
    """Read what ``evaluate`` wrote.

    Raises:
        BadInput: the file is missing or is something else.
    """
    try:
        results: Results = json.loads(path.read_text(encoding="utf-8"))
        if not results or any(not set(run) >= KEYS for run in results.values()):
            raise KeyError
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput(f"{path} does not exist as a file; run unroll evaluate, or make repro.") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{path} was not written by unroll evaluate; name files of outputs/metrics.") from None
    return results


def by_arch(results: Results) -> dict[str, list[dict[str, Any]]]:
    """Runs of each architecture, in the order of their seeds."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in sorted(results.values(), key=lambda run: (run["arch"], run["seed"])):
        groups[run["arch"]].append(run)
    return dict(groups)


def compare(experiment: str, results: Results) -> list[dict[str, Any]]:
    """One row per architecture, best first, with its difference to the best.

    Args:
        experiment: its name.
        results: figures of its runs.
    """
    groups = by_arch(results)
    first = next(iter(results.values()))
    metric, lower = first["headline"], first["mode"] == "min"
    values = {arch: [run["test"][metric] for run in runs] for arch, runs in groups.items()}
    sign = 1 if lower else -1
    # an arch of which a seed diverged has no mean, and comes last
    order = sorted(values, key=lambda arch: (math.isnan(fmean(values[arch])), sign * fmean(values[arch])))
    best = order[0]
    differences = {arch: welch(values[arch], values[best]) for arch in order[1:]}
    corrected = dict(zip(differences, holm([d.p for d in differences.values()]), strict=True))
    rows = []
    for arch in order:
        interval, difference, p = t_interval(values[arch]), differences.get(arch), corrected.get(arch)
        rows.append({
            "experiment": experiment, "arch": arch, "split": first["split"], "metric": metric,
            "seeds": len(values[arch]),
            "mean": interval.mean, "half_width": interval.half_width,
            "parameters": groups[arch][0]["parameters"], "tokens": round(fmean(run["tokens"] for run in groups[arch])),
            "difference_to_best": difference and difference.mean,
            "difference_half_width": difference and difference.half_width, "p_holm": p,
            "verdict": difference and sentence(best, arch, difference, p, digits(interval.mean)),
        })  # fmt: skip
    return rows


def digits(value: float) -> int:
    """Decimals with which a figure of this size is written: three digits that mean something of a small one."""
    if 0 < abs(value) < 0.01:
        return 2 - math.floor(math.log10(abs(value)))
    return 4 if abs(value) < 1.5 else 2 if abs(value) < 100 else 1


def check_targets(path: Path, results: dict[str, Results]) -> list[dict[str, Any]]:
    """Whether the best mean of an experiment meets the figure it is measured by.

    Args:
        path: YAML list of ``experiment``, ``metric``, ``at_most`` or ``at_least`` and ``source``; with ``times``, the
            bound is a multiple of the figure of that architecture, which does not compete then; with ``archs``, only
            those compete.
        results: figures by experiment.
    """
    try:
        targets = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{path} is no YAML: {' '.join(str(error).split())}") from None
    try:
        return [_check_target(target, results) for target in targets]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(
            f"{path}: a target needs experiment, metric, source and at_most or at_least, of figures that there are; "
            f"this is missing or wrong: {error}."
        ) from None


def _check_target(target: dict[str, Any], results: dict[str, Results]) -> dict[str, Any]:
    groups = by_arch(results[target["experiment"]])
    lower, rival = "at_most" in target, target.get("times")
    bound = float(target["at_most" if lower else "at_least"])
    means = {arch: fmean(run["test"][target["metric"]] for run in runs) for arch, runs in groups.items()}
    if rival:
        bound *= means.pop(rival)
    means = {arch: means[arch] for arch in target.get("archs", means)}
    best = (min if lower else max)(means, key=lambda arch: means[arch])
    met = means[best] <= bound if lower else means[best] >= bound
    return {
        "experiment": target["experiment"], "metric": target["metric"], "arch": best, "figure": means[best],
        "bound": bound, "direction": "at most" if lower else "at least", "seeds": len(groups[best]),
        "result": "PASS" if met else "FAIL", "source": target["source"],
    }  # fmt: skip


def compare_all(metrics: Sequence[Path], costs: Path, out: Path, targets: Path | None) -> str:
    """Compare every experiment; write ``comparison.csv`` and ``.json``, and the costs beside the measured speeds.

    Args:
        metrics: files that ``evaluate`` wrote, named after their experiments.
        costs: folder with the measured speeds, which vary and so stay out of ``out``.
        out: folder to write.
        targets: see :func:`check_targets`; None for none.

    Returns:
        Tables for the terminal.
    """
    results = {path.stem: load_results(path) for path in metrics}
    rows = [row for name, runs in results.items() for row in compare(name, runs)]
    checks = check_targets(targets, results) if targets else []
    speeds = {name: load_costs(costs / f"{name}.json") for name in results}
    with whole(out, replaces="comparison.json") as folder:
        folder.mkdir()
        (folder / "comparison.csv").write_text(_csv(rows), encoding="utf-8")
        (folder / "comparison.json").write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        if checks:
            (folder / "targets.json").write_text(json.dumps(checks, indent=1) + "\n", encoding="utf-8")
    cost_rows = [{"experiment": name, "arch": arch, "tokens_per_second": round(speed)}
                 for name, of_arch in speeds.items() for arch, speed in of_arch.items()]  # fmt: skip
    if cost_rows:
        write_text(costs / "comparison.csv", _csv(cost_rows))
    return _table(rows, speeds, checks)


def load_costs(path: Path) -> dict[str, float]:
    """Measured tokens per second of each architecture; empty where nothing was measured.

    Raises:
        BadInput: the file is something else.
    """
    if not path.exists():
        return {}
    try:
        costs = json.loads(path.read_text(encoding="utf-8"))
        return {arch: float(cost["tokens_per_second"]) for arch, cost in costs.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(f"{path} was not written by unroll evaluate --costs; remove it.") from None


def _csv(rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _table(rows: list[dict[str, Any]], speeds: dict[str, dict[str, float]], checks: list[dict[str, Any]]) -> str:
    lines = []
    for number, row in enumerate(rows):
        if number == 0 or rows[number - 1]["experiment"] != row["experiment"]:
            lines.append(f"\n{row['experiment']}: {row['split']} {row['metric']}, mean ± 95 % t interval over seeds")
        decimals = digits(row["mean"])
        figure = f"{row['mean']:.{decimals}f}"
        if row["half_width"] is not None:
            figure += f" ± {row['half_width']:.{decimals}f}"
        speed = speeds[row["experiment"]].get(row["arch"])
        lines.append(f"  {row['arch']:8} {figure:20} {row['parameters']:>10,} parameters "
                     f"{'' if speed is None else f'{speed:>11,.0f} tokens/s'}  {row['verdict'] or ''}")  # fmt: skip
    for check in checks:
        figures = f"{check['arch']} {check['figure']:.4f}, {check['direction']} {check['bound']:.4f}"
        lines.append(f"\n{check['result']}  {check['experiment']} {check['metric']}: {figures} ({check['source']})")
    return "\n".join(lines).lstrip("\n")
