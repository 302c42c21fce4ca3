"""HTML pages from templates, and the filters that format numbers in them."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from unroll.analysis.theme import embedded, key, theme
from unroll.analysis.verdict import CLAIM, p_value, plain, significant
from unroll.metrics import digits
from unroll.outputs import write_text
from unroll.tracking.provenance import SHORT, git_state, machine


def write_page(template: str, out: Path, **content: object) -> Path:
    """Write a self-contained HTML page.

    Args:
        template: file name of the template.
        out: HTML file to write.
        content: variables of the template.
    """
    from jinja2 import Environment, PackageLoader

    environment = Environment(loader=PackageLoader("unroll", "analysis"), autoescape=True, trim_blocks=True)
    environment.filters.update({"figure": number, "gap": gap, "p": p_value, "embedded": embedded, "key": key})
    written = environment.get_template(template).render(theme=theme(), written=_written(), claim=CLAIM, **content)
    write_text(out, written)
    return out


def _written() -> dict[str, str]:
    """When, from which commit and on which machine a page is written."""
    git = git_state()
    commit = git.get("mlflow.source.git.commit", "")[:SHORT]
    changed = ", with changes" if git.get("git.dirty") == "true" else ""
    date = datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
    return {"date": date, "commit": commit + changed, "machine": machine()}


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
