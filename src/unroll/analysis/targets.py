"""Targets: bounds on test figures, each for the architecture that is best on validation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import yaml

from unroll.analysis.rows import Entry, Row
from unroll.analysis.samples import measured
from unroll.errors import BadInput, no_such

Runs = Sequence[Entry]
Groups = Mapping[str, Runs]  # runs of each architecture


@dataclass(frozen=True)
class Target:
    """A bound on a figure.

    Args:
        experiment, metric: the figure.
        lower: whether the bound is an upper bound.
        bound: the bound, or with a rival, a multiple of the rival's figure.
        rival: the architecture that the bound refers to, which does not compete; None for an absolute bound.
        archs: the architectures that compete; None for all.
        source: where the bound comes from.
    """

    experiment: str
    metric: str
    lower: bool
    bound: float
    rival: str | None
    archs: list[str] | None
    source: str


def check_targets(path: Path, results: Mapping[str, Groups]) -> list[Row]:
    """Check whether experiments meet their targets.

    The architecture with the best mean on validation is chosen, and its mean on test is compared to the bound. An
    architecture that diverged on validation is not chosen. Of several that tie on validation, the worst on test
    counts. NaN and infinity meet no bound, and no figure meets a bound that is unknown.

    Args:
        path: YAML list of mappings with ``experiment``, ``metric``, ``source``, and ``at_most`` or ``at_least``. With
            ``times: ARCH``, the bound is a multiple of the figure of ARCH, which does not compete. With ``archs``, only
            these compete.
        results: runs by experiment and architecture.

    Raises:
        BadInput: the file is not such a list, names figures that do not exist, or has a bound out of a metric's range.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInput(f"{path} is not YAML: {' '.join(str(error).split())}") from None
    try:
        targets = [_target(entry) for entry in content]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise BadInput(
            f"{path}: a target needs experiment, metric, source, and at_most or at_least; missing or wrong: {error}."
        ) from None
    for number, target in enumerate(targets, start=1):
        try:
            _refuse(target, results)
        except BadInput as error:
            raise BadInput(f"{path}, target {number}: {str(error).rstrip('.')}.") from None
    return [_check(target, results[target.experiment]) for target in targets]


def _target(content: Entry) -> Target:
    lower = "at_most" in content
    bound = float(content["at_most" if lower else "at_least"])
    if not math.isfinite(bound) or (lower and "at_least" in content):
        raise ValueError("one bound, at_most or at_least, which is a finite number")
    archs = content.get("archs") or []
    texts = [content["experiment"], content["metric"], content["source"], content.get("times") or "", *archs]
    if not isinstance(archs, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError("experiment, metric, source and times are text, and archs is a list of names")
    return Target(content["experiment"], content["metric"], lower, bound, content.get("times"), content.get("archs"),
                  content["source"])  # fmt: skip


def _refuse(target: Target, results: Mapping[str, Groups]) -> None:
    """Refuse a target that no figure could meet or miss.

    Raises:
        BadInput: there is no such experiment, architecture or metric, or the bound is out of the metric's range.
    """
    if target.experiment not in results:
        raise no_such("experiment", target.experiment, results)
    groups = results[target.experiment]
    for arch in [*(target.archs or []), *([target.rival] if target.rival else [])]:
        if arch not in groups:
            raise no_such(f"arch of {target.experiment}", arch, groups)
    for runs in groups.values():
        for figures in (run[part] for run in runs for part in ("validation", "test")):
            if target.metric not in figures:
                raise no_such(f"metric of {target.experiment}", target.metric, figures)
        reason = measured(runs[0], target.metric).fault(target.bound)
        if reason and target.rival is None:
            raise BadInput(f"{'at_most' if target.lower else 'at_least'} {target.bound:g}: {reason}")


def _check(target: Target, groups: Groups) -> Row:
    competing = [arch for arch in target.archs or groups if arch != target.rival]
    chosen, notes = _chosen(target, {arch: groups[arch] for arch in competing})
    figure = _mean(groups[chosen], "test", target.metric) if chosen else math.nan
    bound = target.bound * (_mean(groups[target.rival], "test", target.metric) if target.rival else 1)
    if chosen and not math.isfinite(figure):
        notes.append(f"{chosen} has no {target.metric} on test: one of its runs diverged, or nothing was scored")
    if not math.isfinite(bound):
        notes.append(f"the bound is unknown, since {target.rival} has no {target.metric} on test")
    met = math.isfinite(figure) and math.isfinite(bound) and (figure <= bound if target.lower else figure >= bound)
    return {
        "experiment": target.experiment, "metric": target.metric, "arch": chosen, "figure": _or_none(figure),
        "bound": _or_none(bound), "direction": "at most" if target.lower else "at least",
        "seeds": _seeds(groups[chosen]) if chosen else 0, "result": "PASS" if met else "FAIL",
        "note": "; ".join(notes) or None, "source": target.source,
    }  # fmt: skip


def _seeds(runs: Runs) -> int:
    """Number of measurements; 1 for a deterministic network."""
    return 1 if runs[0].get("deterministic") else len(runs)


def _chosen(target: Target, groups: Groups) -> tuple[str | None, list[str]]:
    """The best on validation, of several that tie the worst on test, and notes on the choice."""
    means = {arch: _mean(runs, "validation", target.metric) for arch, runs in groups.items()}
    known = {arch: mean for arch, mean in means.items() if math.isfinite(mean)}
    lost = [arch for arch in means if arch not in known]
    notes = [f"{' and '.join(lost)} could not be chosen: no {target.metric} on validation"] if lost else []
    if not known:
        return None, notes
    best = (min if target.lower else max)(known.values())
    equals = [arch for arch in known if known[arch] == best]
    if len(equals) > 1:
        notes.append(f"{' and '.join(equals)} tie on validation; the worst of them on test counts")
    return max(equals, key=lambda arch: _badness(target, groups[arch])), notes


def _badness(target: Target, runs: Runs) -> tuple[bool, float]:
    figure = _mean(runs, "test", target.metric)
    return not math.isfinite(figure), 0.0 if not math.isfinite(figure) else figure if target.lower else -figure


def _mean(runs: Runs, part: str, name: str) -> float:
    """Mean over seeds on the metric's scale, as in a comparison; not finite if a run has no figure."""
    metric = measured(runs[0], name)
    values = [run[part][name] for run in runs]
    places = [metric.onto(value) for value in values]
    if len(set(values)) == 1 or not all(map(math.isfinite, places)):  # a single value is not rounded
        return fmean(values)
    return metric.back(fmean(places))


def _or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
