"""Settings of a network in blocks: inputs, encoder and output, each of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from unroll.config.cell_arguments import cell_arguments
from unroll.config.section import Name, Named, Section, plain
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


def optional(description: str) -> Any:
    """A setting that is absent from a run that does not use it."""
    return Field(default=None, exclude_if=lambda value: value is None, description=description)


class CharactersConfig(Section):
    """Word vectors from the characters of a word."""

    name: Literal["cnn", "bilstm"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, le=10**6, description="Width of the embedding of a character.")
    size: int = Field(ge=1, le=10**6, description="Size of the word vectors, for bilstm of each direction.")


Characters = Annotated[
    CharactersConfig | None,
    optional("Character-level word vectors of a tagger, joined with those of the words; null for none."),
]


class InputsConfig(Block):
    """The vector of each step of a sequence."""


class EmbeddingConfig(InputsConfig):
    """A learned embedding of symbols."""

    name: Literal["embedding"] = Field(description="What a step becomes.")
    size: int = Field(ge=1, le=10**6, description="Size of the embeddings.")
    scale: float = Field(
        gt=0, description="Standard deviation of the initial embedding; small for a tied embedding with many rows."
    )
    characters: Characters


class OneHotConfig(InputsConfig):
    """One-hot vectors of symbols."""

    name: Literal["one_hot"] = Field(description="What a step becomes.")
    characters: Characters


class PretrainedConfig(InputsConfig):
    """The pretrained vectors in data.vectors."""

    name: Literal["vectors"] = Field(description="What a step becomes.")
    frozen: bool = Field(description="Whether to keep the vectors as they are in training.")
    characters: Characters


class FramesConfig(InputsConfig):
    """Real vectors as they are; chosen by data that have them."""

    name: Literal["frames"] = Field(description="What a step becomes.")


class EncoderConfig(Block):
    """The network that reads a sequence.

    ``counts`` is whether it is fitted by counting: in one process, without gradients, inputs, sizes and a random seed.
    """

    counts: ClassVar[bool] = False


HiddenSize = Annotated[int, Field(ge=1, le=10**6, description="Hidden size H of each direction of a layer.")]
Layers = Annotated[int, Field(ge=1, le=1000, description="Number of layers L.")]
Dropout = Annotated[
    float, Field(ge=0, lt=1, description="Dropout probability on the inputs and outputs of layers and between them.")
]


class RecurrentConfig(EncoderConfig):
    """A recurrent network."""

    name: Literal["recurrent"] = Field(description="The kind of network.")
    cell: Name = Field(description="The cell: a file in src/unroll/cells.")
    cell_arguments: dict[str, bool | int | float | str] = Field(
        description="Arguments of the cell other than its sizes."
    )
    bidirectional: bool = Field(
        description="Whether to add a second direction that reads from the end of the sequence."
    )
    layers: Layers
    hidden_size: HiddenSize
    dropout: Dropout
    variational: bool = Field(description="Whether to use the same dropout mask at every step of a sequence.")
    weight_dropout: float = Field(
        ge=0, lt=1, description="Dropout probability on the entries of the recurrent matrices."
    )
    layer_norm: bool = Field(description="Whether to apply layer normalisation to the matrix products of a cell.")
    initializer: Literal["cell", "orthogonal"] = Field(
        description="Initialisation of the recurrent matrices: the default of the cell, or orthogonal."
    )
    learned_state: bool = Field(description="Whether to learn the initial state instead of starting from zero.")
    readout: Literal["final", "last", "mean", "max"] | None = optional(
        "How to reduce the outputs of a sequence to one vector, in tasks that do so."
    )

    @model_validator(mode="after")
    def _known_cell(self) -> RecurrentConfig:
        cell = f"arch.encoder.cell={self.cell}"
        if self.cell not in parts("cells"):
            raise ValueError(f"there is no {cell}; choose one of {', '.join(sorted(parts('cells')))}")
        allowed = cell_arguments(self.cell)
        for name, value in self.cell_arguments.items():
            if name not in allowed:
                choices = f"it accepts {', '.join(allowed)}" if allowed else "it accepts none"
                raise ValueError(f"{cell} has no argument {name!r}; {choices}")
            kinds, expected = ACCEPTED.get(allowed[name], ((type(value),), ""))
            if type(value) not in kinds:
                raise ValueError(f"arch.encoder.cell_arguments.{name}={plain(value)}: {cell} expects {expected}")
        return self


class ConvolutionalConfig(EncoderConfig):
    """A convolutional network over time."""

    name: Literal["convolutional"] = Field(description="The kind of network.")
    layers: Layers
    hidden_size: HiddenSize
    kernel_width: int = Field(ge=1, le=10_001, description="Kernel size in steps; an odd number.")
    dropout: Dropout

    @field_validator("kernel_width")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(
                f"arch.encoder.kernel_width={value}: must be odd, since a kernel of even size has no centre"
            )
        return value


class FeedforwardConfig(EncoderConfig):
    """A feed-forward neural language model."""

    name: Literal["feedforward"] = Field(description="The kind of network.")
    order: int = Field(
        ge=2, le=1000, description="Length n of the n-grams: the network reads n - 1 tokens to predict the next one."
    )
    hidden_size: HiddenSize
    direct: bool = Field(description="Whether to add direct connections from the embeddings to the output.")
    dropout: Dropout


class NgramConfig(EncoderConfig):
    """An n-gram language model."""

    counts: ClassVar[bool] = True

    name: Literal["ngram"] = Field(description="The kind of network.")
    order: int = Field(ge=1, le=9, description="Length n of the longest n-gram.")


class OutputConfig(Block):
    """The prediction of labels from features."""


class SoftmaxConfig(OutputConfig):
    """Independent prediction of each label."""

    name: Literal["softmax"] = Field(description="How labels are predicted.")


class CRFConfig(OutputConfig):
    """Joint prediction of all labels with a linear-chain conditional random field."""

    name: Literal["crf"] = Field(description="How labels are predicted.")


class FeedbackConfig(OutputConfig):
    """Prediction of each label from the previous one, which is fed back (output connections).

    Labels are read by a cell of the same kind as the network's, without norms, weight dropout and learned states.
    """

    name: Literal["feedback"] = Field(description="How labels are predicted.")
    embedding_size: int = Field(ge=1, le=10**6, description="Size of the embedding of the previous label.")
    beam: int = Field(ge=1, le=10_000, description="Beam width in prediction; 1 for greedy search.")


class ArchConfig(Section):
    """The network architecture in blocks; one that a run does not use is absent."""

    name: Name = Field(description="Name of the architecture: that of its file.")
    inputs: SerializeAsAny[InputsConfig] | None = optional("The vector of each step of a sequence.")
    encoder: SerializeAsAny[EncoderConfig] = Field(description="The network that reads a sequence.")
    output: SerializeAsAny[OutputConfig] | None = optional("How a tagger predicts labels.")

    @property
    def spelling(self) -> CharactersConfig | None:
        """Settings of the network that spells words; None without one."""
        return getattr(self.inputs, "characters", None)


BLOCKS: Mapping[str, type[Named]] = {"inputs": InputsConfig, "encoder": EncoderConfig, "output": OutputConfig}
ARCHITECTURE = (
    "name", "inputs.characters", "encoder.name", "encoder.cell", "encoder.bidirectional", "encoder.kernel_width",
    "encoder.order", "encoder.direct", "output",
)  # fmt: skip


def is_architecture(key: str) -> bool:
    """Whether another value of a setting makes another architecture, which has a file of its own."""
    return any(f"{key}.".startswith(f"arch.{name}.") for name in ARCHITECTURE)
