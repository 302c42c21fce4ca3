"""Encoder–decoder of a run, made from its settings and the sizes of its data."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from unroll.config.blocks import ConvolutionalConfig, RecurrentConfig
from unroll.config.decoders import AttentionConfig, RecurrentDecoderConfig
from unroll.data.batch import DataSpec, FieldSpec
from unroll.data.vocabulary import END_INDEX
from unroll.errors import BadInput
from unroll.experiment.cells import cell_factory
from unroll.networks.attention import ATTENTIONS, Attention
from unroll.networks.bridge import BRIDGES
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.copying import CopyingOutput
from unroll.networks.decoder import Decoder
from unroll.networks.embedding import embed
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.encoder_decoder import EncoderDecoder
from unroll.networks.memory import SequenceMemory
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import LockedDropout, Recurrent
from unroll.networks.wiring import Wiring


def encoder_decoder(
    encoder: SequenceEncoder | ConvolutionalEncoder,
    read: RecurrentConfig | ConvolutionalConfig,
    settings: RecurrentDecoderConfig,
    spec: DataSpec,
    tied: bool,
    shared: bool,
) -> EncoderDecoder:
    """The network of a run that writes targets.

    Args:
        encoder: reads the sources.
        read: settings of the encoder.
        settings: settings of the decoder.
        spec: sizes that the data decides, with the roles ``source`` and ``target``.
        tied: whether the output matrix is the embedding of the targets.
        shared: whether sources and targets have one embedding.

    Raises:
        BadInput: an embedding is shared by different vocabularies.
    """
    source, target = spec["source"], spec["target"]
    # a convolutional network has no readout of its own; its summary is the maximum, as in other tasks
    memory = SequenceMemory(encoder, (read.readout or "final") if isinstance(read, RecurrentConfig) else "max")
    embedding = _embedding(encoder, settings, source, target, shared)
    decoder = build_decoder(memory, embedding, settings)
    plain = TokenOutput(decoder.output_size, target.size, embedding if tied else None)
    output: TokenOutput | CopyingOutput = plain
    if settings.copying:
        output = CopyingOutput(plain, decoder.output_size, target.size, target.unknown_index)
    known = known_symbols(source, target) if settings.copying else None
    forbidden = (target.padding_index, target.unknown_index)
    return EncoderDecoder(memory, decoder, output, END_INDEX, forbidden, settings.reverse_source, known)


def build_decoder(memory: SequenceMemory, embedding: nn.Embedding, settings: RecurrentDecoderConfig) -> Decoder:
    """The decoder of a run."""
    attends = settings.attention
    read, feeding = (attends.read, attends.feeding) if attends else (None, False)
    wiring = Wiring(settings.context, read, feeding)
    sizes = wiring.input_sizes(embedding.embedding_dim, memory.summary_size, memory.feature_size, settings.hidden_size)
    recurrent = Recurrent(
        cell_factory(settings, "arch.decoder"), sum(sizes), settings.hidden_size, settings.layers, False,
        settings.dropout, settings.variational, settings.weight_dropout, settings.layer_norm,
    )  # fmt: skip
    bridge = BRIDGES[settings.bridge](memory.summary_size, recurrent.initial_state(1))
    attention = build_attention(attends, settings.hidden_size, memory.feature_size) if attends else None
    dropout = LockedDropout(settings.dropout) if settings.variational else nn.Dropout(settings.dropout)
    return Decoder(embedding, recurrent, wiring, bridge, attention, memory.summary_size, memory.feature_size, dropout)


def build_attention(settings: AttentionConfig, query_size: int, feature_size: int) -> Attention:
    """The attention of a run."""
    given = [size for size in (settings.size, settings.window) if size is not None]  # checked with the settings
    return ATTENTIONS[settings.name](query_size, feature_size, *given)


def known_symbols(source: FieldSpec, target: FieldSpec) -> Tensor:
    """Index of each source symbol in the target vocabulary, −1 for those that it lacks, padding and the unknown."""
    places = {symbol: number for number, symbol in enumerate(target.names)}
    special = (source.padding_index, source.unknown_index)
    found = [-1 if number in special else places.get(symbol, -1) for number, symbol in enumerate(source.names)]
    return torch.tensor(found)


def _embedding(
    encoder: SequenceEncoder | ConvolutionalEncoder, settings: RecurrentDecoderConfig, source: FieldSpec,
    target: FieldSpec, shared: bool,
) -> nn.Embedding:  # fmt: skip
    """The embedding of the target symbols."""
    if not shared:
        return embed(target.size, settings.embedding_size, target.padding_index, settings.scale)
    if source.names != target.names:
        raise BadInput("task.shared needs one vocabulary for source and target, but they have "
                       f"{source.size:,} and {target.size:,} symbols, which differ; set "
                       "data.shared_vocabulary=true, or task.shared=false.")  # fmt: skip
    inputs = encoder.inputs
    assert isinstance(inputs, nn.Embedding)  # checked with the settings
    return inputs
