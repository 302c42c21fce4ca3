"""Cells: one step of recurrence, under the names that the literature gives them."""

from unroll.cells.base import Cell, HiddenState
from unroll.cells.gru import GRUCell
from unroll.cells.lstm import LSTMCell, LSTMState
from unroll.cells.vanilla import VanillaCell

CELLS: dict[str, type[Cell]] = {"vanilla": VanillaCell, "lstm": LSTMCell, "gru": GRUCell}

__all__ = ["CELLS", "Cell", "GRUCell", "HiddenState", "LSTMCell", "LSTMState", "VanillaCell"]
