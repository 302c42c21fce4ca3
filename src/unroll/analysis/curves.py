"""Learning curves of runs, from their histories."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
from collections.abc import Mapping
from pathlib import Path

from unroll.analysis.rows import Entry
from unroll.errors import BadInput
from unroll.history import HISTORY
from unroll.outputs import MISREAD, write_text

COLUMNS = ("tokens", "value", "arch", "seed", "metric")


def write_curves(path: Path, results: Mapping[Path, Entry]) -> None:
    """Write the validation curves of the runs of an experiment, which ``dvc plots show`` draws.

    Args:
        path: CSV file to write.
        results: what ``evaluate`` wrote of each run, by the folder of the run.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run, result in results.items():
        metric = f"val/{result['headline']}"
        for tokens, value in read_curve(run, metric):
            writer.writerow([round(tokens), value, result["arch"], result["seed"], metric])
    write_text(path, text.getvalue())


def read_curve(run: Path, metric: str) -> list[tuple[float, float]]:
    """Finite points of one curve of a run's history.

    Raises:
        BadInput: the history is truncated or was changed.
    """
    path = run / HISTORY
    try:
        content = path.read_bytes()
        rows = csv.DictReader(io.StringIO(content.decode()))
        points = [(float(row["tokens"]), float(row["value"])) for row in rows if row["metric"] == metric]
        facts = run / "run.json"
        digest = json.loads(facts.read_bytes()).get("history") if facts.exists() else None
    except (csv.Error, *MISREAD):
        raise BadInput(f"{path} is damaged; train the run again.") from None
    if digest not in (None, hashlib.sha256(content).hexdigest()):  # older runs have no digest
        raise BadInput(f"{path} is damaged (it differs from what the run wrote); train the run again.")
    return [(tokens, value) for tokens, value in points if math.isfinite(value)]
