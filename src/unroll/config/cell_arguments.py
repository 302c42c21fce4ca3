"""Arguments of cells, found by parsing their source: importing a cell would import torch."""

from __future__ import annotations

import ast
from functools import lru_cache

from unroll.plugins import ROOT, parts


def cell_arguments(cell: str) -> dict[str, str]:
    """Arguments of a cell other than its two sizes, including those that it passes to its parent.

    Returns:
        Annotation by name; empty for an argument without annotation.
    """
    tree = _parsed(cell)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    derived_from = {base.id for node in classes.values() for base in node.bases if isinstance(base, ast.Name)}
    for name, node in classes.items():
        if name.endswith("Cell") and name not in derived_from:
            return _arguments(cell, node)
    return {}


def _parsed(cell: str) -> ast.Module:
    """Parse the source of a cell."""
    path = parts("cells").get(cell) or ROOT / "unroll" / "cells" / f"{cell}.py"
    try:
        return _tree(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}; correct the cell") from None


@lru_cache(maxsize=50)  # cells and their parents are looked up again and again while settings are checked
def _tree(source: str) -> ast.Module:
    """Parse a source, once for each."""
    return ast.parse(source)


def _arguments(cell: str, kind: ast.ClassDef) -> dict[str, str]:
    """Arguments of ``__init__`` after the two sizes; those of the parents if it has none or passes them on."""
    inherited: dict[str, str] = {}
    for base in reversed(kind.bases):
        if isinstance(base, ast.Name):
            inherited |= _inherited(cell, base.id)
    for method in kind.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            named = [*method.args.posonlyargs, *method.args.args][3:]  # without self and the two sizes
            own = {each.arg: ast.unparse(each.annotation) if each.annotation else ""
                   for each in (*named, *method.args.kwonlyargs)}  # fmt: skip
            return (inherited if method.args.kwarg else {}) | own
    return inherited


def _inherited(cell: str, parent: str) -> dict[str, str]:
    """Arguments of a parent class defined in the same file or in another file of cells."""
    tree = _parsed(cell)
    for node in tree.body:
        if isinstance(node, ast.ClassDef) and node.name == parent:
            return _arguments(cell, node)
        if isinstance(node, ast.ImportFrom):
            names = {alias.asname or alias.name: alias.name for alias in node.names}
            if parent in names:
                return _found(node.module or "", names[parent])
    return {}


def _found(module: str, name: str) -> dict[str, str]:
    """Arguments of a class that another module of cells defines or imports from one of its files."""
    if module == "unroll.cells":
        return _inherited("__init__", name)
    file = module.removeprefix("unroll.cells.")
    return _inherited(file, name) if file in parts("cells") else {}
