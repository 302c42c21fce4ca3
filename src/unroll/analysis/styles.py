"""How the architectures of a page are drawn: each by colour, marker and dash, so that none is known by colour alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple


class Style(NamedTuple):
    """How an architecture is drawn.

    Args:
        colour: on a light page.
        dark: on a dark page.
        marker: in matplotlib's notation.
        glyph: the marker as a character, for tables.
        dash: lengths of strokes and gaps, in matplotlib's notation.
    """

    colour: str
    dark: str
    marker: str
    glyph: str
    dash: tuple[int, tuple[float, ...]]


Styles = Mapping[str, Style]  # by architecture

INK, SOFT, EDGE, TICK, FAINT, CARD = "#1f2328", "#5d5a52", "#8a8a86", "#55554f", "#d8d4cc", "#fffefb"

# Each pair of colours differs by at least 0.12 in OKLab, for full colour vision, deuteranopia and protanopia alike
# (Machado, Oliveira and Fernandes, 2009), and each has a contrast of at least 3.2 with its page.
STYLES = (
    Style("#3414a1", "#5471f5", "o", "●", (0, ())),
    Style("#ab8704", "#d7f471", "s", "■", (0, (5, 1.5))),
    Style("#72130b", "#de3e2d", "^", "▲", (0, (1.5, 1.5))),
    Style("#a167f1", "#b0a2fe", "D", "◆", (0, (6, 1.5, 1.5, 1.5))),
    Style("#9a5146", "#f09c17", "v", "▼", (0, (9, 2))),
    Style("#5e989a", "#90bda4", "P", "✚", (0, (3, 3))),
    Style("#1c4159", "#0d9298", "X", "✖", (0, (6, 1.5, 1.5, 1.5, 1.5, 1.5))),
    Style("#5e61a1", "#fcd7f8", "*", "★", (0, (1, 3))),
)


def assign_styles(chapters: Sequence[Iterable[str]]) -> dict[str, Style]:
    """One style per architecture for a whole page, distinct within a chapter of up to eight architectures."""
    chapters = [list(chapter) for chapter in chapters]
    chosen: dict[str, Style] = {}
    for arch in dict.fromkeys(arch for chapter in chapters for arch in chapter):
        rivals = {chosen.get(other) for chapter in chapters if arch in chapter for other in chapter}
        free = [style for style in STYLES if style not in rivals]
        chosen[arch] = free[0] if free else STYLES[len(chosen) % len(STYLES)]
    return chosen
