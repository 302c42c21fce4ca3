"""Figures of a run on one line, as printed by training and evaluation."""

from __future__ import annotations

import math
from collections.abc import Mapping

from unroll.metrics import shown, without_twins


def figures_line(figures: Mapping[str, float], not_finite: Mapping[str, str]) -> str:
    """Names and figures; a figure that is not finite is replaced by its reason in ``not_finite``."""
    return "  ".join(
        f"{name} {shown(value)}" if math.isfinite(value) else f"{name}: {not_finite.get(name, 'the run diverged')}"
        for name, value in without_twins(figures).items()
    )
