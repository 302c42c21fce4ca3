"""Network and task of a run, made from its settings and the sizes that its data decides."""

from __future__ import annotations

import inspect
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from unroll.cells import Cell, cell_named, initializers
from unroll.config import Config
from unroll.config.architectures import (
    CharacterCNNConfig,
    ConvolutionalConfig,
    CRFConfig,
    FeedforwardConfig,
    LearnedConfig,
    NgramConfig,
    RecurrentConfig,
    SoftmaxConfig,
)
from unroll.data.batch import DataSpec, FieldSpec
from unroll.data.prepared import Split
from unroll.errors import BadInput, is_lack_of_memory, no_such
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN, CharacterEncoder
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import OneHot, WordEmbedding, embed, embedding_from
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.labels import CRFOutput, FeedbackOutput, LabelOutput, SoftmaxOutput
from unroll.networks.language import LanguageNetwork, RecurrentLanguageNetwork, TokenOutput
from unroll.networks.ngram import KneserNey
from unroll.networks.probe import KNOWN, failures
from unroll.networks.recurrent import CellFactory, LockedDropout, Recurrent
from unroll.tasks.activation import ActivationPenalty
from unroll.tasks.network import TaskNetwork
from unroll.tasks.registry import network_builder, task_class
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
    network = network_builder(config.task.name)(NetworkBlocks(config, spec, vectors), config.task.options)
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
    groups = spec["probe"].names if "probe" in spec else ()
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

    def encoder(self) -> SequenceEncoder | ConvolutionalEncoder:
        """Network over words, over words and their spelling, or over real vectors.

        Raises:
            BadInput: words are to be spelled, and the data has no spelling.
        """
        config, arch, spec = self.config, self.config.arch, self.spec
        assert isinstance(arch, ConvolutionalConfig | RecurrentConfig)  # checked with the settings
        words = build_words(arch, spec["inputs"], self.vectors) if spec["inputs"].unit else None
        inputs: nn.Module = nn.Identity() if words is None else words
        width = spec["inputs"].size if words is None else words.embedding_dim
        if isinstance(arch, ConvolutionalConfig):
            return ConvolutionalEncoder(inputs, width, arch.hidden_size, arch.layers, arch.kernel_width, arch.dropout)
        if arch.characters is not None:
            if "spelling" not in spec or words is None:
                raise BadInput(
                    f"data={config.data.name} has no spelling, which arch={arch.name} reads; choose another."
                )
            inputs = WordEmbedding(words, build_characters(arch, spec["spelling"]))
            width = inputs.output_size
        recurrent = Recurrent(
            cell_factory(arch), width, arch.hidden_size, arch.layers, arch.bidirectional, arch.dropout,
            arch.variational, arch.weight_dropout, arch.layer_norm, arch.learned_state,
        )  # fmt: skip
        dropout = LockedDropout(arch.dropout) if arch.variational else nn.Dropout(arch.dropout)
        return SequenceEncoder(inputs, recurrent, dropout, arch.readout)

    def labels(self, feature_size: int) -> LabelOutput:
        """What predicts labels from features."""
        arch, spec = self.config.arch, self.spec["labels"]
        if not isinstance(arch, RecurrentConfig) or isinstance(arch.output, SoftmaxConfig):
            return SoftmaxOutput(feature_size, spec.size)
        if isinstance(arch.output, CRFConfig):
            return CRFOutput(feature_size, spec.names, spec.scheme)
        settings = arch.output
        return FeedbackOutput(
            feature_size, spec.size, settings.embedding_size, cell_factory(arch), arch.hidden_size, settings.beam
        )

    def language(self, tied: bool) -> LanguageNetwork:
        """A network that predicts the next token; if tied, its output matrix is the embedding."""
        arch, spec = self.config.arch, self.spec["inputs"]
        if isinstance(arch, NgramConfig):
            return KneserNey(arch.order, spec.size)
        if isinstance(arch, FeedforwardConfig):
            words = build_words(arch, spec, self.vectors)
            assert isinstance(words, nn.Embedding)  # checked with the settings
            return FeedforwardLanguageNetwork(words, arch.order, arch.hidden_size, arch.direct, tied, arch.dropout)
        encoder = self.encoder()
        assert isinstance(encoder, SequenceEncoder)  # checked with the settings
        shared = encoder.inputs if tied and isinstance(encoder.inputs, nn.Embedding) else None
        return RecurrentLanguageNetwork(encoder, TokenOutput(encoder.output_size, spec.size, shared))


def begin(network: TaskNetwork, train: Split) -> None:
    """First values that the training split decides: an output over tokens begins with their frequencies."""
    for part in network.modules():
        if isinstance(part, TokenOutput):
            part.start_from(torch.from_numpy(train["inputs"].counts(network.spec["inputs"].size)))


def build_words(arch: LearnedConfig, spec: FieldSpec, vectors: np.ndarray | None) -> nn.Embedding | OneHot:
    """What a token becomes."""
    if arch.inputs == "one_hot":
        return OneHot(spec.size, spec.padding_index)
    if arch.inputs == "embedding":
        return embed(spec.size, arch.embedding_size, spec.padding_index, arch.embedding_scale)
    frozen = arch.inputs == "frozen_vectors"
    if vectors is not None:
        return embedding_from(torch.from_numpy(vectors), spec.padding_index, frozen)
    embedding = embed(spec.size, spec.vector_size, spec.padding_index, 1.0)
    embedding.weight.requires_grad_(not frozen)
    return embedding


def build_characters(arch: RecurrentConfig, spec: FieldSpec) -> CharacterEncoder:
    """Network that spells words."""
    settings = arch.characters
    assert settings is not None
    sizes = (spec.size, spec.padding_index, settings.embedding_size, settings.size)
    return CharacterCNN(*sizes, arch.dropout) if isinstance(settings, CharacterCNNConfig) else CharacterBiLSTM(*sizes)


def cell_factory(arch: RecurrentConfig) -> CellFactory:
    """What makes a cell of two widths.

    Raises:
        BadInput: the cell refuses an argument.
    """
    kind = cell_named(arch.cell)
    try:
        inspect.signature(kind).bind(1, 1, **arch.cell_arguments)
    except TypeError as error:
        raise BadInput(f"arch.cell={arch.cell} refuses arch.cell_arguments={arch.cell_arguments}: {error}; "
                       "see what src/unroll/cells/ says of it.") from None  # fmt: skip
    return partial(_make_cell, kind, arch)


def _make_cell(kind: type[Cell], arch: RecurrentConfig, input_size: int, hidden_size: int) -> Cell:
    given = arch.cell_arguments
    settings = f"arch.cell_arguments={given} of arch.cell={arch.cell}, or " if given else ""
    with failures(kind, input_size, hidden_size, f"correct {settings}the line"):
        try:
            cell = kind(input_size, hidden_size, **given)
        except Exception as error:  # a cell of this package is not to blame for a value that it cannot use
            if kind not in KNOWN or not given or is_lack_of_memory(error):
                raise
            reason = " ".join(str(error).split()).rstrip(".")
            raise BadInput(f"arch.cell={arch.cell} refuses arch.cell_arguments={given!s:.200}: {reason:.200}; "
                           "correct the value.") from None  # fmt: skip
    if arch.initializer == "orthogonal":
        initializers.orthogonal(cell.weight_recurrent)
    return cell
