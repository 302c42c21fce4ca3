"""Settings of decoders and of their attention."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

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
from unroll.config.section import Section

WITH_SIZE = ("additive", "coverage", "local", "monotonic")  # attention with a hidden layer


class AttentionConfig(Section):
    """Attention: which steps of the source are read at each step of the target."""

    name: Literal["additive", "coverage", "dot", "general", "local", "monotonic", "scaled"] = Field(
        description="The score of a state of the decoder and a step of the source."
    )
    size: int | None = optional(f"Size of the hidden layer of the attention {', '.join(WITH_SIZE)}.", ge=1, le=10**6)
    window: int | None = optional("Steps on each side of the position that local attention reads.", ge=1, le=10**6)
    read: Literal["before", "after"] = Field(
        description="Whether the source is read before the cell, from the previous state, or after it."
    )
    feeding: bool = Field(description="Whether the attentional vector is an input to the next step.")

    @model_validator(mode="after")
    def _has_its_sizes(self) -> AttentionConfig:
        for key, names in (("size", WITH_SIZE), ("window", ("local",))):
            is_used = self.name in names
            if is_used and getattr(self, key) is None:
                raise ValueError(f"arch.decoder.attention.{key} is missing, which the attention {self.name} needs; "
                                 "add it")  # fmt: skip
            if not is_used and getattr(self, key) is not None:
                raise ValueError(f"arch.decoder.attention.{key} has no effect on the attention {self.name}, only on "
                                 f"{' or '.join(names)}; set it to null")  # fmt: skip
        return self


class DecoderConfig(Block):
    """The network that writes a target, symbol by symbol."""


class RecurrentDecoderConfig(DecoderConfig):
    """A recurrent decoder."""

    name: Literal["recurrent"] = Field(description="The kind of decoder.")
    cell: CellName
    cell_arguments: CellArguments
    embedding_size: Annotated[int, Field(ge=1, le=10**6, description="Size of the embeddings of target symbols.")]
    scale: float = Field(
        gt=0, description="Standard deviation of the initial embedding; small for a tied embedding with many rows."
    )
    layers: Layers
    hidden_size: HiddenSize
    dropout: Dropout
    variational: Variational
    weight_dropout: WeightDropout
    layer_norm: LayerNorm
    initializer: Initializer
    reverse_source: bool = Field(
        description="Whether the encoder reads the source from its end, except for [EOS], which stays last."
    )
    bridge: Literal["zero", "copy", "linear"] = Field(
        description="First state of the decoder: zeros, the summary of the source, or a layer over the summary."
    )
    context: Literal["start", "every_step", "both", "attention"] = Field(
        description="How the source is read: as the first state, as an input to every step, both, or by attention."
    )
    attention: AttentionConfig | None = Field(description="The attention with context=attention; otherwise null.")
    copying: bool = Field(description="Whether the output may also copy symbols of the source, by attention.")

    @model_validator(mode="after")
    def _known_cell(self) -> RecurrentDecoderConfig:
        check_cell("arch.decoder", self.cell, self.cell_arguments)
        return self
