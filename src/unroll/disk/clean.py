"""List what can be deleted, with sizes, ask for confirmation, and delete it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from unroll.disk import leftovers, stores
from unroll.disk.leftovers import Leftover
from unroll.errors import BadInput
from unroll.terminal import doing

SHOWN = 10  # largest leftovers listed per kind


class Kind(NamedTuple):
    """A kind of leftovers.

    Args:
        text: description of the kind.
        find: function that finds leftovers not modified for a number of days.
        delete: function that deletes leftovers.
        has_age: whether the number of days has an effect.
    """

    text: str
    find: Callable[[float], list[Leftover]]
    delete: Callable[[Iterable[Leftover]], None]
    has_age: bool = True


KINDS = {
    "caches": Kind("prepared data of unroll train, caches of Python and checks", leftovers.caches, leftovers.delete),
    "adhoc": Kind("runs, studies and certificates in outputs/adhoc", leftovers.adhoc, leftovers.delete),
    "working": Kind("unfinished runs, and curves not yet sent to MLflow", leftovers.workspace, leftovers.delete),
    "kept": Kind("copies of finished seeds, for when their stage runs again", leftovers.kept, leftovers.delete),
    "mlflow": Kind("runs deleted in MLflow, artifacts without a run", stores.mlflow, stores.delete_mlflow, False),
    "dvc": Kind("old results and data in DVC's cache", stores.cache, stores.delete_cache, False),
}


def overview() -> str:
    """A table of all kinds with their sizes."""
    with doing("Looking for files that are not needed"):
        lines = [_row(name) for name in KINDS]
    return "\n".join([*lines, "To delete a kind: unroll clean KIND ..., such as unroll clean caches adhoc"])


def _row(name: str) -> str:
    """The number and size of the leftovers of a kind."""
    try:
        found = KINDS[name].find(0)
        return f"{name:8} {size(_total(found)):>9}  {len(found):6} found  {KINDS[name].text}"
    except (BadInput, ModuleNotFoundError) as error:  # DVC may not be installed
        return f"{name:8} {'?':>9}  {error}"


def clean(names: Sequence[str], days: float, yes: bool) -> str:
    """List the leftovers of some kinds, ask for confirmation, and delete them.

    Args:
        names: kinds to delete.
        days: minimum number of days since the last modification.
        yes: skip the confirmation.

    Returns:
        A sentence on what was done.

    Raises:
        BadInput: there is no terminal to ask on, a kind does not support days, or something cannot be read or deleted.
    """
    if ageless := [name for name in names if days and not KINDS[name].has_age]:
        raise BadInput(f"--days is not supported for {' and '.join(ageless)}; give it with other kinds only.")
    with doing("Looking for files that are not needed"):
        found = {name: KINDS[name].find(days) for name in dict.fromkeys(names)}
    total = _total([leftover for some in found.values() for leftover in some])
    if not any(found.values()):
        return "There is nothing to delete."
    for name, some in found.items():
        print("\n".join(_listing(name, some)))
    if not yes and not _agreed(f"Delete all of this, {size(total)}? [y/N] "):
        return "Nothing was deleted."
    for name, some in found.items():
        if some:
            KINDS[name].delete(some)
    return f"{size(total)} deleted."


def _agreed(question: str) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        raise BadInput("Nothing was deleted, since there is no terminal to ask on; add --yes to delete all of this.")
    return input(question).strip().lower() in ("y", "yes")


def _listing(name: str, found: list[Leftover]) -> list[str]:
    """The size of a kind and its largest leftovers."""
    largest = sorted(found, key=lambda leftover: -leftover.size)
    lines = [f"  {size(one.size):>9}  {one.path}{f' ({one.note})' if one.note else ''}" for one in largest[:SHOWN]]
    more = [f"  {size(_total(largest[SHOWN:])):>9}  {len(largest) - SHOWN} more"] if len(largest) > SHOWN else []
    return [f"{name}: {KINDS[name].text}, {size(_total(found))}", *lines, *more]


def _total(found: Iterable[Leftover]) -> int:
    return sum(leftover.size for leftover in found)


def size(count: float) -> str:
    """Human-readable size, such as 3.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
