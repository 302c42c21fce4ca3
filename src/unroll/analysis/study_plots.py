"""Figures of a study: what was tried, what came of it, and at what cost."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from unroll.analysis.comparison import digits
from unroll.analysis.plots import INK, as_svg, by_logarithm, label_below
from unroll.analysis.reach import UNITS, Samples, distances, samples
from unroll.analysis.trials import TRUNCATION, Study, Trial
from unroll.analysis.verdict import expected_best

Palette = dict[str, str]  # architecture → colour

SIZE = (3.7, 2.9)  # inches
SOFT, SHADE = "#5d5a52", "#f3efe6"
SHADES = LinearSegmentedColormap.from_list("ink", (SHADE, "#44403c"))
WIDE_RANGE = 4  # from the best figure to the worst; beyond it the ordinate is logarithmic
ACROSS = 5  # panels in a row
COLUMNS = 3  # of a legend


def figures(study: Study, palette: Palette) -> dict[str, str]:
    """Every figure that a study has something to show in, by name."""
    drawn: dict[str, str] = {}
    if any(study.complete(arch) for arch in study.archs):
        drawn["history"] = history(study, palette)
    if study.told["importances"]:
        drawn["importances"] = importances(study)
    cells = _cells(study)
    if any(map(any, cells)):
        drawn["map"] = heat_map(study, cells)
    for cost in COSTS:
        if any(cost in trial.fronts for trial in study.trials):
            drawn[f"front-{cost}"] = front(study, palette, cost)
    if any(len(study.complete(arch)) > 1 for arch in study.archs):
        drawn["expected-best"] = expected(study, palette)
    if distances(study):
        drawn["reach"] = reach(study, palette)
    return drawn


def history(study: Study, palette: Palette) -> str:
    """Every trial that has a figure: complete ones filled, pruned ones hollow, the best so far a line."""
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for arch in study.archs:
        for state, face in (("COMPLETE", palette[arch]), ("PRUNED", "none")):
            trials = [t for t in study.trials if (t.arch, t.state) == (arch, state) and t.value is not None]
            axes.plot([t.number for t in trials], [t.value for t in trials], "o", markersize=4.5, alpha=0.8,
                      color=palette[arch], markerfacecolor=face, gid=f"{state.lower()}-{arch}")  # fmt: skip
        axes.plot(*_best_so_far(study, arch), drawstyle="steps-post", color=palette[arch], linewidth=1.4, label=arch)
    if study.told["states"]["PRUNED"]:
        axes.plot([], [], "o", markersize=4.5, color=SOFT, markerfacecolor="none", label="pruned")
    _scale(axes, study)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.set(xlabel="trial", title=f"validation {study.metric}, every trial")
    label_below(figure, axes, COLUMNS)
    return as_svg(figure)


def _best_so_far(study: Study, arch: str) -> tuple[list[int], list[float]]:
    """The best complete trial of an architecture up to each, and on to the last trial of all."""
    done = [(trial.number, trial.value) for trial in study.complete(arch) if trial.value is not None]
    best = [study.best([value for _, value in done[: place + 1]]) for place in range(len(done))]
    numbers = [number for number, _ in done]
    return ([*numbers, study.trials[-1].number], [*best, best[-1]]) if done else ([], [])


def importances(study: Study) -> str:
    """How much of the quality each key decides, as bars."""
    shares = sorted(study.told["importances"].items(), key=lambda item: item[1])
    names = [key.rpartition(".")[2] for key, _ in shares]
    names = [key if names.count(name) > 1 else name for name, (key, _) in zip(names, shares, strict=True)]
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    bars = axes.barh([name.replace("_", " ") for name in names], [share for _, share in shares], height=0.55,
                     color="#b8ad98")  # fmt: skip
    axes.bar_label(bars, [f"{100 * share:.0f} %" for _, share in shares], padding=4, fontsize=9, color=SOFT)
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(left=False, bottom=False, labelbottom=False)
    axes.set_xlim(0, 1.15 * max(share for _, share in shares))
    axes.set_ylim(len(names) - max(len(names), 4) - 0.5, len(names) - 0.5)
    axes.set_title("importance of each key")
    return as_svg(figure)


def _cells(study: Study) -> list[list[list[float]]]:
    """Figures of all complete trials by architecture and k, where both were chosen."""
    return [[[trial.value for trial in study.complete(arch)
              if TRUNCATION in trial.values and trial.values[TRUNCATION] == k and trial.value is not None]
             for k in study.choices(TRUNCATION)] for arch in study.choices("arch")]  # fmt: skip


def heat_map(study: Study, cells: list[list[list[float]]]) -> str:
    """The best figure of every architecture with every k, and of how many complete trials it is the best."""
    archs, reaches = study.choices("arch"), study.choices(TRUNCATION)
    best = [[study.best(values) if values else math.nan for values in row] for row in cells]
    known = [value for row in best for value in row if not math.isnan(value)]
    low, high = min(known), max(known)
    figure, axes = plt.subplots(figsize=(SIZE[0], max(SIZE[1], 0.9 + 0.45 * len(archs))), layout="constrained")
    axes.pcolormesh(best, cmap=SHADES.reversed() if study.lower else SHADES, vmin=low, vmax=high, edgecolor="#fffefb",
                    linewidth=3)  # fmt: skip
    for row, values in enumerate(cells):
        for column, cell in enumerate(values):
            shade = (best[row][column] - low) / ((high - low) or 1)
            is_dark = bool(cell) and (shade < 0.55 if study.lower else shade > 0.45)
            _write(axes, column + 0.5, row + 0.5, best[row][column], len(cell), "#fffefb" if is_dark else INK)
    axes.set_xticks([place + 0.5 for place in range(len(reaches))], [_steps(k) for k in reaches])
    axes.set_yticks([place + 0.5 for place in range(len(archs))], archs)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel="truncation length k", title=f"best validation {study.metric}")
    return as_svg(figure)


def _write(axes: Axes, x: float, y: float, value: float, trials: int, colour: str) -> None:
    """A cell's figure, and below it how many trials it is of."""
    text = f"{value:.{min(digits(value), 3)}f}" if trials else "–"
    axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=8.5)
    if trials:
        axes.annotate(f"{trials} trial{'s' * (trials > 1)}", (x, y), xytext=(0, -10), textcoords="offset points",
                      ha="center", va="center", color=colour, fontsize=6.5, alpha=0.8)  # fmt: skip


def _parameters(trial: Trial) -> float | None:
    return trial.parameters


def _time(trial: Trial) -> float | None:
    return None if trial.tokens_per_second is None else 1e6 / trial.tokens_per_second


COSTS: dict[str, tuple[str, str, Callable[[Trial], float | None]]] = {
    "parameters": ("parameters", "parameters", _parameters),
    "time": ("time per token", "microseconds per token", _time),
}


def front(study: Study, palette: Palette, cost: str) -> str:
    """Quality against a cost: every complete trial a point, and a line under which no trial is.

    The line steps: from each cost of the front on, what it reaches can be had.
    """
    name, label, of = COSTS[cost]
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for arch in study.archs:
        points = [(of(trial), trial.value) for trial in study.complete(arch) if of(trial) is not None]
        axes.plot([x for x, _ in points], [y for _, y in points], "o", markersize=4.5, alpha=0.8, color=palette[arch],
                  label=arch, gid=f"trials-{arch}")  # fmt: skip
    best = sorted((of(trial) or 0.0, trial.value) for trial in study.trials if cost in trial.fronts)
    _scale(axes, study)
    right = axes.get_xlim()[1]
    axes.plot([*(x for x, _ in best), right], [*(y for _, y in best), best[-1][1]], drawstyle="steps-post", color=INK,
              linewidth=1.1, zorder=1, label="front", gid="front")  # fmt: skip
    axes.set_xlim(right=right)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.set(xlabel=label, title=f"validation {study.metric} by {name}")
    label_below(figure, axes, COLUMNS)
    return as_svg(figure)


def expected(study: Study, palette: Palette) -> str:
    """The best that so many complete trials are expected to bring, so that more trials are no advantage."""
    figure, axes = plt.subplots(figsize=SIZE, layout="constrained")
    for arch in study.archs:
        values = [trial.value for trial in study.complete(arch) if trial.value is not None]
        curve = expected_best(values, study.lower)
        axes.plot(range(1, len(curve) + 1), curve, ".-", color=palette[arch], linewidth=1.4, label=arch,
                  gid=f"best-of-{arch}")  # fmt: skip
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
    axes.set(xlabel="complete trials", title=f"expected best validation {study.metric}")
    label_below(figure, axes, COLUMNS)
    return as_svg(figure)


def reach(study: Study, palette: Palette) -> str:
    """Accuracy by k, a panel for each distance: every complete trial a point, means a line, shaded where k is less."""
    panels, reaches = distances(study), study.choices(TRUNCATION)
    rows, across = math.ceil(len(panels) / ACROSS), min(len(panels), ACROSS)
    figure, grid = plt.subplots(rows, across, figsize=(11, 0.4 + 2.5 * rows), sharex=True, sharey=True, squeeze=False,
                                layout="constrained")  # fmt: skip
    for axes, distance in zip(grid.flat, panels, strict=False):
        for place, arch in enumerate(study.archs):
            lane = (place + 0.5) / len(study.archs) - 0.5, 1 / len(study.archs)
            _points(axes, samples(study, arch, distance), reaches, lane, palette[arch], f"{distance}-{arch}")
        short = sum(k is not None and k < distance for k in reaches)
        shade = axes.axvspan(-0.6, short - 0.5, color=SHADE, linewidth=0, zorder=0)
        axes.set_xticks(range(len(reaches)), [_steps(k) for k in reaches])
        axes.set(title=f"over {distance} {UNITS[study.probe or '']}", xlim=(-0.6, len(reaches) - 0.4))
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set(ylabel="validation accuracy", ylim=(-0.03, 1.03))
    for axes in grid[-1]:
        axes.set_xlabel("truncation length k")
    handles = [Line2D([], [], marker="o", markersize=4, color=palette[arch], label=arch) for arch in study.archs]
    shade.set_label("k below the distance")
    figure.legend(handles=[*handles, shade], loc="outside lower center", ncols=len(handles) + 1, frameon=False,
                  fontsize=9)  # fmt: skip
    return as_svg(figure)


def _points(
    axes: Axes, by_k: Samples, reaches: Sequence[Any], lane: tuple[float, float], colour: str, gid: str
) -> None:
    """Runs of an architecture in a panel, side by side in its lane, so that equal ones are seen, and their means."""
    places = {math.inf if k is None else k: place for place, k in enumerate(reaches)}
    centre, width = 0.7 * lane[0], 0.7 * lane[1]
    for k, values in by_k.items():
        gap = min(0.08, 0.8 * width / len(values))
        across = [places[k] + centre + gap * (number - (len(values) - 1) / 2) for number in range(len(values))]
        axes.plot(across, values, "o", markersize=3.8, alpha=0.6, markeredgewidth=0, color=colour, gid=f"{gid}-{k:g}")
    axes.plot([places[k] + centre for k in by_k], [fmean(values) for values in by_k.values()], color=colour,
              linewidth=1.5)  # fmt: skip


def _scale(axes: Axes, study: Study) -> None:
    values = [trial.value for trial in study.trials if trial.value is not None]
    if min(values) > 0 and max(values) / min(values) > WIDE_RANGE:
        by_logarithm(axes)


def _steps(k: Any) -> str:
    return "all" if k is None else f"{k:g}"
