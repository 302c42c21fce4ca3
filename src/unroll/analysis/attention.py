"""Pictures of attention: how much each symbol of an answer has read of each step of its source."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from unroll.analysis.plots import SHADES, as_svg
from unroll.analysis.styles import CARD
from unroll.outputs import whole
from unroll.terminal import printable

SIZE, MOST = 0.3, 30.0  # inches of a weight, and of all weights in a row or column at most
BAR = 3.0  # inches of the bar of shades, at most
LONGEST = 24  # characters of a label
MANY = 10_000  # weights that are drawn as one picture in an SVG, not one by one


def draw(path: Path, source: Sequence[str], target: Sequence[str], weights: Sequence[Sequence[float]]) -> bool:
    """Draw the attention of an answer into a file.

    Args:
        path: of the file, which ends in ``.svg``, or else is a PNG.
        source: see :func:`attention`.
        target: see :func:`attention`.
        weights: see :func:`attention`.

    Returns:
        Whether every character of the labels is drawn; a PNG has boxes for those that are not in the font.
    """
    figure = attention(source, target, weights)
    figure.set_facecolor("white")  # a file has no page behind it
    with whole(path) as written:
        if path.suffix.lower() == ".svg":
            written.write_text(as_svg(figure), encoding="utf-8")
            return True
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            figure.savefig(written, format="png", dpi=150)
    others = [one for one in raised if "missing from" not in str(one.message)]
    for one in others:
        warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
    return len(others) == len(raised)


def attention(source: Sequence[str], target: Sequence[str], weights: Sequence[Sequence[float]]) -> Figure:
    """Weights as shades, the source from left to right and the answer downwards: Bahdanau et al. 2015, figure 3.

    Args:
        source: written form of each step of the source.
        target: written form of each symbol of the answer.
        weights: for each symbol of the answer, over the steps of the source.
    """
    size = min(SIZE, MOST / max(len(source), len(target)))
    letters = min(9.0, 0.5 * 72 * size)  # points
    across, down = [*map(_label, source)], [*map(_label, target)]
    room = 0.6 * letters / 72  # inches of a letter
    width = 1.8 + room * max(map(len, down)) + size * len(across)
    height = 1.0 + room * max(map(len, across)) + size * len(down)
    figure = Figure(figsize=(max(width, 3.0), max(height, 1.8)), layout="constrained")
    axes = figure.subplots()
    shades = axes.pcolormesh(weights, cmap=SHADES, vmin=0, vmax=1, edgecolor=CARD, linewidth=3 * size,
                             rasterized=len(across) * len(down) > MANY)  # fmt: skip
    axes.set_xticks([place + 0.5 for place in range(len(across))], across)
    axes.set_yticks([place + 0.5 for place in range(len(down))], down)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    for label in axes.get_xticklabels():
        label.set_rotation(90 if len(label.get_text()) > 2 else 0)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.spines[["left", "bottom"]].set_visible(False)
    axes.tick_params(length=0, labelsize=letters)
    axes.set(xlabel="source", ylabel="answer", title="attention", aspect="equal")
    bar = figure.colorbar(
        shades, ax=axes, ticks=[0, 0.5, 1], aspect=12, anchor=(0, 1), shrink=min(1, BAR / (size * len(down)))
    )
    bar.outline.set_visible(False)
    bar.ax.set_title("weight", fontsize=8, fontweight="normal")
    bar.ax.tick_params(length=0, labelsize=8)
    return figure


def _label(form: str) -> str:
    """A written form of which everything is visible, cut if it is long."""
    text = printable(form).replace(" ", "␣")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
