"""Cells, each of which computes one step of recurrence, named as in the literature."""

from __future__ import annotations

from unroll.cells.base import Cell, DerivedCell, HiddenState, KernelCell
from unroll.cells.coupled_lstm import CoupledLSTMCell
from unroll.cells.gru import GRUCell
from unroll.cells.irnn import IRNNCell
from unroll.cells.lstm import LSTMCell, LSTMState
from unroll.cells.peephole_lstm import PeepholeLSTMCell
from unroll.cells.vanilla import VanillaCell
from unroll.errors import BadInput, no_such
from unroll.plugins import load, parts

__all__ = [
    "Cell", "CoupledLSTMCell", "DerivedCell", "GRUCell", "HiddenState", "IRNNCell", "KernelCell", "LSTMCell",
    "LSTMState", "PeepholeLSTMCell", "VanillaCell", "cell_named",
]  # fmt: skip


def cell_named(name: str) -> type[Cell]:
    """The cell defined in ``cells/<name>.py`` of this package or of a plug-in.

    Raises:
        BadInput: there is no such file, or it does not define exactly one cell.
    """
    names = parts("cells")
    if name not in names:
        raise no_such("cell", name, names)
    module = load("cells", name)
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Cell)]
    own = [kind for kind in kinds if kind.__module__ == module.__name__ and kind.__name__.endswith("Cell")]
    own = [kind for kind in own if not getattr(kind, "__abstractmethods__", None)]
    if len(own) != 1:
        raise BadInput(f"{module.__file__} must define one cell, a class whose name ends in Cell; it has {len(own)}.")
    return own[0]
