"""Files for ``dvc metrics show``: one per experiment and architecture, each a row."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from unroll.analysis.rows import Entry
from unroll.names import fault
from unroll.outputs import to_json

COLUMNS = ("metric", "mean", "low", "high", "seeds", "solved", "parameters", "p_holm")
SPEED = "tokens_per_second"  # measured, so it varies


def write_summary(rows: Sequence[Entry], costs: Sequence[Entry], folder: Path) -> None:
    """Write ``<experiment>/<architecture>.json`` for every row of a comparison.

    Args:
        rows: rows of the comparison.
        costs: rows of the comparison of speeds.
        folder: where the files go.

    Names come from files that may have another origin. A name that is not a valid file name is replaced by its row
    number.
    """
    speeds = {(row["experiment"], row["arch"]): row[SPEED] for row in costs}
    for number, row in enumerate(rows):
        experiment, arch = (f"{number}" if fault(row[key]) else row[key] for key in ("experiment", "arch"))
        path = folder / experiment / f"{arch}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {**{name: row[name] for name in COLUMNS}, SPEED: speeds.get((row["experiment"], row["arch"]))}
        known = {name: value for name, value in content.items() if value is not None}
        path.write_text(to_json(known), encoding="utf-8")
