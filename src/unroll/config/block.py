"""Parts of the settings of networks that blocks have in common."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, get_args

from pydantic import Field

from unroll.config.cell_arguments import cell_arguments
from unroll.config.section import Name, Named, plain
from unroll.plugins import parts

# the values that an argument of a cell accepts, by its annotation; Python counts true as 1, a person does not
ACCEPTED: dict[str, tuple[tuple[type, ...], str]] = {
    "float": ((float, int), "a number"), "int": ((int,), "a whole number"), "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
}  # fmt: skip


class Block(Named):
    """A block of a network; its kinds are its direct subclasses."""

    @classmethod
    def kinds(cls) -> Mapping[str, type[Named]]:
        return {get_args(kind.model_fields["name"].annotation)[0]: kind for kind in cls.__subclasses__()}


def optional(description: str, **limits: Any) -> Any:
    """A setting that is absent from a run that does not use it."""
    return Field(default=None, exclude_if=lambda value: value is None, description=description, **limits)


CellName = Annotated[Name, Field(description="The cell: a file in src/unroll/cells.")]
CellArguments = Annotated[
    dict[str, bool | int | float | str], Field(description="Arguments of the cell other than its sizes.")
]
HiddenSize = Annotated[int, Field(ge=1, le=10**6, description="Hidden size H of each direction of a layer.")]
Layers = Annotated[int, Field(ge=1, le=1000, description="Number of layers L.")]
Dropout = Annotated[
    float, Field(ge=0, lt=1, description="Dropout probability on the inputs and outputs of layers and between them.")
]
Variational = Annotated[bool, Field(description="Whether to use the same dropout mask at every step of a sequence.")]
WeightDropout = Annotated[
    float, Field(ge=0, lt=1, description="Dropout probability on the entries of the recurrent matrices.")
]
LayerNorm = Annotated[bool, Field(description="Whether to apply layer normalisation to the matrix products of a cell.")]
Initializer = Annotated[
    Literal["cell", "orthogonal"],
    Field(description="Initialisation of the recurrent matrices: the default of the cell, or orthogonal."),
]


def check_cell(block: str, name: str, arguments: Mapping[str, bool | int | float | str]) -> None:
    """Refuse a cell that does not exist, and arguments that it does not have.

    Args:
        block: key of the block, such as ``arch.encoder``.
        name: name of the cell.
        arguments: its arguments.

    Raises:
        ValueError: describes the first fault.
    """
    cell = f"{block}.cell={name}"
    if name not in parts("cells"):
        raise ValueError(f"there is no {cell}; choose one of {', '.join(sorted(parts('cells')))}")
    allowed = cell_arguments(name)
    for key, value in arguments.items():
        if key not in allowed:
            choices = f"it accepts {', '.join(allowed)}" if allowed else "it accepts none"
            raise ValueError(f"{cell} has no argument {key!r}; {choices}")
        kinds, expected = ACCEPTED.get(allowed[key], ((type(value),), ""))
        if type(value) not in kinds:
            raise ValueError(f"{block}.cell_arguments.{key}={plain(value)}: {cell} expects {expected}")
