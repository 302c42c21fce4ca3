"""Files for ``dvc metrics show``: one per experiment and architecture, each a row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unroll.names import fault
from unroll.outputs import to_json

COLUMNS = ("metric", "mean", "low", "high", "seeds", "solved", "parameters", "p_holm")


def write_summary(rows: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write ``<experiment>/<architecture>.json`` for every row of a comparison.

    Args:
        rows: rows of the comparison.
        folder: where the files go.

    Names come from files that may have another origin. A name that is not a valid file name is replaced by its row
    number.
    """
    for number, row in enumerate(rows):
        experiment, arch = (f"{number}" if fault(row[key]) else row[key] for key in ("experiment", "arch"))
        path = folder / experiment / f"{arch}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(to_json({name: row[name] for name in COLUMNS if row[name] is not None}), encoding="utf-8")
