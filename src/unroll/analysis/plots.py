"""Plots as SVG text, byte for byte reproducible."""

from __future__ import annotations

import io
import math
import re
import textwrap
import warnings
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from unroll.analysis.comparison import Results, by_arch
from unroll.analysis.curves import read_curve
from unroll.analysis.samples import figure_of, measured
from unroll.analysis.styles import EDGE, FAINT, INK, TICK, Style, Styles
from unroll.analysis.verdict import Interval, interval
from unroll.metrics import ACCURACY_BY_GROUP, Metric

SHARES = (0.0001, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 0.9999)
TITLE = 42  # letters of a title that the width of a figure holds
SHADES = LinearSegmentedColormap.from_list("ink", ("#f3efe6", "#44403c"))

plt.rcParams.update({
    "svg.fonttype": "none", "svg.hashsalt": "unroll", "font.family": "sans-serif", "font.size": 10,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": EDGE, "axes.labelcolor": INK,
    "axes.titlesize": 11, "axes.titleweight": "bold", "axes.titlelocation": "left", "text.color": INK,
    "xtick.color": TICK, "ytick.color": TICK, "axes.grid": True, "axes.grid.axis": "y",
    "grid.color": FAINT, "grid.linewidth": 0.6, "figure.facecolor": "none", "axes.facecolor": "none",
    "text.parse_math": False,  # a $ in a name is a $
})  # fmt: skip


def learning_curves(runs: Path, results: Results, styles: Styles) -> str:
    """Validation metric over training tokens, one line per seed."""
    first = next(iter(results.values()))
    metric = first["headline"]
    figure, axes = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
    scale = measured(first, metric)
    every: list[float] = []
    for arch, group in by_arch(results).items():
        for run in group:
            points = [(tokens, _inside(value, scale)) for tokens, value in
                      read_curve(runs / arch / str(run["seed"]), f"val/{metric}")]  # fmt: skip
            every += [value for _, value in points]
            if len(points) == 1:  # an n-gram model has a single value
                axes.axhline(points[0][1], linewidth=1.2, label=arch, **line(styles[arch], at=[]))
            else:
                axes.plot(*zip(*points, strict=True), linewidth=1.3, alpha=0.8, label=arch, **line(styles[arch]))
    by_scale(axes, scale, every)
    axes.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(thousands))
    axes.set(
        xlabel="steps read in training" if metric == "loss" else "tokens read in training", title=f"validation {metric}"
    )
    label_below(figure, axes)
    return as_svg(figure)


def seeds(results: Results, styles: Styles) -> str:
    """The metric that runs are judged by: every seed, the mean and its t interval."""
    first = next(iter(results.values()))
    metric = figure_of(first)
    split = first["split"]
    scale = measured(first, metric)
    groups = by_arch(results)
    figure, axes = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
    order = [arch for arch in styles if arch in groups]
    for place, arch in enumerate(order):
        values = [run["test"][metric] for run in groups[arch]]
        axes.errorbar(place + 0.16, *_mean_and_error(interval(values, scale), scale), color=styles[arch].colour,
                      fmt="_", markersize=13, capsize=4, linewidth=1.6)  # fmt: skip
        drawn = [_inside(value, scale) for value in values]
        points = axes.scatter([place - 0.12] * len(values), drawn, s=26, alpha=0.75, **points_of(styles[arch]))
        points.set_gid(f"seeds-{arch}")
    labels = [arch + _lost([run["test"][metric] for run in groups[arch]]) for arch in order]
    axes.set_xticks(range(len(order)), labels)
    if len(order) > 4:  # horizontal labels would overlap
        axes.set_xticks(range(len(order)), labels, rotation=30, ha="right", rotation_mode="anchor")
    axes.set_xlim(-0.6, len(order) - 0.4)
    by_scale(axes, scale, [run["test"][metric] for run in results.values()])
    axes.set(title=f"{split} {metric}, every seed")
    return as_svg(figure)


def line(style: Style, at: Sequence[int] | None = (-1,)) -> dict[str, Any]:
    """Arguments of matplotlib that draw a line in a style, with its marker at some of its points, or None for all."""
    return {
        "color": style.colour,
        "linestyle": style.dash,
        "marker": style.marker,
        "markersize": 5,
        "markeredgewidth": 0,
        "markevery": at and list(at),
    }


def points_of(style: Style) -> dict[str, Any]:
    """Arguments of matplotlib that draw points in a style."""
    return {"color": style.colour, "marker": style.marker, "linewidths": 0}


def _inside(value: float, metric: Metric) -> float:
    """Where a figure is drawn. A logit axis has no 0 or 1; these are drawn half an item away from the end."""
    if metric.axis != "logit" or not metric.items or not math.isfinite(value):
        return value
    edge = 0.5 / (metric.items + 1)
    return min(max(value, edge), 1 - edge)


def _lost(values: Sequence[float]) -> str:
    """Suffix of an architecture's name if some seeds have no finite figure."""
    lost = sum(not math.isfinite(value) for value in values)
    return f"\n({lost} of {len(values)} not a number)" if lost else ""


def _mean_and_error(span: Interval, metric: Metric) -> tuple[float, list[list[float]] | None]:
    """A mean and the lengths of its interval below and above, in matplotlib's form."""
    mean = _inside(span.mean, metric)
    if span.low is None or span.high is None:
        return mean, None
    return mean, [[mean - _inside(span.low, metric)], [_inside(span.high, metric) - mean]]


def by_group(results: Results, styles: Styles, scales: Sequence[Metric], groups: str) -> str:
    """Accuracy by group, of probed tokens or of records: every seed, and means with t intervals on log-odds.

    Args:
        results: figures of the runs.
        styles: style of each architecture.
        scales: accuracy of each group, those of numbers and ranges, which a line joins, first.
        groups: what the groups are, such as numbers of digits.
    """
    figure, axes = plt.subplots(figsize=(4.6, 3.4), layout="constrained")
    names = [scale.name.partition("/")[2] for scale in scales]
    ordered = list(takewhile(lambda name: name[:1].isdigit(), names))
    runs_by_arch = by_arch(results)
    every: list[float] = []
    for number, (arch, runs) in enumerate(runs_by_arch.items()):
        shift = 0.7 * ((number + 0.5) / len(runs_by_arch) - 0.5)  # side by side, so that equal points stay visible
        means = []
        for place, scale in enumerate(scales):
            values = [run["test"][scale.name] for run in runs]
            drawn = [_inside(value, scale) for value in values]
            every += drawn
            axes.scatter([place + shift] * len(values), drawn, s=16, alpha=0.5, label=arch, **points_of(styles[arch]))
            mean, error = _mean_and_error(interval(values, scale), scale)
            means.append(mean)
            axes.errorbar(
                place + shift, mean, error, color=styles[arch].colour, fmt="_", markersize=9, capsize=2.5, linewidth=1.2
            )
        if ordered:
            places = [place + shift for place in range(len(ordered))]
            axes.plot(places, means[: len(ordered)], linewidth=1.0, **line(styles[arch], at=[]))
    axes.set_xticks(range(len(names)), names)
    by_scale(axes, ACCURACY_BY_GROUP, every)
    axes.margins(x=0.05)
    axes.set(xlabel=groups, title=textwrap.fill(f"accuracy by {groups}", TITLE))
    label_below(figure, axes)
    return as_svg(figure)


def by_scale(axes: Axes, metric: Metric, values: Sequence[float]) -> None:
    """Set the y axis to the metric's scale, or to a linear one if a value is off that scale, such as an error of 0."""
    places = [metric.onto(value) for value in values if math.isfinite(value)]
    if metric.axis == "linear" or not places:
        return
    if not all(map(math.isfinite, places)):
        end = "an error of 0 has no logarithm" if metric.axis == "log" else "a share of 0 or 1 has no odds"
        axes.set_ylabel(f"linear axis: {end}", fontsize=8)
    elif metric.axis == "log":
        by_logarithm(axes)
    else:
        by_log_odds(axes)


def by_logarithm(axes: Axes) -> None:
    """Set a logarithmic y axis with plain numbers at its ticks."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    low, high = axes.get_ylim()
    if high / low < 20:  # a range without a power of ten has no other tick
        axes.yaxis.set_major_locator(matplotlib.ticker.LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))


def by_log_odds(axes: Axes) -> None:
    """Set a log-odds y axis with plain proportions at its ticks."""
    axes.set_yscale("logit")
    low, high = axes.get_ylim()
    ticks = [tick for tick in SHARES if low <= tick <= high]
    if len(ticks) < 3:  # a narrow range is nearly linear
        ticks = [tick for tick in matplotlib.ticker.MaxNLocator(5).tick_values(low, high) if low <= tick <= high]
    axes.yaxis.set_major_locator(matplotlib.ticker.FixedLocator(ticks))
    axes.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: f"{value:.6g}"))
    axes.yaxis.set_minor_locator(matplotlib.ticker.NullLocator())


def thousands(value: float, _: object) -> str:
    """A tick label for tokens or parameters."""
    return "0" if value == 0 else f"{value / 1e6:g} M" if value >= 1e6 else f"{value / 1e3:g} k"


def label_below(figure: Figure, axes: Axes) -> None:
    """Add a legend with one entry per architecture below the axes, in as many columns as there is room for."""
    handles: dict[str, Any] = {}
    for handle in [*axes.lines, *axes.collections, *axes.patches]:
        label = str(handle.get_label())
        if not re.fullmatch(r"_child\d+|_nolegend_", label):  # matplotlib's own; a name may begin with _ all the same
            handles.setdefault(label, handle)
    widest = 0.65 + 0.075 * max(map(len, handles), default=0)  # inches: the line, and the letters of its label
    columns = max(1, int(figure.get_figwidth() / widest))
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=columns, frameon=False,
                  fontsize=9, handlelength=2.6)  # fmt: skip


def as_svg(figure: Figure) -> str:
    """A figure as SVG text, with its title for screen readers."""
    title = ", ".join(axes.get_title(loc="left").replace("\n", " ") for axes in figure.axes)
    text = io.StringIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the browser draws the text in its own font
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None, "Title": title})
    plt.close(figure)
    return text.getvalue()[text.getvalue().index("<svg") :]
