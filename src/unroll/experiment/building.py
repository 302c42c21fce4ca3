"""Networks, tasks and batches of a run, made from its settings and the sizes that its data decides."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn

from unroll.cells import Cell, cell_named, initializers
from unroll.config import Config
from unroll.config.architectures import (
    CharacterCNNConfig,
    ConvolutionalConfig,
    FeedbackConfig,
    FeedforwardConfig,
    LearnedConfig,
    NgramConfig,
    RecurrentConfig,
)
from unroll.data.batch import DataSpec, FieldSpec
from unroll.data.buckets import Buckets
from unroll.data.loader import ALL, Share
from unroll.data.prepared import Split
from unroll.data.streams import Streams
from unroll.errors import BadInput, is_lack_of_memory, no_such
from unroll.networks.characters import CharacterBiLSTM, CharacterCNN, CharacterEncoder
from unroll.networks.convolutional import ConvolutionalEncoder
from unroll.networks.embedding import OneHot, WordEmbedding, embed, embedding_from
from unroll.networks.encoder import SequenceEncoder
from unroll.networks.feedforward import FeedforwardLanguageNetwork
from unroll.networks.labels import CRFOutput, FeedbackOutput, LabelOutput, SoftmaxOutput
from unroll.networks.language import ClozeNetwork, LanguageNetwork, RecurrentLanguageNetwork, TokenOutput
from unroll.networks.ngram import KneserNey
from unroll.networks.probe import KNOWN, failures
from unroll.networks.recurrent import CellFactory, LockedDropout, Recurrent
from unroll.tasks import Cloze, LanguageModel, Regressor, Tagger, Task
from unroll.tasks.activation import ActivationPenalty
from unroll.tasks.base import OptimizerFactory
from unroll.training.optimizers import optimizer_factory

EVALUATION_WINDOW = 128  # steps that evaluation reads at a time where training reads all: no gradient asks for more
LENGTHS = ("inputs",)  # roles by whose lengths records are put together
WINDOW = "training.truncation_length"  # changes a figure by rounding alone, since the state is carried on
Parts = tuple[DataSpec, OptimizerFactory, int]  # what every task takes beside its network


def build_task(config: Config, spec: DataSpec, vectors: np.ndarray | None = None) -> Task:
    """Network and task of a run.

    Args:
        config: settings of the run.
        spec: sizes that the data decides, by role.
        vectors: pretrained vectors to begin with, [V, E]; None where the weights come from a file.

    Raises:
        BadInput: the data lacks what the task needs.
    """
    task = _build_task(config, spec, vectors)
    alpha, beta = config.training.activation_regularization, config.training.temporal_activation_regularization
    if alpha or beta:
        (encoder,) = (part for part in task.modules() if isinstance(part, SequenceEncoder))
        task.activation = ActivationPenalty(encoder.output_dropout, alpha, beta)
    return task.double() if config.training.precision == "64" else task


def build_without_numbers(config: Config, spec: DataSpec) -> Task:
    """Network and task of a run on torch's meta device, where tensors have shapes alone: to count what they cost.

    Raises:
        BadInput: as of :func:`build_task`.
    """
    with torch.device("meta"):
        return build_task(config, spec)


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


def _build_task(config: Config, spec: DataSpec, vectors: np.ndarray | None) -> Task:
    settings, arch = config.training, config.arch
    optimizer = optimizer_factory(**settings.optimizer.model_dump(), schedule=settings.schedule, warmup=settings.warmup)
    parts: Parts = (spec, optimizer, settings.tokens)
    if isinstance(arch, NgramConfig):
        return LanguageModel(KneserNey(arch.order, spec["inputs"].size), *parts)
    words = build_words(arch, spec["inputs"], vectors) if spec["inputs"].unit else None
    if config.task.name in ("language_model", "cloze"):
        return _build_language_task(config, words, parts)
    if config.task.name == "regressor":
        return Regressor(build_encoder(config, words, spec), *parts)
    encoder = build_encoder(config, words, spec)
    return Tagger(encoder, build_output(arch, encoder.output_size, spec["labels"]), *parts)


def begin(task: Task, train: Split) -> None:
    """First values that the training split decides: an output over tokens begins with their frequencies."""
    for part in task.modules():
        if isinstance(part, TokenOutput):
            part.start_from(torch.from_numpy(train["inputs"].counts(task.spec["inputs"].size)))


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


def build_encoder(
    config: Config, words: nn.Embedding | OneHot | None, spec: DataSpec
) -> SequenceEncoder | ConvolutionalEncoder:
    """Network over words, over words and their spelling, or over real vectors.

    Raises:
        BadInput: words are to be spelled, and the data has no spelling.
    """
    arch = config.arch
    inputs: nn.Module = nn.Identity() if words is None else words
    width = spec["inputs"].size if words is None else words.embedding_dim
    if isinstance(arch, ConvolutionalConfig):
        return ConvolutionalEncoder(inputs, width, arch.hidden_size, arch.layers, arch.kernel_width, arch.dropout)
    assert isinstance(arch, RecurrentConfig)
    if arch.characters is not None:
        if "spelling" not in spec or words is None:
            raise BadInput(f"data={config.data.name} has no spelling, which arch={arch.name} reads; choose another.")
        inputs = WordEmbedding(words, build_characters(arch, spec["spelling"]))
        width = inputs.output_size
    recurrent = Recurrent(
        cell_factory(arch), width, arch.hidden_size, arch.layers, arch.bidirectional, arch.dropout, arch.variational,
        arch.weight_dropout, arch.layer_norm, arch.learned_state,
    )  # fmt: skip
    dropout = LockedDropout(arch.dropout) if arch.variational else nn.Dropout(arch.dropout)
    return SequenceEncoder(inputs, recurrent, dropout, arch.readout)


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


def build_output(arch: Any, feature_size: int, spec: FieldSpec) -> LabelOutput:
    """What tells labels from features."""
    kind = arch.output.name if isinstance(arch, RecurrentConfig) else "softmax"
    if kind == "crf":
        return CRFOutput(feature_size, spec.names, spec.scheme)
    if kind == "feedback":
        assert isinstance(arch.output, FeedbackConfig)
        return FeedbackOutput(feature_size, spec.size, arch.output.embedding_size, cell_factory(arch),
                              arch.hidden_size, arch.output.beam)  # fmt: skip
    return SoftmaxOutput(feature_size, spec.size)


def _build_language_task(config: Config, words: nn.Embedding | OneHot | None, parts: Parts) -> Task:
    spec, arch = parts[0], config.arch
    tied = config.task.tied if config.task.name in ("language_model", "cloze") else False
    if isinstance(arch, FeedforwardConfig):
        assert isinstance(words, nn.Embedding)
        feedforward: LanguageNetwork = FeedforwardLanguageNetwork(
            words, arch.order, arch.hidden_size, arch.direct, tied, arch.dropout
        )
        return LanguageModel(feedforward, *parts)
    encoder = build_encoder(config, words, spec)
    assert isinstance(encoder, SequenceEncoder)
    shared = words if tied and isinstance(words, nn.Embedding) else None
    output = TokenOutput(encoder.output_size, spec["inputs"].size, shared)
    if config.task.name == "cloze":
        return Cloze(ClozeNetwork(encoder, output), *parts)
    return LanguageModel(RecurrentLanguageNetwork(encoder, output), *parts)


def loaders(
    config: Config, spec: DataSpec, splits: dict[str, Split], share: Share = ALL
) -> tuple[Streams | Buckets, Streams | Buckets]:
    """Batches for training, and for validation: of each, the rows of one process."""
    settings, train_split = config.training, splits["train"]
    loader: Streams | Buckets
    if config.task.name == "language_model":
        loader = Streams(train_split, settings.batch_size, settings.truncation_length, settings.truncation_stride,
                         settings.state_reset, share)  # fmt: skip
    else:
        loader = Buckets(_read(config, train_split), spec, LENGTHS, settings.batch_size, config.seed,
                         settings.truncation_length, settings.truncation_stride, share,
                         settings.batch_tokens)  # fmt: skip
    return loader, evaluation_loader(config, spec, splits["validation"], share)


def places(config: Config, loader: Streams | Buckets, split: Split) -> int:
    """Places that the loss counts in an epoch of training: steps, or records that have one number each."""
    return len(split["target"].values) if config.task.name == "regressor" else loader.tokens


def evaluation_settings(config: Config) -> dict[str, Any]:
    """How validation and test are read: what a figure depends on beside the network and the split, by keys of settings.

    The batch size is not among it, since a sequence has the same figures beside others as alone.
    """
    settings = config.training
    if config.task.name != "language_model":
        return {WINDOW: settings.truncation_length}
    return {
        WINDOW: settings.truncation_length or EVALUATION_WINDOW,
        "training.evaluation_streams": settings.evaluation_streams,
        # every evaluation begins with a fresh state: its figures must not depend on the one before it
        "training.state_reset": "document" if settings.state_reset == "document" else "epoch",
    }


def evaluation_loader(config: Config, spec: DataSpec, split: Split, share: Share = ALL) -> Streams | Buckets:
    """Batches for validation and test: every token once, in one fixed order."""
    how = evaluation_settings(config)
    if config.task.name == "language_model":
        return Streams(split, how["training.evaluation_streams"], how[WINDOW], reset=how["training.state_reset"],
                       share=share)  # fmt: skip
    return Buckets(_read(config, split), spec, LENGTHS, config.training.batch_size, None, how[WINDOW],
                   share=share)  # fmt: skip


def _read(config: Config, split: Split) -> Split:
    """A split without the spelling that the network does not read."""
    spells = isinstance(config.arch, RecurrentConfig) and config.arch.characters is not None
    return split if spells else split.without("spelling")
