"""Plots of a study: its trials, their results and their cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from unroll.analysis.plots import as_svg, by_scale, label_below, line
from unroll.analysis.styles import INK, SOFT, Styles
from unroll.analysis.trials import FinishedTrial, StudyResults
from unroll.analysis.verdict import expected_best

SIZE = (3.7, 2.9)  # inches


def history(study: StudyResults, styles: Styles) -> str:
    """All trials with a figure: complete ones filled, pruned ones hollow, the best so far as a line."""
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for arch in study.archs:
        for state, face in (("COMPLETE", styles[arch].colour), ("PRUNED", "none")):
            trials = [t for t in study.trials if (t.arch, t.state) == (arch, state) and t.value is not None]
            axes.plot([t.number for t in trials], [t.value for t in trials], styles[arch].marker, markersize=4.5,
                      alpha=0.8, color=styles[arch].colour, markerfacecolor=face,
                      gid=f"{state.lower()}-{arch}")  # fmt: skip
        axes.plot(*_best_so_far(study, arch), drawstyle="steps-post", linewidth=1.4, label=arch, **line(styles[arch]))
    if study.summary["states"]["PRUNED"]:
        axes.plot([], [], "o", markersize=4.5, color=SOFT, markerfacecolor="none", label="pruned")
    _scale(axes, study)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set(xlabel="trial", title=f"validation {study.metric}, every trial")
    label_below(figure, axes)
    return as_svg(figure)


def _best_so_far(study: StudyResults, arch: str) -> tuple[list[int], list[float]]:
    """Best complete trial of an architecture so far, extended to the last trial of the study."""
    done = [(trial.number, trial.value) for trial in study.complete(arch) if trial.value is not None]
    best = [study.best([value for _, value in done[: place + 1]]) for place in range(len(done))]
    numbers = [number for number, _ in done]
    return ([*numbers, study.trials[-1].number], [*best, best[-1]]) if done else ([], [])


def importances(study: StudyResults) -> str:
    """Importance of each key, as bars."""
    shares = sorted(study.summary["importances"].items(), key=lambda item: item[1])
    names = [key.removesuffix(".name").rpartition(".")[2] for key, _ in shares]
    names = [key if names.count(name) > 1 else name for name, (key, _) in zip(names, shares, strict=True)]
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    bars = axes.barh(
        [name.replace("_", " ") for name in names], [share for _, share in shares], height=0.55, color="#b8ad98"
    )
    axes.bar_label(bars, [f"{100 * share:.0f} %" for _, share in shares], padding=4, fontsize=9, color=SOFT)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.set_xlim(0, 1.15 * max(share for _, share in shares) or 1)
    axes.set_ylim(len(names) - max(len(names), 4) - 0.5, len(names) - 0.5)
    axes.set_title("importance of each key")
    return as_svg(figure)


def _parameters(trial: FinishedTrial) -> float | None:
    return trial.parameters


def _time(trial: FinishedTrial) -> float | None:
    return None if trial.tokens_per_second is None else 1e6 / trial.tokens_per_second


COSTS: dict[str, tuple[str, str, Callable[[FinishedTrial], float | None]]] = {
    "parameters": ("parameters", "parameters", _parameters),
    "time": ("time per token", "microseconds per token", _time),
}


def front(study: StudyResults, styles: Styles, cost: str) -> str:
    """Quality against a cost: the complete trials, and the Pareto front as a step line."""
    name, label, of = COSTS[cost]
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for arch in study.archs:
        points = [(of(trial), trial.value) for trial in study.complete(arch) if of(trial) is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], styles[arch].marker, markersize=4.5, alpha=0.8,
                  color=styles[arch].colour, label=arch, gid=f"trials-{arch}")  # fmt: skip
    best = sorted((of(trial) or 0.0, trial.value) for trial in study.trials if cost in trial.fronts)
    _scale(axes, study)
    right = axes.get_xlim()[1]
    axes.plot([*(x for x, _ in best), right], [*(y for _, y in best), best[-1][1]], drawstyle="steps-post", color=INK,
              linewidth=1.1, zorder=1, label="front", gid="front")  # fmt: skip
    axes.set_xlim(right=right)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set(xlabel=label, title=f"validation {study.metric} by {name}")
    label_below(figure, axes)
    return as_svg(figure)


def expected(study: StudyResults, styles: Styles) -> str:
    """Expected best of n trials, which makes architectures with different numbers of trials comparable.

    The shading covers what is unknown because trials were ended early.
    """
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for arch in study.archs:
        judged = study.judged(arch)
        curve, edge = (_expected(study, [values[side] for values in judged]) for side in (0, 1))
        counts = range(1, len(curve) + 1)
        axes.plot(counts, curve, linewidth=1.4, label=arch, gid=f"best-of-{arch}", **line(styles[arch], at=None))
        axes.fill_between(
            counts, curve, edge, color=styles[arch].colour, alpha=0.15, linewidth=0, gid=f"doubt-of-{arch}"
        )
    _scale(axes, study)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set(xlabel="trials", title=f"expected best validation {study.metric}")
    label_below(figure, axes)
    return as_svg(figure)


def _scale(axes: Axes, study: StudyResults) -> None:
    by_scale(axes, study.scale, [trial.value for trial in study.trials if trial.value is not None])


def _expected(study: StudyResults, values: Sequence[float]) -> list[float]:
    """Expected best of 1, 2, … trials, on the metric's scale if all figures are finite there."""
    places = [study.scale.onto(value) for value in values]
    if not all(map(math.isfinite, places)):
        return expected_best(values, study.lower)
    return [study.scale.back(place) for place in expected_best(places, study.lower)]
