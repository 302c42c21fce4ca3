"""Settings of a network in blocks: inputs, encoder, decoder and output, each of several kinds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, SerializeAsAny, field_validator, model_validator

from unroll.config.block import (
    Block,
    CellArguments,
    CellName,
    Dropout,
    HiddenSize,
    Initializer,
    LayerNorm,
    Layers,
    Variational,
    WeightDropout,
    check_cell,
    optional,
)
from unroll.config.decoders import DecoderConfig
from unroll.config.section import Name, Named, Section


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


class RecurrentConfig(EncoderConfig):
    """A recurrent network."""

    name: Literal["recurrent"] = Field(description="The kind of network.")
    cell: CellName
    cell_arguments: CellArguments
    bidirectional: bool = Field(
        description="Whether to add a second direction that reads from the end of the sequence."
    )
    layers: Layers
    hidden_size: HiddenSize
    dropout: Dropout
    variational: Variational
    weight_dropout: WeightDropout
    layer_norm: LayerNorm
    initializer: Initializer
    learned_state: bool = Field(description="Whether to learn the initial state instead of starting from zero.")
    readout: Literal["final", "last", "mean", "max"] | None = optional(
        "How to reduce the outputs of a sequence to one vector, in tasks that do so."
    )

    @model_validator(mode="after")
    def _known_cell(self) -> RecurrentConfig:
        check_cell("arch.encoder", self.cell, self.cell_arguments)
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
    decoder: SerializeAsAny[DecoderConfig] | None = optional("The network that writes a target, symbol by symbol.")
    output: SerializeAsAny[OutputConfig] | None = optional("How a tagger predicts labels.")

    @property
    def spelling(self) -> CharactersConfig | None:
        """Settings of the network that spells words; None without one."""
        return getattr(self.inputs, "characters", None)


BLOCKS: Mapping[str, type[Named]] = {
    "inputs": InputsConfig, "encoder": EncoderConfig, "decoder": DecoderConfig, "output": OutputConfig,
}  # fmt: skip
ARCHITECTURE = (
    "name", "inputs.characters", "encoder.name", "encoder.cell", "encoder.bidirectional", "encoder.kernel_width",
    "encoder.order", "encoder.direct", "decoder.name", "decoder.cell", "decoder.bridge", "decoder.context",
    "decoder.attention.name", "decoder.attention.read", "decoder.attention.feeding", "decoder.copying", "output",
)  # fmt: skip


def is_architecture(key: str) -> bool:
    """Whether another value of a setting makes another architecture, which has a file of its own."""
    return any(f"{key}.".startswith(f"arch.{name}.") for name in ARCHITECTURE)
