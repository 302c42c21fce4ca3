"""Settings of every kind of network."""

from __future__ import annotations

import ast
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from unroll.config.section import Name, Section, plain
from unroll.plugins import ROOT, parts

# what an argument of a cell may be, by its annotation; true is 1 to Python, and no number to a person
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "float": ((float, int), "a number"), "int": ((int,), "a whole number"), "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
}  # fmt: skip


class LearnedConfig(Section):
    """What every network that learns by gradient has."""

    hidden_size: int = Field(ge=1, le=10**6, description="Width H of each direction of a layer.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of a token.")
    embedding_scale: float = Field(
        gt=0, description="Standard deviation of the embedding's first values; small if it is tied and has many rows."
    )
    inputs: Literal["embedding", "one_hot", "vectors", "frozen_vectors"] = Field(
        description="What a token becomes: a learned embedding, one-hot, or data.vectors, tuned or frozen."
    )
    dropout: float = Field(ge=0, lt=1, description="Probability that a unit is dropped, around and between layers.")


class SharedConfig(LearnedConfig):
    """What architectures of an experiment share, each as far as it has it, unless the file of one differs."""

    layers: int = Field(ge=1, le=1000, description="Number of layers L.")
    variational: bool = Field(description="Whether a sequence drops the same units at every step.")
    weight_dropout: float = Field(ge=0, lt=1, description="Probability that an entry of W is dropped.")
    layer_norm: bool = Field(description="Whether cells normalise their products (layer normalisation).")
    initializer: Literal["cell", "orthogonal"] = Field(description="First values of W: its cell's own, or orthogonal.")
    learned_state: bool = Field(description="Whether the state before the first step is learned instead of zero.")
    readout: Literal["final", "last", "mean", "max"] = Field(description="What stands for a whole sequence.")


class CharacterCNNConfig(Section):
    """Spelling of each word by a convolution."""

    name: Literal["cnn"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of a character.")
    size: int = Field(ge=1, le=10**6, description="Width of the vector of a word.")


class CharacterBiLSTMConfig(Section):
    """Spelling of each word by an LSTM from both ends."""

    name: Literal["bilstm"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of a character.")
    size: int = Field(ge=1, le=10**6, description="Width H of each direction.")


class SoftmaxConfig(Section):
    """Labels predicted one by one."""

    name: Literal["softmax"] = Field(description="How labels are predicted.")


class CRFConfig(Section):
    """Labels predicted together, by a linear-chain conditional random field."""

    name: Literal["crf"] = Field(description="How labels are predicted.")


class FeedbackConfig(Section):
    """Labels predicted from the label before, which is fed back: output connections.

    The cell that reads them is that of the network, without its norms, dropout of weights and learned states.
    """

    name: Literal["feedback"] = Field(description="How labels are predicted.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of the label before.")
    beam: int = Field(ge=1, le=10_000, description="Label sequences kept in prediction; 1 is greedy.")


Characters = Annotated[CharacterCNNConfig | CharacterBiLSTMConfig, Field(discriminator="name")]
Output = Annotated[SoftmaxConfig | CRFConfig | FeedbackConfig, Field(discriminator="name")]


class RecurrentConfig(SharedConfig):
    """A recurrent network."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["recurrent"] = Field(description="The kind of network.")
    cell: Name = Field(description="The cell: a file of src/unroll/cells.")
    cell_arguments: dict[str, bool | int | float | str] = Field(description="Arguments of the cell beside its widths.")
    bidirectional: bool = Field(description="Whether a second set of cells reads from the end.")
    characters: Characters | None = Field(description="How words are spelled to a tagger; null for not at all.")
    output: Output = Field(description="How a tagger predicts labels.")

    @model_validator(mode="after")
    def _known_cell(self) -> RecurrentConfig:
        if self.cell not in parts("cells"):
            raise ValueError(f"there is no arch.cell={self.cell}; choose one of {', '.join(sorted(parts('cells')))}")
        allowed = cell_arguments(self.cell)
        for name, value in self.cell_arguments.items():
            if name not in allowed:
                choices = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
                raise ValueError(f"arch.cell={self.cell} has no argument {name!r}; {choices}")
            kinds, due = KINDS.get(allowed[name], ((type(value),), ""))
            if type(value) not in kinds:
                raise ValueError(f"arch.cell_arguments.{name}={plain(value)}: {due} is due, by arch.cell={self.cell}")
        return self


class ConvolutionalConfig(LearnedConfig):
    """A network of convolutions over time."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["convolutional"] = Field(description="The kind of network.")
    layers: int = Field(ge=1, le=1000, description="Number of layers L.")
    kernel_width: int = Field(ge=1, le=10_001, description="Steps that a filter sees, an odd number.")

    @field_validator("kernel_width")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"arch.kernel_width={value}: a filter of an even number of steps has no middle")
        return value


class FeedforwardConfig(LearnedConfig):
    """A feed-forward neural language model."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["feedforward"] = Field(description="The kind of network.")
    order: int = Field(
        ge=2, le=1000, description="Length n of its n-grams: it reads the n - 1 tokens before the next one."
    )
    direct: bool = Field(description="Whether embeddings are connected with the output directly.")


class NgramConfig(Section):
    """An n-gram language model."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["ngram"] = Field(description="The kind of network.")
    order: int = Field(ge=1, le=9, description="Length n of the longest n-gram.")


Arch = Annotated[
    RecurrentConfig | ConvolutionalConfig | FeedforwardConfig | NgramConfig, Field(discriminator="network")
]
NETWORKS: dict[str, type[Section]] = {
    "recurrent": RecurrentConfig, "convolutional": ConvolutionalConfig, "feedforward": FeedforwardConfig,
    "ngram": NgramConfig,
}  # fmt: skip


def cell_arguments(cell: str) -> dict[str, str]:
    """Arguments that the cell of a file takes beside its two widths, its own and those that it passes on.

    Returns:
        Their annotations by name; empty for an argument that has none.
    """
    tree = _parsed(cell)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    derived_from = {base.id for node in classes.values() for base in node.bases if isinstance(base, ast.Name)}
    for name, node in classes.items():
        if name.endswith("Cell") and name not in derived_from:
            return _arguments(cell, node)
    return {}


def _parsed(cell: str) -> ast.Module:
    """A file of cells as text: importing it would import torch."""
    path = parts("cells").get(cell) or ROOT / "unroll" / "cells" / f"{cell}.py"
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}; correct the cell") from None


def _arguments(cell: str, kind: ast.ClassDef) -> dict[str, str]:
    """Arguments of a class's ``__init__`` behind the two widths; its parents' where it has none or passes on."""
    inherited: dict[str, str] = {}
    for base in reversed(kind.bases):
        if isinstance(base, ast.Name):
            inherited |= _inherited(cell, base.id)
    for method in kind.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            named = [*method.args.posonlyargs, *method.args.args][3:]  # not self and the widths
            own = {each.arg: ast.unparse(each.annotation) if each.annotation else ""
                   for each in (*named, *method.args.kwonlyargs)}  # fmt: skip
            return (inherited if method.args.kwarg else {}) | own
    return inherited


def _inherited(cell: str, parent: str) -> dict[str, str]:
    """Arguments of a parent that the same file or another one of cells defines."""
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
    """Arguments of a class that another module of cells has, or takes from one of its files."""
    if module == "unroll.cells":
        return _inherited("__init__", name)
    file = module.removeprefix("unroll.cells.")
    return _inherited(file, name) if file in parts("cells") else {}
