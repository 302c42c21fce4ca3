"""Templates of pages, and what they write numbers with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from unroll.analysis.comparison import digits
from unroll.analysis.verdict import p_value
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
    environment.filters.update({"figure": number, "p": p_value})
    write_text(out, environment.get_template(template).render(**content))
    return out


def number(value: float | None, like: float | None = None) -> str:
    """A number with as many decimals as its size, or that of ``like``, asks for."""
    return "" if value is None else f"{value:z.{digits(value if like is None else like)}f}"
