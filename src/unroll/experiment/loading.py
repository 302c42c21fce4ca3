"""Batches of a run: parallel streams of a text, or buckets of records."""

from __future__ import annotations

from typing import Any

from unroll.config import Config
from unroll.data.batch import DataSpec
from unroll.data.buckets import Buckets
from unroll.data.loader import ALL, Share
from unroll.data.prepared import Split
from unroll.data.streams import Streams
from unroll.tasks.description import ReadingOptions

EVALUATION_WINDOW = 128  # window of evaluation, in steps, if training has no windows
MOST_STEPS = 1 << 11  # steps of a batch in prediction, including padding; larger ones leave the caches of a core
WINDOW = "training.truncation_length"  # changes figures by rounding only, since the state is carried


def reads_streams(config: Config) -> bool:
    """Whether the task reads parallel streams of a text."""
    return config.task.description.reads == "streams"


def loaders(
    config: Config, spec: DataSpec, splits: dict[str, Split], share: Share = ALL
) -> tuple[Streams | Buckets, Streams | Buckets]:
    """Batches for training and for validation, with the rows of one process."""
    settings, train_split = config.training, splits["train"]
    loader: Streams | Buckets
    if reads_streams(config):
        loader = Streams(train_split, settings.batch_size, settings.truncation_length, settings.truncation_stride,
                         settings.state_reset, share)  # fmt: skip
    else:
        read = _read(config, train_split).without(*config.task.description.scoring)
        loader = Buckets(read, spec, config.task.description.lengths, settings.batch_size,
                         config.seed, settings.truncation_length, settings.truncation_stride, share,
                         settings.batch_tokens, _unknown(config, spec))  # fmt: skip
    return loader, evaluation_loader(config, spec, splits["validation"], share)


def _unknown(config: Config, spec: DataSpec) -> dict[str, float]:
    """Roles whose rare symbols are read as ``[UNK]`` at random in training, with the probability."""
    options, roles = config.task.options, config.task.description.learning
    if not isinstance(options, ReadingOptions):
        return {}
    return {role: options.unknown_rate for role in roles if role in spec and spec[role].unit}  # only symbols have units


def places(config: Config, loader: Streams | Buckets, split: Split) -> int:
    """Number of positions that the loss counts in an epoch of training: steps or records."""
    return split.count if config.task.description.loss_over == "records" else loader.tokens


def evaluation_settings(config: Config) -> dict[str, Any]:
    """Settings that figures depend on besides the network and the split.

    The batch size is not one of them, since figures of a sequence do not depend on other sequences.
    """
    settings, task = config.training, config.task
    if not reads_streams(config):
        searches = {f"task.{name}": getattr(task.options, name) for name in task.description.searches}
        return {WINDOW: settings.truncation_length, **searches}
    return {
        WINDOW: settings.truncation_length or EVALUATION_WINDOW,
        "training.evaluation_streams": settings.evaluation_streams,
        # every evaluation starts with a new state, so that figures do not depend on previous evaluations
        "training.state_reset": "document" if settings.state_reset == "document" else "epoch",
    }


def evaluation_loader(config: Config, spec: DataSpec, split: Split, share: Share = ALL) -> Streams | Buckets:
    """Batches for validation and test: every token once, in a fixed order."""
    how = evaluation_settings(config)
    if reads_streams(config):
        return Streams(
            split, how["training.evaluation_streams"], how[WINDOW], reset=how["training.state_reset"], share=share
        )
    return Buckets(_read(config, split), spec, config.task.description.lengths, config.training.batch_size, None,
                   how[WINDOW], share=share)  # fmt: skip


def prediction_loader(config: Config, spec: DataSpec, split: Split) -> Buckets:
    """Batches for prediction: whole records of similar lengths; one longer than a batch gets its own batch.

    Args:
        config: settings of the run.
        spec: sizes that the data decides, by role.
        split: records by role; predicted fields may be missing.
    """
    by = [role for role in config.task.description.lengths if role in split.fields]
    return Buckets(split, spec, by, split.count, None, batch_tokens=MOST_STEPS)


def reads_spelling(config: Config) -> bool:
    """Whether the network reads the characters of words."""
    return config.arch.spelling is not None


def _read(config: Config, split: Split) -> Split:
    """A split without the spelling that the network does not read."""
    return split if reads_spelling(config) else split.without("spelling")
