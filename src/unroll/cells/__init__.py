"""Cells: one step of recurrence, under the names that the literature gives them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from traceback import extract_tb
from types import ModuleType

from unroll.cells.base import Cell, DerivedCell, HiddenState, KernelCell
from unroll.cells.coupled_lstm import CoupledLSTMCell
from unroll.cells.gru import GRUCell
from unroll.cells.irnn import IRNNCell
from unroll.cells.lstm import LSTMCell, LSTMState
from unroll.cells.peephole_lstm import PeepholeLSTMCell
from unroll.cells.vanilla import VanillaCell
from unroll.errors import BadInput, no_such

__all__ = [
    "Cell", "CoupledLSTMCell", "DerivedCell", "GRUCell", "HiddenState", "IRNNCell", "KernelCell", "LSTMCell",
    "LSTMState", "PeepholeLSTMCell", "VanillaCell", "cell_named",
]  # fmt: skip


def _imported(name: str) -> ModuleType:
    """A file of cells.

    Raises:
        BadInput: it fails when it is read; with its line.
    """
    try:
        return import_module(f"unroll.cells.{name}")
    except Exception as error:  # whatever its lines do
        path = str(Path(__file__).parent / f"{name}.py")
        lines = [frame.lineno for frame in extract_tb(error.__traceback__) if frame.filename == path]
        line = error.lineno if isinstance(error, SyntaxError) else next(reversed(lines), 1)
        raise BadInput(f"{path}, line {line}: {type(error).__name__}: {error}; correct the cell.") from error


def cell_named(name: str) -> type[Cell]:
    """The cell that the file ``cells/<name>.py`` defines: a new file is found without a list.

    Raises:
        BadInput: there is no such file, or no one cell in it.
    """
    names = sorted(path.stem for path in Path(__file__).parent.glob("*.py"))
    names = [stem for stem in names if stem not in ("__init__", "base", "initializers")]
    if name not in names:
        raise no_such("cell", name, names)
    module = _imported(name)
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Cell)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__ and kind.__name__.endswith("Cell")]
    own = [kind for kind in own if not getattr(kind, "__abstractmethods__", None)]
    if len(own) != 1:
        raise BadInput(f"{module.__file__} must define one cell, a class whose name ends in Cell; it has {len(own)}.")
    return own[0]
