"""HTML pages from templates, and the filters that format numbers in them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from unroll.analysis.verdict import p_value, plain, significant
from unroll.metrics import digits
from unroll.outputs import write_text


def write_page(template: str, out: Path, **content: Any) -> Path:
    """Write a self-contained HTML page.

    Args:
        template: file name of the template.
        out: HTML file to write.
        content: variables of the template.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("unroll", "analysis"), autoescape=True, trim_blocks=True)
    environment.filters.update({"figure": number, "gap": gap, "p": p_value})
    write_text(out, environment.get_template(template).render(**content))
    return out


def number(value: float | None, like: float | None = None) -> str:
    """A figure with decimals to suit its size or that of ``like``; a dash if it is not finite."""
    if value is None:
        return ""
    places = significant(value, digits(value if like is None else like))
    return f"{value:z.{places}f}" if math.isfinite(value) else "–"


def gap(value: float | None, scale: str, like: float) -> str:
    """Difference of a figure from the best, as a number or, on a ratio scale, as a factor in words."""
    if value is None:
        return ""
    if scale == "difference":  # a negligible difference prints as 0
        return f"{value:z.{digits(like)}f}" if math.isfinite(value) else "–"
    if not 0 < value < math.inf:
        return "–"
    size, way = (value, "larger") if value >= 1 else (1 / value, "smaller")
    text = plain(size, max(0, 2 - math.floor(math.log10(size))))
    what = "odds " if scale == "log-odds" else ""
    return f"same {what}".rstrip() if text == "1.00" else f"{what}{text} times {way}"
