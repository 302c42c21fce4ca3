"""Templates of pages, and what they write numbers with."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from unroll.analysis.verdict import p_value, plain, significant
from unroll.metrics import digits
from unroll.outputs import write_text


def write_page(template: str, out: Path, **content: Any) -> Path:
    """Write a page that needs no other file.

    Args:
        template: its name.
        out: HTML file.
        content: what the template names.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("unroll", "analysis"), autoescape=True, trim_blocks=True)
    environment.filters.update({"figure": number, "gap": gap, "p": p_value})
    write_text(out, environment.get_template(template).render(**content))
    return out


def number(value: float | None, like: float | None = None) -> str:
    """A figure with the decimals of its size, or those of ``like`` unless they would be zeros; a dash for no number."""
    if value is None:
        return ""
    places = significant(value, digits(value if like is None else like))
    return f"{value:z.{places}f}" if math.isfinite(value) else "–"


def gap(value: float | None, scale: str, like: float) -> str:
    """How far a figure is from the best: a difference, or in words a factor where the scale of the metric is one."""
    if value is None:
        return ""
    if scale == "difference":  # one that is nothing beside the figures is written as 0
        return f"{value:z.{digits(like)}f}" if math.isfinite(value) else "–"
    if not 0 < value < math.inf:
        return "–"
    size, way = (value, "larger") if value >= 1 else (1 / value, "smaller")  # of a small factor the reciprocal
    text = plain(size, max(0, 2 - math.floor(math.log10(size))))
    what = "odds " if scale == "log-odds" else ""
    return f"same {what}".rstrip() if text == "1.00" else f"{what}{text} times {way}"
