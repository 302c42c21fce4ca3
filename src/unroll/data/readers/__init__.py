"""Readers: one per file format, with its options; each file in this folder except ``base.py`` defines one."""

from __future__ import annotations

from dataclasses import is_dataclass
from pathlib import Path

from unroll.data.readers.base import Reader
from unroll.errors import BadInput, no_such
from unroll.plugins import load, parts, refuse_abstract

_found: dict[Path, type[Reader]] = {}  # imported readers by file


def readers() -> dict[str, type[Reader]]:
    """All readers by name.

    Raises:
        BadInput: a file fails on import, or does not define exactly one reader with its name.
    """
    files = parts("readers")
    for name, file in files.items():
        if file not in _found:
            _found[file] = _reader_in(name)
    return {name: _found[file] for name, file in files.items()}


def reader_named(name: str) -> type[Reader]:
    """A reader by its name.

    Raises:
        BadInput: there is no such reader; and as for :func:`readers`.
    """
    if name not in readers():
        raise no_such("reader", name, readers())
    return readers()[name]


def guess(path: Path) -> str | None:
    """The reader for the suffix of a file; None if there is none."""
    return next((name for name, reader in readers().items() if path.suffix.lower() in reader.suffixes), None)


def _reader_in(name: str) -> type[Reader]:
    module = load("readers", name)
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Reader)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__]
    if len(own) != 1 or getattr(own[0], "name", None) != name:
        raise BadInput(f"{module.__file__} must define exactly one Reader, with name = {name!r}; correct the file.")
    if not is_dataclass(own[0]):
        raise BadInput(
            f"{module.__file__}: {own[0].__name__} must be a frozen dataclass, whose fields are its options; add "
            "@dataclass(frozen=True)."
        )
    refuse_abstract(own[0], "reader", module)
    return own[0]


__all__ = ["Reader", "guess", "reader_named", "readers"]
