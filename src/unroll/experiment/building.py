"""Network and task of a run, made from its settings and the sizes that its data decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unroll.config import Config, blocks
from unroll.config.decoders import RecurrentDecoderConfig
from unroll.data.batch import DataSpec, FieldSpec
from unroll.data.prepared import Split
from unroll.errors import BadInput, no_such
from unroll.experiment.cells import cell_factory
from unroll.experiment.decoding import encoder_decoder
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN, CharacterEncoder
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import OneHot, WordEmbedding, embed, embedding_from
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.encoder_decoder import EncoderDecoder
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.labels import CRFOutput, FeedbackOutput, LabelOutput, SoftmaxOutput
from unroll.networks.language import LanguageNetwork, RecurrentLanguageNetwork
from unroll.networks.ngram import KneserNey
from unroll.networks.output import TokenOutput
from unroll.networks.recurrent import LockedDropout, Recurrent
from unroll.tasks.activation import ActivationPenalty
from unroll.tasks.network import TaskNetwork
from unroll.tasks.registry import build_network_of, task_class
from unroll.training.optimizers import optimizer_factory

if TYPE_CHECKING:
    from unroll.tasks.base import Task  # imports lightning, which prediction does not need


def build_network(config: Config, spec: DataSpec, vectors: np.ndarray | None = None) -> TaskNetwork:
    """Network of a run: what it trains, and what answers.

    Args:
        config: settings of the run.
        spec: sizes that the data decides, by role.
        vectors: pretrained vectors to begin with, [V, E]; None where the weights come from a file.

    Raises:
        BadInput: the data lacks what the task needs.
    """
    network = build_network_of(config.task.name, NetworkBlocks(config, spec, vectors), config.task.options)
    return network.double() if config.training.precision == "64" else network


def build_task(config: Config, spec: DataSpec, vectors: np.ndarray | None = None) -> Task:
    """Network of a run, with what trains and judges it; see :func:`build_network`."""
    return task_of(config, build_network(config, spec, vectors))


def task_of(config: Config, network: TaskNetwork) -> Task:
    """What trains a network of a run and judges it."""
    settings = config.training
    optimizer = optimizer_factory(**settings.optimizer.model_dump(), schedule=settings.schedule, warmup=settings.warmup)
    task = task_class(config.task.name)(network, config.task.options, optimizer, settings.tokens)
    alpha, beta = settings.activation_regularization, settings.temporal_activation_regularization
    if alpha or beta:
        (encoder,) = (part for part in network.modules() if isinstance(part, SequenceEncoder))
        task.activation = ActivationPenalty(encoder.output_dropout, alpha, beta)
    return task


def build_without_numbers(config: Config, spec: DataSpec) -> TaskNetwork:
    """Network of a run on torch's meta device, where tensors have shapes alone: to count what it costs.

    Raises:
        BadInput: as of :func:`build_network`.
    """
    with torch.device("meta"), _Shapes():
        return build_network(config, spec)


class _Shapes(TorchFunctionMode):
    """Returns the argument of what only changes numbers, for which torch would import its compiler on this device."""

    SAME_SHAPE = frozenset({nn.init.normal_, torch.Tensor.normal_})

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function in self.SAME_SHAPE:
            return args[0] if args else kwargs["tensor"]
        return function(*args, **(kwargs or {}))


def refuse_undecidable(config: Config, spec: DataSpec) -> None:
    """Refuse, before anything is trained, to solve or be judged by the accuracy of a group that the data does not have.

    Raises:
        BadInput: it does not have it.
    """
    groups = config.task.description.group_names(spec)
    for text, metric in config.declared().items():
        _, slash, group = metric.partition("/")
        if slash and group not in groups:
            raise no_such(f"group of data={config.data.name} for {text},", group, groups)


class NetworkBlocks:
    """The blocks of a network, each built when a task asks for it.

    Args:
        config: settings of the run.
        spec: sizes that the data decides, by role.
        vectors: pretrained vectors to begin with, [V, E]; None where the weights come from a file.
    """

    def __init__(self, config: Config, spec: DataSpec, vectors: np.ndarray | None) -> None:
        self.config, self.spec, self.vectors = config, spec, vectors
        self.source = config.task.description.source

    def encoder(self) -> SequenceEncoder | ConvolutionalEncoder:
        """Network over words, over words and their spelling, or over real vectors.

        Raises:
            BadInput: words are to be spelled, and the data has no spelling.
        """
        settings = self.config.arch.encoder
        assert isinstance(settings, blocks.ConvolutionalConfig | blocks.RecurrentConfig)  # checked with the settings
        inputs, width = self._inputs(settings.dropout)
        if isinstance(settings, blocks.ConvolutionalConfig):
            return ConvolutionalEncoder(
                inputs, width, settings.hidden_size, settings.layers, settings.kernel_width, settings.dropout
            )
        recurrent = Recurrent(
            cell_factory(settings, "arch.encoder"), width, settings.hidden_size, settings.layers,
            settings.bidirectional, settings.dropout, settings.variational, settings.weight_dropout,
            settings.layer_norm, settings.learned_state,
        )  # fmt: skip
        dropout = LockedDropout(settings.dropout) if settings.variational else nn.Dropout(settings.dropout)
        return SequenceEncoder(inputs, recurrent, dropout, settings.readout)

    def _inputs(self, dropout: float) -> tuple[nn.Module, int]:
        """The inputs and their width; ``dropout`` is that of the network that spells."""
        config, spec = self.config, self.spec
        source = spec[self.source]
        if not source.unit:
            return nn.Identity(), source.size
        words = self.words()
        if config.arch.spelling is None:
            return words, words.embedding_dim
        if "spelling" not in spec:
            raise BadInput(
                f"data={config.data.name} has no spelling, which arch={config.arch.name} reads; choose another."
            )
        inputs = WordEmbedding(words, build_characters(config.arch.spelling, spec["spelling"], dropout))
        return inputs, inputs.output_size

    def words(self) -> nn.Embedding | OneHot:
        """Vectors of symbols."""
        assert self.config.arch.inputs is not None  # checked with the settings
        return build_words(self.config.arch.inputs, self.spec[self.source], self.vectors)

    def labels(self, feature_size: int) -> LabelOutput:
        """What predicts labels from features."""
        settings, encoder, spec = self.config.arch.output, self.config.arch.encoder, self.spec["labels"]
        if isinstance(settings, blocks.CRFConfig):
            return CRFOutput(feature_size, spec.names, spec.scheme)
        if isinstance(settings, blocks.FeedbackConfig):
            assert isinstance(encoder, blocks.RecurrentConfig)  # checked with the settings
            cell = cell_factory(encoder, "arch.encoder")
            return FeedbackOutput(
                feature_size, spec.size, settings.embedding_size, cell, encoder.hidden_size, settings.beam
            )
        return SoftmaxOutput(feature_size, spec.size)

    def language(self, tied: bool) -> LanguageNetwork:
        """A network that predicts the next token; if tied, its output matrix is the embedding."""
        settings, spec = self.config.arch.encoder, self.spec[self.source]
        if isinstance(settings, blocks.NgramConfig):
            return KneserNey(settings.order, spec.size)
        if isinstance(settings, blocks.FeedforwardConfig):
            words = self.words()
            assert isinstance(words, nn.Embedding)  # checked with the settings
            return FeedforwardLanguageNetwork(
                words, settings.order, settings.hidden_size, settings.direct, tied, settings.dropout
            )
        encoder = self.encoder()
        assert isinstance(encoder, SequenceEncoder)  # checked with the settings
        shared = encoder.inputs if tied and isinstance(encoder.inputs, nn.Embedding) else None
        return RecurrentLanguageNetwork(encoder, TokenOutput(encoder.output_size, spec.size, shared))

    def transducer(self, tied: bool, shared: bool) -> EncoderDecoder:
        """A network that writes targets; tied if its output matrix is the embedding, shared if sources have it too.

        Raises:
            BadInput: an embedding is shared by different vocabularies.
        """
        read, settings = self.config.arch.encoder, self.config.arch.decoder
        assert isinstance(read, blocks.ConvolutionalConfig | blocks.RecurrentConfig)  # checked with the settings
        assert isinstance(settings, RecurrentDecoderConfig)  # likewise
        return encoder_decoder(self.encoder(), read, settings, self.spec, tied, shared)


def begin(network: TaskNetwork, train: Split, role: str) -> None:
    """First values that the training split decides: an output over tokens begins with their frequencies.

    Args:
        network: the network.
        train: the training split.
        role: role of the tokens that are predicted.
    """
    for part in network.modules():
        if isinstance(part, TokenOutput):
            part.start_from(torch.from_numpy(train[role].counts(network.spec[role].size)))


def build_words(settings: blocks.InputsConfig, spec: FieldSpec, vectors: np.ndarray | None) -> nn.Embedding | OneHot:
    """What a token becomes."""
    if isinstance(settings, blocks.OneHotConfig):
        return OneHot(spec.size, spec.padding_index)
    if isinstance(settings, blocks.EmbeddingConfig):
        return embed(spec.size, settings.size, spec.padding_index, settings.scale)
    assert isinstance(settings, blocks.PretrainedConfig)  # checked with the settings
    if vectors is not None:
        return embedding_from(torch.from_numpy(vectors), spec.padding_index, settings.frozen)
    embedding = embed(spec.size, spec.vector_size, spec.padding_index, 1.0)
    embedding.weight.requires_grad_(not settings.frozen)
    return embedding


def build_characters(settings: blocks.CharactersConfig, spec: FieldSpec, dropout: float) -> CharacterEncoder:
    """Network that spells words."""
    sizes = (spec.size, spec.padding_index, settings.embedding_size, settings.size)
    return CharacterCNN(*sizes, dropout) if settings.name == "cnn" else CharacterBiLSTM(*sizes)
