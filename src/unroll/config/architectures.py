"""Settings of each kind of network."""

from __future__ import annotations

import ast
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from unroll.config.section import Name, Section, plain
from unroll.plugins import ROOT, parts

# the values that an argument of a cell accepts, by its annotation; Python counts true as 1, a person does not
KINDS: dict[str, tuple[tuple[type, ...], str]] = {
    "float": ((float, int), "a number"), "int": ((int,), "a whole number"), "str": ((str,), "text"),
    "bool": ((bool,), "true or false"),
}  # fmt: skip


class LearnedConfig(Section):
    """Settings of all networks trained by gradient descent."""

    hidden_size: int = Field(ge=1, le=10**6, description="Hidden size H of each direction of a layer.")
    embedding_size: int = Field(ge=1, le=10**6, description="Size of the token embeddings.")
    embedding_scale: float = Field(
        gt=0, description="Standard deviation of the initial embedding; small for a tied embedding with many rows."
    )
    inputs: Literal["embedding", "one_hot", "vectors", "frozen_vectors"] = Field(
        description="Token representation: a learned embedding, one-hot, or data.vectors, fine-tuned or frozen."
    )
    dropout: float = Field(
        ge=0, lt=1, description="Dropout probability on the inputs and outputs of the layers and between them."
    )


class SharedConfig(LearnedConfig):
    """Settings shared by all architectures of an experiment, unless the file of an architecture overrides them."""

    layers: int = Field(ge=1, le=1000, description="Number of layers L.")
    variational: bool = Field(description="Whether to use the same dropout mask at every step of a sequence.")
    weight_dropout: float = Field(
        ge=0, lt=1, description="Dropout probability on the entries of the recurrent matrices."
    )
    layer_norm: bool = Field(description="Whether to apply layer normalisation to the matrix products of a cell.")
    initializer: Literal["cell", "orthogonal"] = Field(
        description="Initialisation of the recurrent matrices: the default of the cell, or orthogonal."
    )
    learned_state: bool = Field(description="Whether to learn the initial state instead of starting from zero.")
    readout: Literal["final", "last", "mean", "max"] = Field(
        description="How to reduce the outputs of a sequence to one vector."
    )


class CharacterCNNConfig(Section):
    """Character-level word vectors from a convolution."""

    name: Literal["cnn"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of a character.")
    size: int = Field(ge=1, le=10**6, description="Size of the word vectors.")


class CharacterBiLSTMConfig(Section):
    """Character-level word vectors from a bidirectional LSTM."""

    name: Literal["bilstm"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of a character.")
    size: int = Field(ge=1, le=10**6, description="Hidden size H of each direction.")


class SoftmaxConfig(Section):
    """Independent prediction of each label."""

    name: Literal["softmax"] = Field(description="How labels are predicted.")


class CRFConfig(Section):
    """Joint prediction of all labels with a linear-chain conditional random field."""

    name: Literal["crf"] = Field(description="How labels are predicted.")


class FeedbackConfig(Section):
    """Prediction of each label from the previous one, which is fed back (output connections).

    Labels are read by a cell of the same kind as the network's, without norms, weight dropout and learned states.
    """

    name: Literal["feedback"] = Field(description="How labels are predicted.")
    embedding_size: int = Field(ge=1, le=10**6, description="Size of the embedding of the previous label.")
    beam: int = Field(ge=1, le=10_000, description="Beam width in prediction; 1 for greedy search.")


Characters = Annotated[CharacterCNNConfig | CharacterBiLSTMConfig, Field(discriminator="name")]
Output = Annotated[SoftmaxConfig | CRFConfig | FeedbackConfig, Field(discriminator="name")]


class RecurrentConfig(SharedConfig):
    """A recurrent network."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["recurrent"] = Field(description="The kind of network.")
    cell: Name = Field(description="The cell: a file in src/unroll/cells.")
    cell_arguments: dict[str, bool | int | float | str] = Field(
        description="Arguments of the cell other than its sizes."
    )
    bidirectional: bool = Field(
        description="Whether to add a second direction that reads from the end of the sequence."
    )
    characters: Characters | None = Field(description="Character-level word vectors of a tagger; null for none.")
    output: Output = Field(description="Output layer of a tagger.")

    @model_validator(mode="after")
    def _known_cell(self) -> RecurrentConfig:
        if self.cell not in parts("cells"):
            raise ValueError(f"there is no arch.cell={self.cell}; choose one of {', '.join(sorted(parts('cells')))}")
        allowed = cell_arguments(self.cell)
        for name, value in self.cell_arguments.items():
            if name not in allowed:
                choices = f"it accepts {', '.join(allowed)}" if allowed else "it accepts none"
                raise ValueError(f"arch.cell={self.cell} has no argument {name!r}; {choices}")
            kinds, expected = KINDS.get(allowed[name], ((type(value),), ""))
            if type(value) not in kinds:
                raise ValueError(f"arch.cell_arguments.{name}={plain(value)}: arch.cell={self.cell} expects {expected}")
        return self


class ConvolutionalConfig(LearnedConfig):
    """A convolutional network over time."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["convolutional"] = Field(description="The kind of network.")
    layers: int = Field(ge=1, le=1000, description="Number of layers L.")
    kernel_width: int = Field(ge=1, le=10_001, description="Kernel size in steps; an odd number.")

    @field_validator("kernel_width")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"arch.kernel_width={value}: must be odd, since a kernel of even size has no centre")
        return value


class FeedforwardConfig(LearnedConfig):
    """A feed-forward neural language model."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    network: Literal["feedforward"] = Field(description="The kind of network.")
    order: int = Field(
        ge=2, le=1000, description="Length n of the n-grams: the network reads n - 1 tokens to predict the next one."
    )
    direct: bool = Field(description="Whether to add direct connections from the embeddings to the output.")


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
    """Parse the source of a cell: importing the file would import torch."""
    path = parts("cells").get(cell) or ROOT / "unroll" / "cells" / f"{cell}.py"
    try:
        return ast.parse(path.read_text(encoding="utf-8"))
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}; correct the cell") from None


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
