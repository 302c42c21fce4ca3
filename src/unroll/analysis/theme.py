"""The colours of a page, light or dark, and the parts of it that are drawn in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import unescape

from markupsafe import Markup, escape

from unroll.analysis.styles import CARD, EDGE, FAINT, INK, SOFT, STYLES, TICK, Style

LIGHT = {
    "paper": "#fbf9f4", "card": CARD, "shade": "#f3efe6", "line": "#e4dfd5", "accent": "#9a3412", "pass": "#047857",
    "fail": "#b91c1c", "ink": INK, "soft": SOFT, "edge": EDGE, "tick": TICK, "faint": FAINT,
}  # fmt: skip
DARK = {
    "paper": "#171614", "card": "#211f1c", "shade": "#2b2925", "line": "#3a3732", "accent": "#f59e6c",
    "pass": "#4ade80", "fail": "#f87171", "ink": "#ece8e1", "soft": "#b3ada3", "edge": "#8f8a82", "tick": "#b3ada3",
    "faint": "#45413b",
}  # fmt: skip


def theme() -> str:
    """The colours of a page as CSS variables: light, in print too, or dark if the reader's system is dark."""
    light = LIGHT | {f"style-{place}": style.colour for place, style in enumerate(STYLES)}
    dark = DARK | {f"style-{place}": style.dark for place, style in enumerate(STYLES)}
    if_dark = f":root {{ color-scheme: dark; {_variables(dark)} }}"
    return (f":root {{ color-scheme: light; {_variables(light)} }}\n"
            f"@media screen and (prefers-color-scheme: dark) {{ {if_dark} }}")  # fmt: skip


def _variables(colours: Mapping[str, str]) -> str:
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())


def embedded(svg: str, owner: str) -> Markup:
    """A figure as part of a page: in the page's colours, and with a name for screen readers.

    Args:
        svg: the figure, with a title.
        owner: name of the experiment or study.
    """
    names = {colour: f"var(--{name})" for name, colour in LIGHT.items() if colour in svg}
    names |= {style.colour: f"var(--style-{place})" for place, style in enumerate(STYLES)}
    found = re.search(r"<title>(.*?)</title>", svg)
    label = escape(f"{owner}: {unescape(found[1] if found else 'figure')}")
    svg = re.sub("|".join(names), lambda colour: names[colour[0]], svg)
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1))  # of our own making


def key(style: Style) -> Markup:
    """The marker of an architecture, for tables."""
    place = STYLES.index(style)
    return Markup(f'<span class="key" style="color:var(--style-{place})" aria-hidden="true">{style.glyph}</span>')
