"""Files that other verbs wrote for the report, validated on reading."""

from __future__ import annotations

from pathlib import Path

from unroll.analysis.rows import Row, are_counts, are_finite
from unroll.errors import BadInput
from unroll.outputs import MISREAD, from_json

TEXTS = ("experiment", "arch", "split", "metric", "scale")
COUNTS = ("seeds", "parameters", "tokens")
NUMBERS = ("mean", "low", "high", "effect_size", "probability_of_improvement", "p_holm", "seeds_needed", "solved",
           "difference_to_best", "difference_low", "difference_high", "items_low", "items_high")  # fmt: skip
NOTES = ("verdict", "caveat", "doubt", "over_items", "difference_over_items")
TOGETHER = (("low", "high"), ("items_low", "items_high", "over_items"))  # all of them, or none
CHECK = {"dtype": str, "tolerance": int | float, "deviation": int | float, "passed": bool, "not_applicable": str}


def load_rows(path: Path) -> list[Row]:
    """Rows of ``comparison.json``.

    Raises:
        BadInput: the file does not exist or is damaged.
    """
    rows = _list(path, "unroll compare")
    if not all(map(_is_row, rows)):
        raise _other(path, "unroll compare")
    return rows


def _is_row(row: Row) -> bool:
    """Whether a row has what the report shows."""
    if not row.keys() >= {*TEXTS, *COUNTS, *NUMBERS, *NOTES}:
        return False
    texts = all(isinstance(row[name], str) for name in TEXTS)
    notes = all(isinstance(row[name], str | None) for name in NOTES)
    whole = all(len({row[name] is None for name in names}) == 1 for names in TOGETHER)
    return (
        texts
        and notes
        and whole
        and are_counts(row[name] for name in COUNTS)
        and are_finite(row[name] for name in NUMBERS)
    )


def load_targets(path: Path) -> list[Row]:
    """Rows of ``targets.json``; empty if there are no targets.

    Raises:
        BadInput: the file is damaged.
    """
    rows = _list(path, "unroll compare --targets") if path.exists() else []
    if not all(isinstance(row.get("figure", ""), int | float | None) and "result" in row for row in rows):
        raise _other(path, "unroll compare --targets")
    return rows


def load_certificate(path: Path) -> Row:
    """Content of a certificate.

    Raises:
        BadInput: the file does not exist or is damaged.
    """
    try:
        content: Row = from_json(path.read_bytes())
        fits = isinstance(content["run"], str) and isinstance(content["certified"], bool)
        fits = fits and type(content["tokens"]) is int and bool(content["checks"])
        fits = fits and all(isinstance(meaning, str) for meaning in content["meanings"].values())
        fits = fits and {check["check"] for check in content["checks"]} <= content["meanings"].keys() | {"all"}
        for check in content["checks"]:
            fits = fits and isinstance(check["check"], str) and ("not_applicable" in check or "deviation" in check)
            fits = fits and all(isinstance(check[name], kind) for name, kind in CHECK.items() if name in check)
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run unroll certify, or make repro.") from None
    except MISREAD:
        raise _other(path, "unroll certify") from None
    if not fits:
        raise _other(path, "unroll certify")
    return content


def _list(path: Path, verb: str) -> list[Row]:
    try:
        rows: list[Row] = from_json(path.read_bytes())
    except FileNotFoundError:
        raise BadInput(f"{path} does not exist; run {verb}, or make repro.") from None
    except MISREAD:
        raise _other(path, verb) from None
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise _other(path, verb)
    return rows


def _other(path: Path, verb: str) -> BadInput:
    return BadInput(f"{path} is damaged, or from another version of unroll; run {verb} again, or make repro.")
