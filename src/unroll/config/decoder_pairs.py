"""Valid combinations of the settings of a decoder with each other, with the encoder and with the task."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from unroll.config.blocks import ConvolutionalConfig, RecurrentConfig
from unroll.config.decoders import RecurrentDecoderConfig

if TYPE_CHECKING:
    from unroll.config.schema import Config


class Pair(NamedTuple):
    """A combination of settings.

    Args:
        is_refused: whether the run has it.
        reason: what is wrong with it, and a valid one.
    """

    is_refused: bool
    reason: str


def check_decoder(config: Config) -> None:
    """Refuse invalid combinations of the settings of a decoder.

    Raises:
        ValueError: describes the first invalid combination, and a valid one.
    """
    decoder = config.arch.decoder
    if not isinstance(decoder, RecurrentDecoderConfig):
        return
    for pair in (*_of_context(decoder), *_of_sizes(config, decoder), *_of_options(config, decoder)):
        if pair.is_refused:
            raise ValueError(pair.reason)


def _of_context(decoder: RecurrentDecoderConfig) -> Iterator[Pair]:
    """Yield what contradicts the way in which the source is read."""
    attends, reads_first = decoder.context == "attention", decoder.bridge != "zero"
    yield Pair(
        attends and decoder.attention is None,
        "arch.decoder.context=attention needs arch.decoder.attention, such as "
        "{name: additive, size: 128, read: before, feeding: false}; add it",
    )
    yield Pair(
        not attends and decoder.attention is not None,
        f"arch.decoder.attention has no effect with arch.decoder.context={decoder.context}; choose "
        "context=attention, or set attention to null",
    )
    yield Pair(
        decoder.context in ("start", "both") and not reads_first,
        f"arch.decoder.context={decoder.context} starts from the source, which arch.decoder.bridge=zero does not read; "
        "choose bridge=linear or copy",
    )
    yield Pair(
        decoder.context == "every_step" and reads_first,
        f"arch.decoder.context=every_step does not start from the source, so arch.decoder.bridge={decoder.bridge} has "
        "no effect; choose bridge=zero, or context=both",
    )
    yield Pair(
        decoder.copying and not attends,
        "arch.decoder.copying=true copies what attention reads; choose arch.decoder.context=attention, or "
        "copying=false",
    )


def _of_sizes(config: Config, decoder: RecurrentDecoderConfig) -> Iterator[Pair]:
    """Yield sizes that must be equal and are not."""
    width = encoder_width(config)
    name = decoder.attention.name if decoder.attention else ""
    yield Pair(
        decoder.bridge == "copy" and width != decoder.hidden_size,
        f"arch.decoder.bridge=copy needs a summary as wide as the state, but the encoder gives {width} numbers and "
        f"arch.decoder.hidden_size is {decoder.hidden_size}; choose bridge=linear, or equal sizes",
    )
    yield Pair(
        name in ("dot", "scaled") and width != decoder.hidden_size,
        f"arch.decoder.attention.name={name} multiplies features of the encoder, of {width} numbers, by states of "
        f"arch.decoder.hidden_size={decoder.hidden_size}; choose general or additive, or equal sizes",
    )


def _of_options(config: Config, decoder: RecurrentDecoderConfig) -> Iterator[Pair]:
    """Yield options of the task that the decoder does not support."""
    task, training = config.task, config.training
    smoothing, coverage, is_shared = (getattr(task, key, 0) for key in ("smoothing", "coverage", "shared"))
    inputs = config.arch.inputs
    yield Pair(
        bool(coverage) and decoder.context != "attention",
        f"task.coverage={coverage} needs attention, which arch={config.arch.name} does not have; set it to 0",
    )
    yield Pair(
        bool(smoothing) and decoder.copying,
        "task.smoothing is not defined for symbols that are copied; set it to 0, or arch.decoder.copying to false",
    )
    yield Pair(
        bool(is_shared) and (inputs is None or inputs.name != "embedding" or bool(config.arch.spelling)),
        "task.shared needs arch.inputs.name=embedding without characters, which source and target can share; set it "
        "to false",
    )
    yield Pair(
        bool(is_shared) and getattr(inputs, "size", 0) != decoder.embedding_size,
        f"task.shared needs equal sizes, but arch.inputs.size is {getattr(inputs, 'size', 0)} and "
        f"arch.decoder.embedding_size {decoder.embedding_size}; make them equal",
    )
    yield Pair(
        bool(training.activation_regularization or training.temporal_activation_regularization),
        "training.activation_regularization and temporal_activation_regularization count the steps of one sequence, "
        f"and task={task.name} has two; set them to 0",
    )
    yield Pair(
        not config.data.sentence_end,
        f"task={task.name} learns where a target ends from [EOS]; set data.sentence_end=true",
    )


def encoder_width(config: Config) -> int:
    """Number of features of the encoder of a run."""
    encoder = config.arch.encoder
    assert isinstance(encoder, RecurrentConfig | ConvolutionalConfig)  # checked with the settings
    directions = 2 if isinstance(encoder, RecurrentConfig) and encoder.bidirectional else 1
    return directions * encoder.hidden_size
