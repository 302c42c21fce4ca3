"""Plots of a study over k, the number of steps the gradient goes back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from unroll.analysis.plots import SHADES, as_svg, line
from unroll.analysis.study_plots import SIZE
from unroll.analysis.styles import CARD, FAINT, Style, Styles
from unroll.analysis.trials import TRUNCATION, StudyResults
from unroll.analysis.truncation import UNITS, Samples, distances, samples
from unroll.metrics import digits

ACROSS = 5  # panels in a row


def cells_of(study: StudyResults) -> list[list[list[float]]]:
    """Figures of all complete trials by architecture and k, if both were searched."""
    return [[[trial.value for trial in study.complete(arch)
              if TRUNCATION in trial.values and trial.values[TRUNCATION] == k and trial.value is not None]
             for k in study.choices(TRUNCATION)] for arch in study.choices("arch")]  # fmt: skip


def heat_map(study: StudyResults, cells: list[list[list[float]]]) -> str:
    """The best figure for every architecture and k, with the number of complete trials."""
    archs = study.choices("arch")
    reaches = study.choices(TRUNCATION)
    best = [[study.best(values) if values else math.nan for values in row] for row in cells]
    known = [value for row in best for value in row if not math.isnan(value)]
    low, high = min(known), max(known)
    figure, axes = plt.subplots(figsize=(SIZE[0], max(SIZE[1], 0.9 + 0.45 * len(archs))), layout="constrained")
    axes.pcolormesh(
        best, cmap=SHADES.reversed() if study.lower else SHADES, vmin=low, vmax=high, edgecolor=CARD, linewidth=3
    )
    for row, values in enumerate(cells):
        for column, cell in enumerate(values):
            shade = (best[row][column] - low) / ((high - low) or 1)
            is_dark = bool(cell) and (shade < 0.55 if study.lower else shade > 0.45)
            _write(axes, column + 0.5, row + 0.5, best[row][column], len(cell), "#ffffff" if is_dark else "#1c1917")
    axes.set_xticks([place + 0.5 for place in range(len(reaches))], [_steps(k) for k in reaches])
    axes.set_yticks([place + 0.5 for place in range(len(archs))], archs)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0)
    axes.set(xlabel="truncation length k", title=f"best validation {study.metric}")
    return as_svg(figure)


def _write(axes: Axes, x: float, y: float, value: float, trials: int, colour: str) -> None:
    """Write the figure of a cell and, below it, the number of trials."""
    figure = f"{value:.1e}" if 0 < abs(value) < 0.001 else f"{value:.{min(digits(value), 3)}f}"
    text = figure if trials else "–"
    axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=8.5, gid=f"cell-{x}-{y}")
    if trials:
        axes.annotate(f"{trials} trial{'s' * (trials > 1)}", (x, y), xytext=(0, -10), textcoords="offset points",
                      ha="center", va="center", color=colour, fontsize=6.5, gid=f"cell-{x}-{y}-trials")  # fmt: skip


def reach(study: StudyResults, styles: Styles) -> str:
    """Accuracy by k, one panel per distance: trials, and means as a line; shaded where k is below the distance."""
    panels = distances(study)
    reaches = study.choices(TRUNCATION)
    rows = math.ceil(len(panels) / ACROSS)
    across = min(len(panels), ACROSS)
    figure, grid = plt.subplots(
        rows, across, figsize=(11, 0.4 + 2.5 * rows), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axes, distance in zip(grid.flat, panels, strict=False):
        for place, arch in enumerate(study.archs):
            lane = (place + 0.5) / len(study.archs) - 0.5, 1 / len(study.archs)
            _points(axes, samples(study, arch, distance), reaches, lane, styles[arch], f"{distance}-{arch}")
        short = sum(k is not None and k < distance for k in reaches)
        if short:
            axes.axvspan(-0.6, short - 0.5, color=FAINT, alpha=0.45, linewidth=0, zorder=0)
        axes.set_xticks(range(len(reaches)), [_steps(k) for k in reaches])
        axes.set(title=f"over {distance} {UNITS[study.probe or '']}", xlim=(-0.6, len(reaches) - 0.4))
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set(ylabel="validation accuracy", ylim=(-0.03, 1.03))
    for axes in grid[-1]:
        axes.set_xlabel("truncation length k")
    handles: list[Any] = [Line2D([], [], label=arch, **line(styles[arch], at=[0])) for arch in study.archs]
    handles.append(Patch(color=FAINT, alpha=0.45, label="k below the distance"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), frameon=False, fontsize=9)
    return as_svg(figure)


def _points(
    axes: Axes, by_k: Samples, reaches: Sequence[Any], lane: tuple[float, float], style: Style, gid: str
) -> None:
    """Draw the runs of an architecture side by side in its lane, so that equal points stay visible, and their means."""
    places = {math.inf if k is None else k: place for place, k in enumerate(reaches)}
    centre, width = 0.7 * lane[0], 0.7 * lane[1]
    for k, values in by_k.items():
        gap = min(0.08, 0.8 * width / len(values))
        across = [places[k] + centre + gap * (number - (len(values) - 1) / 2) for number in range(len(values))]
        axes.plot(across, values, style.marker, markersize=3.8, alpha=0.6, markeredgewidth=0,
                  color=style.colour, gid=f"{gid}-{k:g}")  # fmt: skip
    axes.plot([places[k] + centre for k in by_k], [fmean(values) for values in by_k.values()], linewidth=1.5,
              **line(style, at=[]))  # fmt: skip


def _steps(k: Any) -> str:
    return "all" if k is None else f"{k:g}"
