"""Valid combinations of a task with a network, data and training, as the description of the task defines them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from unroll.config.blocks import FeedforwardConfig, RecurrentConfig
from unroll.config.decoder_pairs import check_decoder
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
    for check in (_network, _inputs, _recurrent, _parts, check_decoder, _data, _declarations, _windows, _penalties):
        check(config)


def _tasks(fits: Callable[[Description], bool]) -> str:
    """The tasks that fit, for messages."""
    return " or ".join(f"task={name}" for name, task in descriptions().items() if fits(task))


def _uses(block: str, task: Description) -> bool:
    return block in task.blocks


def _network(config: Config) -> None:
    """Check that the task accepts the kind of network."""
    task, arch, kind = config.task.description, config.arch, config.arch.encoder.name
    if kind not in task.networks:
        raise ValueError(
            f"arch={arch.name} is a network of the kind {kind}, which task={task.name} does not support; choose an "
            f"arch of the kind {' or '.join(task.networks)}, or {_tasks(lambda other: kind in other.networks)}"
        )
    if arch.encoder.counts and config.training.devices > 1:
        raise ValueError(f"arch={arch.name} is counted in a single process; set training.devices=1")


def _parts(config: Config) -> None:
    """Check that a network has the parts that its encoder and the task use, and no others."""
    task, arch, encoder = config.task.description, config.arch, config.arch.encoder
    parts = (  # key, value, block of the tasks that use it, and whether these need it
        ("inputs.name", arch.inputs and arch.inputs.name, "", True),
        ("inputs.characters.name", arch.spelling and arch.spelling.name, "spelling", False),
        ("encoder.readout", getattr(encoder, "readout", None), "readout", isinstance(encoder, RecurrentConfig)),
        ("decoder.name", arch.decoder and arch.decoder.name, "decoder", True),
        ("output.name", arch.output and arch.output.name, "labels", True),
    )
    for key, value, block, is_needed in parts:
        is_used = block in task.blocks if block else not encoder.counts
        if is_used and is_needed and value is None:
            remedy = "choose an arch that has it, such as bahdanau" if block == "decoder" else "add it"
            raise ValueError(f"arch.{key} is missing, which arch={arch.name} with task={task.name} needs; {remedy}")
        if value is not None and not is_used:
            others = f", only on {_tasks(partial(_uses, block))}" if block else ""
            raise ValueError(
                f"arch.{key}={value} has no effect on arch={arch.name} with task={task.name}{others}; remove it, or "
                "choose another arch"
            )
    if arch.output and arch.output.name == "feedback" and not isinstance(encoder, RecurrentConfig):
        raise ValueError(
            f"arch.output.name=feedback needs a cell, which arch={arch.name} does not have; choose softmax or crf"
        )


def _inputs(config: Config) -> None:
    """Check that the inputs go with the data, and that there is an embedding where one is shared."""
    arch, inputs, fields = config.arch, config.arch.inputs, config.role_fields
    if inputs is None:
        return
    kind = fields[config.task.description.source].kind
    if (inputs.name == "frames") != (kind == "frames"):
        raise ValueError(
            f"arch.inputs.name={inputs.name} cannot represent the {kind} of data={config.data.name}; "
            f"choose {'embedding, one_hot or vectors' if inputs.name == 'frames' else 'frames'}"
        )
    if inputs.name == "vectors" and not config.data.vectors:
        raise ValueError("arch.inputs.name=vectors needs data.vectors, a file in GloVe's format")
    reads_targets = "decoder" not in config.task.description.blocks  # whose embedding an output would share
    is_shared = isinstance(arch.encoder, FeedforwardConfig) or (reads_targets and getattr(config.task, "tied", False))
    if inputs.name == "one_hot" and is_shared:
        raise ValueError(
            "arch.inputs.name=one_hot has no embedding to share; set task.tied=false, and choose another network than "
            "a feed-forward one"
        )
    if arch.spelling and "words" not in config.data.units:
        raise ValueError(f"arch.inputs.characters spells words, and data={config.data.name} has none; remove it")


def _recurrent(config: Config) -> None:
    """Check for parts of a recurrent network that reveal the targets."""
    task, arch, encoder = config.task.description, config.arch, config.arch.encoder
    if not isinstance(encoder, RecurrentConfig) or not encoder.bidirectional:
        return
    if task.sees == "past":
        others = _tasks(lambda other: other.sees != "past" and encoder.name in other.networks)
        raise ValueError(
            f"arch={arch.name} reads the token that task={task.name} predicts; choose a unidirectional arch, "
            f"or {others}"
        )
    if encoder.layers > 1 and task.sees == "others":
        raise ValueError(
            f"a bidirectional task={task.name} needs arch.encoder.layers=1: a second layer would read, through the "
            "first one, the token to predict"
        )
    if encoder.readout == "last":
        raise ValueError("arch.encoder.readout=last reads a single step of the backward direction; choose final")


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
    left_out = config.task.options.figures_left_out
    for text, name in config.declared().items():
        if name in left_out:
            raise ValueError(f"{text} needs the figure {name}, which task.figures does not have; add it there")
        need = config.task.description.need(name)
        if need and not need.is_met(config.role_fields):
            raise ValueError(
                f"{text} needs {need.remedy}, without which there is no {name}; set {text.partition('=')[0]}=null to "
                "do without it"
            )


def _windows(config: Config) -> None:
    """Check settings of windows and streams against the way the task reads its data."""
    task, arch, settings = config.task.description, config.arch, config.training
    encoder = arch.encoder
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
    predicts_steps = arch.output is None or arch.output.name == "softmax"
    reads_on = isinstance(encoder, RecurrentConfig) and not encoder.bidirectional and predicts_steps
    is_whole = task.whole is not None and task.whole.is_met(config.role_fields)
    if not (reads_on and task.reads_windows) or is_whole:
        raise ValueError(
            f"training.truncation_length splits sequences into windows, but arch={arch.name} with task={task.name} "
            "needs whole sequences; set it to null"
        )
    assert isinstance(encoder, RecurrentConfig)
    if encoder.readout in ("mean", "max"):
        raise ValueError(
            f"arch.encoder.readout={encoder.readout} needs the whole sequence; set training.truncation_length to null, "
            "or choose final"
        )


def _penalties(config: Config) -> None:
    """Check that the network has what the penalties apply to, and that they see whole sequences."""
    task, settings = config.task.description, config.training
    is_recurrent = isinstance(config.arch.encoder, RecurrentConfig)
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
