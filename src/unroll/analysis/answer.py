"""The answer to an experiment's question in one or two sentences, made from its verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from unroll.analysis.rows import Row
from unroll.analysis.verdict import CLAIM, plain, significant
from unroll.metrics import digits


def answer(rows: Sequence[Row]) -> str:
    """Which architectures solve the problem, if the experiment declares what that means, and which one is best.

    Args:
        rows: rows of a comparison, the best architecture first.
    """
    best, others = rows[0], rows[1:]
    solved = f"{_solved(rows)} " if best.get("solved") is not None else ""
    if best["mean"] is None:
        return f"{solved}No architecture has a mean {best['split']} {best['metric']} that is a number."
    if not others:
        return f"{solved}The {best['split']} {best['metric']} of {best['arch']} is {_mean(best)}."
    return solved + _lead(best, others)


def _solved(rows: Sequence[Row]) -> str:
    """How many seeds of each architecture solve the problem."""
    always = [row["arch"] for row in rows if row["solved"] == row["seeds"]]
    never = [row["arch"] for row in rows if not row["solved"]]
    parts = [f"by every seed of {_listed(always)}"] if always else []
    parts += [f"by {row['solved']} of {row['seeds']} seeds of {row['arch']}" for row in rows
              if 0 < row["solved"] < row["seeds"]]  # fmt: skip
    parts += [f"by no seed of {_listed(never, 'or')}"] if never else []
    return f"The problem is solved {_listed(parts)}."


def _lead(best: Row, others: Sequence[Row]) -> str:
    """Which architectures the best one is better than, and which it is not shown to be better than."""
    what = f"mean {best['split']} {best['metric']}"
    beaten = [row["arch"] for row in others if row["better"]]
    level = [row["arch"] for row in others if not row["better"]]
    figure = f"{best['arch']} has the best {what}, {_mean(best)}"
    if beaten and level:
        return f"{figure}: it is better than {_listed(beaten)}, but not shown to be better than {_listed(level, 'or')}."
    if beaten:
        return f"{figure}: it is better than {_listed(beaten)}."
    fewest = min(row["seeds"] for row in (best, *others) if not row.get("deterministic"))
    if fewest < CLAIM:
        last = f" and {_mean(others[-1])} for {others[-1]['arch']}" if others[-1]["mean"] is not None else ""
        return (f"No architecture is called better with {fewest} seed{'s' * (fewest > 1)}: {CLAIM} of each are needed. "
                f"The {what} is {_mean(best)} for {best['arch']}{last}.")  # fmt: skip
    return f"{figure}, but it is not shown to be better than {_listed(level, 'or')}."


def _mean(row: Row) -> str:
    return plain(row["mean"], significant(row["mean"], digits(row["mean"])))


def _listed(names: Sequence[str], word: str = "and") -> str:
    """Names in a row: a, b and c."""
    return f" {word} ".join(filter(None, (", ".join(names[:-1]), names[-1])))
