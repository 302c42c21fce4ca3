"""Readers: one per file format, each with its options; every file of this folder but ``base.py`` is one."""

from __future__ import annotations

from pathlib import Path

from unroll.data.readers.base import Reader
from unroll.errors import BadInput, no_such
from unroll.plugins import load, parts

_found: dict[Path, type[Reader]] = {}  # by file, once they were imported


def readers() -> dict[str, type[Reader]]:
    """Every reader by its name.

    Raises:
        BadInput: a file of readers fails when it is imported, or does not define one reader of its name.
    """
    files = parts("readers")
    for name, file in files.items():
        if file not in _found:
            _found[file] = _reader_in(name)
    return {name: _found[file] for name, file in files.items()}


def reader_named(name: str) -> type[Reader]:
    """A reader by its name.

    Raises:
        BadInput: there is no such reader; and as :func:`readers`.
    """
    if name not in readers():
        raise no_such("reader", name, readers())
    return readers()[name]


def guess(path: Path) -> str | None:
    """Reader that a file's name suggests, or None."""
    return next((name for name, reader in readers().items() if path.suffix in reader.suffixes), None)


def _reader_in(name: str) -> type[Reader]:
    module = load("readers", name)
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Reader)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__]
    if len(own) != 1 or getattr(own[0], "name", None) != name:
        raise BadInput(f"{module.__file__} must define one reader, a Reader whose name is {name!r}; correct it.")
    return own[0]


__all__ = ["Reader", "guess", "reader_named", "readers"]
