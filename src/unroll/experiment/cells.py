"""Cells of a run, made from its settings."""

from __future__ import annotations

import inspect
from functools import partial

from unroll.cells import Cell, cell_named, initializers
from unroll.config.blocks import RecurrentConfig
from unroll.config.decoders import RecurrentDecoderConfig
from unroll.errors import BadInput, is_lack_of_memory
from unroll.networks.probe import KNOWN, failures
from unroll.networks.recurrent import CellFactory

CellSettings = RecurrentConfig | RecurrentDecoderConfig


def cell_factory(settings: CellSettings, block: str) -> CellFactory:
    """What makes a cell of two widths.

    Args:
        settings: of a block with a cell.
        block: key of the block, for messages.

    Raises:
        BadInput: the cell refuses an argument.
    """
    kind = cell_named(settings.cell)
    given = settings.cell_arguments
    try:
        inspect.signature(kind).bind(1, 1, **given)
    except TypeError as error:
        raise BadInput(f"{block}.cell={settings.cell} refuses {block}.cell_arguments={given}: {error}; see "
                       "src/unroll/cells/.") from None  # fmt: skip
    return partial(_make_cell, kind, settings, block)


def _make_cell(kind: type[Cell], settings: CellSettings, block: str, input_size: int, hidden_size: int) -> Cell:
    given, cell = settings.cell_arguments, f"{block}.cell={settings.cell}"
    arguments = f"{block}.cell_arguments={given} of {cell}, or " if given else ""
    with failures(kind, input_size, hidden_size, f"correct {arguments}the line"):
        try:
            made = kind(input_size, hidden_size, **given)
        except Exception as error:  # a cell of this package is not to blame for a value that it cannot use
            if kind not in KNOWN or not given or is_lack_of_memory(error):
                raise
            reason = " ".join(str(error).split()).rstrip(".")
            raise BadInput(
                f"{cell} refuses {block}.cell_arguments={given!s:.200}: {reason:.200}; correct the value."
            ) from None
    if settings.initializer == "orthogonal":
        initializers.orthogonal(made.weight_recurrent)
    return made
