"""Valid combinations of a task with a network, data and training, as the description of the task defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from unroll.config.architectures import FeedforwardConfig, NgramConfig, RecurrentConfig
from unroll.tasks.description import Description
from unroll.tasks.registry import descriptions

if TYPE_CHECKING:
    from unroll.config.schema import Config


def check_pairs(config: Config) -> None:
    """Refuse invalid combinations of settings.

    Raises:
        ValueError: describes the first invalid combination, and a valid one.
    """
    if config.data.reader.name == "vectors":
        raise ValueError(f"data={config.data.name} is not a corpus; pass its file as data.vectors={config.data.train}")
    for check in (_network, _inputs, _recurrent, _data, _declarations, _windows, _penalties):
        check(config)


def _tasks(fits: Callable[[Description], bool]) -> str:
    """The tasks that fit, for messages."""
    return f"task={'|'.join(name for name, task in descriptions().items() if fits(task))}"


def _network(config: Config) -> None:
    """Check that the task accepts the kind of network."""
    task, arch = config.task.description, config.arch
    if arch.network not in task.networks:
        raise ValueError(
            f"arch={arch.name} is a network of the kind {arch.network}, which task={task.name} does not support; "
            f"choose an arch of the kind {' or '.join(task.networks)}, or "
            f"{_tasks(lambda other: arch.network in other.networks)}"
        )
    if isinstance(arch, NgramConfig) and config.training.devices > 1:
        raise ValueError(f"arch={arch.name} is counted in a single process; set training.devices=1")


def _inputs(config: Config) -> None:
    """Check that the inputs exist, and that there is an embedding where one is shared."""
    arch = config.arch
    if isinstance(arch, NgramConfig):
        return
    if arch.inputs in ("vectors", "frozen_vectors") and not config.data.vectors:
        raise ValueError(f"recurrent.inputs={arch.inputs} needs data.vectors, a file in GloVe's format")
    if arch.inputs == "one_hot" and (isinstance(arch, FeedforwardConfig) or getattr(config.task, "tied", False)):
        raise ValueError(
            "recurrent.inputs=one_hot has no embedding to share; set task.tied=false, and choose another network than "
            "a feed-forward one"
        )


def _recurrent(config: Config) -> None:
    """Check for parts of a recurrent network that the task does not use, or that reveal the targets."""
    task, arch = config.task.description, config.arch
    if not isinstance(arch, RecurrentConfig):
        return
    if arch.bidirectional and task.sees == "past":
        others = _tasks(lambda other: other.sees != "past" and arch.network in other.networks)
        raise ValueError(
            f"arch={arch.name} reads the token that task={task.name} predicts; choose a unidirectional arch, "
            f"or {others}"
        )
    if arch.bidirectional and arch.layers > 1 and task.sees == "others":
        raise ValueError(
            f"a bidirectional task={task.name} needs recurrent.layers=1: a second layer would read, through the "
            "first one, the token to predict"
        )
    if arch.characters and ("spelling" not in task.blocks or "words" not in config.data.units):
        raise ValueError(
            f"arch={arch.name} spells words, which only {_tasks(lambda other: 'spelling' in other.blocks)} on "
            "words supports"
        )
    if arch.output.name != "softmax" and "labels" not in task.blocks:
        raise ValueError(
            f"arch={arch.name} predicts labels, which only {_tasks(lambda other: 'labels' in other.blocks)} supports"
        )
    if arch.readout == "last" and arch.bidirectional and "readout" in task.blocks:
        raise ValueError("recurrent.readout=last reads a single step of the backward direction; choose final")


def _data(config: Config) -> None:
    """Check that the data have what the task needs, and nothing that it cannot use."""
    fields = config.role_fields
    labelled = [role for role, field in fields.items() if field.kind == "labels"]
    if labelled and config.data.sentence_end:
        raise ValueError(
            f"data.sentence_end is not supported by task={config.task.name}, which has no label for [EOS]; set it to "
            "false"
        )


def _declarations(config: Config) -> None:
    """Check that the runs have the figures that the declarations name."""
    for text, name in config.declared().items():
        need = config.task.description.need(name)
        if need and not need.is_met(config.role_fields):
            raise ValueError(
                f"{text} needs {need.remedy}, without which there is no {name}; set {text.partition('=')[0]}=null to "
                "do without it"
            )


def _windows(config: Config) -> None:
    """Check settings of windows and streams against the way the task reads its data."""
    task, arch, settings = config.task.description, config.arch, config.training
    if task.reads == "streams":
        if settings.batch_tokens is not None:
            raise ValueError(
                "training.batch_tokens applies to batches of sequences, not to the parallel streams of "
                f"task={task.name}; set it to null"
            )
        return
    if settings.state_reset != "epoch":
        raise ValueError(
            f"training.state_reset applies to {_tasks(lambda other: other.reads == 'streams')} only; in other tasks "
            "every sequence starts from the initial state"
        )
    if settings.truncation_length is None:
        return
    reads_on = isinstance(arch, RecurrentConfig) and not arch.bidirectional and arch.output.name == "softmax"
    is_whole = task.whole is not None and task.whole.is_met(config.role_fields)
    if not (reads_on and task.reads_windows) or is_whole:
        raise ValueError(
            f"training.truncation_length splits sequences into windows, but arch={arch.name} with task={task.name} "
            "needs whole sequences; set it to null"
        )
    assert isinstance(arch, RecurrentConfig)
    if "readout" in task.blocks and arch.readout not in ("final", "last"):
        raise ValueError(
            f"recurrent.readout={arch.readout} needs the whole sequence; set training.truncation_length to null, or "
            "choose final"
        )


def _penalties(config: Config) -> None:
    """Check that the network has what the penalties apply to, and that they see whole sequences."""
    task, settings = config.task.description, config.training
    is_recurrent = isinstance(config.arch, RecurrentConfig)
    if (settings.recurrent_l1 or settings.recurrent_l2) and not is_recurrent:
        raise ValueError(
            f"training.recurrent_l1 and recurrent_l2 need a recurrent network, which arch={config.arch.name} is not; "
            "set them to 0"
        )
    if not (settings.activation_regularization or settings.temporal_activation_regularization):
        return
    if not is_recurrent or task.sees == "others":
        raise ValueError(
            "training.activation_regularization and temporal_activation_regularization do not support "
            f"arch={config.arch.name} with task={task.name}; set them to 0"
        )
    if task.loss_over == "records" and settings.truncation_length is not None:
        raise ValueError(
            f"training.activation_regularization of task={task.name} is a mean over whole sequences; set "
            "training.truncation_length to null"
        )
