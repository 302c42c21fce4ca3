"""Types of records that commands write and read as JSON, which are checked when they are read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

Entry = Mapping[str, Any]  # a run, as written by ``train`` or ``evaluate``
Row = dict[str, Any]  # a row of a table, or a section of a page

SECTIONS = ("order", "data", "measured_on", "evaluation", "items", "sequences")
TEXTS = ("fingerprint", "task", "vocabulary", "solved", "judged_by")


def check_entry(run: Entry) -> None:
    """Check the types and ranges of what an entry may have, except for its figures.

    Raises:
        TypeError: a value has the wrong type.
        ValueError: a number is out of range.
    """
    sections: dict[str, Row] = {name: run.get(name, {}) for name in SECTIONS}
    digests = [*sections["data"].values(), *sections["measured_on"].values()]
    texts = [*(run.get(name) for name in TEXTS), sections["order"].get("task"), *digests]
    if not all(isinstance(section, dict) for section in sections.values()):
        raise TypeError
    if not all(isinstance(text, str | None) for text in texts) or not isinstance(run.get("deterministic", False), bool):
        raise TypeError
    if not are_counts(sections["items"].values()):
        raise ValueError
    for table in sections["sequences"].values():
        columns = [table[name] for name in ("numbers", "sums", "counts")]
        if len({len(column) for column in columns}) != 1 or not are_numbers(table["sums"]):
            raise ValueError
        if not are_counts([*table["numbers"], *table["counts"]]):
            raise ValueError


def are_counts(values: Iterable[object]) -> bool:
    """Whether all values are whole numbers that are not negative and fit in an array."""
    return all(type(value) is int and 0 <= value < 2**63 for value in values)


def are_numbers(values: Iterable[object]) -> bool:
    """Whether all values are numbers, or None in place of one that is not finite."""
    return all(value is None or type(value) in (int, float) for value in values)


def are_finite(values: Iterable[Any]) -> bool:
    """Whether all values are finite numbers, or None."""
    return all(value is None or (type(value) in (int, float) and math.isfinite(value)) for value in values)
