"""Figures of a run in one line, as training and evaluation print them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from unroll.metrics import shown


def figures_line(figures: Mapping[str, float], not_finite: Mapping[str, str]) -> str:
    """Figures by name; of one that is not a number the reason, from ``not_finite`` if it is there."""
    return "  ".join(
        f"{name} {shown(value)}" if math.isfinite(value) else f"{name}: {not_finite.get(name, 'the run diverged')}"
        for name, value in figures.items()
    )
