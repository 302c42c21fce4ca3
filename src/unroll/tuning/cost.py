"""What a run costs, told from its settings before its network is built: parameters, operations, memory."""

from __future__ import annotations

from unroll.config import Config, NgramConfig
from unroll.config.architectures import ConvolutionalConfig, FeedforwardConfig, LearnedConfig
from unroll.data.batch import DataSpec
from unroll.errors import BadInput
from unroll.tuning import parts
from unroll.tuning.parts import Cost


def parameters(config: Config, spec: DataSpec) -> int:
    """Entries of all weights of a run's network, frozen ones too, tied ones once; 0 of n-grams, which are counted.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.

    Raises:
        BadInput: the cell refuses an argument, or its size does not follow from its widths.
    """
    return network(config, spec).parameters


def flops(config: Config, spec: DataSpec) -> int:
    """Floating-point operations of training on one token: 6 for each entry of the matrices that it is multiplied by.

    The forward pass takes 2, a product and a sum, the backward pass as many for the gradient of what is read and as
    many for that of the matrix. An embedding is looked up, at no cost; as a tied output it costs its product. Words are
    taken to be spelled in 3 characters each, ``parts.CHARACTERS``.

    Left out are biases, gates, norms, dropout and softmax, a CRF's recursions over labels, the number that a regressor
    tells of a whole sequence, padding and the optimizer. Counted, though it is not formed, is the gradient of what is
    read but not learned: one-hot, real and frozen vectors.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.

    Raises:
        BadInput: as of :func:`parameters`.
    """
    return 6 * network(config, spec).products


def memory(config: Config, spec: DataSpec, longest: int | None = None) -> int:
    """Bytes that a process holds in training: weights, gradients, the optimizer's moments, activations of one batch.

    Args:
        config: settings of the run.
        spec: sizes that the data decides.
        longest: steps of the longest sequence; None where ``training.truncation_length`` is that of every batch.

    Raises:
        BadInput: nothing tells the steps of a batch; and as of :func:`parameters`.

    An estimate, as activations depend on how a cell is run: on a CPU the peak of a step was 0.6 to 1.4 of it for
    language models, up to 1.6 for taggers and regressors. Numbers take 4 bytes in mixed precision too, since weights
    and losses do; there the peak was 0.4 to 1.0 of it. Left out are the corpus, which is mapped, and what torch takes.
    """
    settings, arch, cost = config.training, config.arch, network(config, spec)
    known = [steps for steps in (settings.truncation_length, longest) if steps is not None]
    if not known:
        raise BadInput("The memory of training depends on how long sequences are, which is not known beforehand; set "
                       "training.truncation_length, or ask for no bound on memory.")  # fmt: skip
    is_frozen = isinstance(arch, LearnedConfig) and arch.inputs == "frozen_vectors"
    learned = cost.parameters - is_frozen * spec.vocabulary_size * spec.vector_size
    moments = 2 if settings.optimizer.name == "adamw" else int(settings.optimizer.momentum > 0)
    rows = -(-settings.batch_size // settings.devices)  # of the process that has most
    numbers = cost.parameters + (1 + moments) * learned + rows * min(known) * cost.kept
    return numbers * (8 if settings.precision == "64" else 4)


def network(config: Config, spec: DataSpec) -> Cost:
    """What the network of a run costs, part by part."""
    arch, task = config.arch, config.task
    if isinstance(arch, NgramConfig):
        return Cost()
    words, width = parts.words(arch, spec)
    if isinstance(arch, FeedforwardConfig):
        read = (arch.order - 1) * width
        encoder, features = parts.linear(read, arch.hidden_size), arch.hidden_size + arch.direct * read
        encoder += Cost(kept=(1 + 2 * (arch.dropout > 0)) * features)
    elif isinstance(arch, ConvolutionalConfig):
        encoder, features = parts.convolutions(arch, width), arch.hidden_size
    else:
        spelling, told = parts.spelling(arch, spec)
        encoder, features = spelling + parts.recurrent(arch, width + told), (1 + arch.bidirectional) * arch.hidden_size
    if task.name == "regressor":
        return words + encoder + Cost(features + 1)  # its product is one of a sequence, not of a token
    if task.name == "tagger":
        assert not isinstance(arch, FeedforwardConfig)
        return words + encoder + parts.labels(arch, features, spec)
    return words + encoder + parts.tokens(features, spec.vocabulary_size, width if task.tied else None)
