"""``unroll compare`` and ``unroll report``: what is missing is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

Refused = Callable[..., str]


def test_compare_and_report_name_what_is_missing(project: Path, refused: Refused) -> None:
    assert "does not exist" in refused("compare", "outputs/metrics/none.json")
    assert "comparison.json" in refused("report")
    Path("bad.json").write_text("{}", encoding="utf-8")
    assert "not written by unroll evaluate" in refused("compare", "bad.json")
