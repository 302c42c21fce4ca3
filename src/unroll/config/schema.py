"""All settings of a run with their types, ranges and descriptions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import yaml
from pydantic import Field, SerializeAsAny, field_validator, model_validator

from unroll.config.blocks import ArchConfig, RecurrentConfig
from unroll.config.corpus import DataConfig
from unroll.config.decoders import RecurrentDecoderConfig
from unroll.config.fitting import with_min_count
from unroll.config.pairs import check_pairs
from unroll.config.section import NEUTRAL, Name, Named, Section, Settings, neutral_keys, section_of
from unroll.data.fields import Field as FieldKind
from unroll.errors import BadInput
from unroll.tasks.description import Description, Options
from unroll.tasks.registry import description_of, descriptions


class TaskConfig(Named):
    """The task to learn."""

    @classmethod
    def kinds(cls) -> Mapping[str, type[Named]]:
        return {name: _section(name) for name in descriptions()}

    @property
    def description(self) -> Description:
        """The description of the task: what it reads and reports, and the networks that it supports."""
        return description_of(self.name)

    @property
    def options(self) -> Options:
        """The settings other than the name."""
        return self.description.options(**self.model_dump(exclude={"name"}))


@cache
def _section(name: str) -> type[Named]:
    return section_of(description_of(name).options, TaskConfig, name, "The task.")


class OptimizerConfig(Section):
    """The optimizer and its hyperparameters."""

    name: Literal["adamw", "sgd"] = Field(description="The optimizer.")
    learning_rate: float = Field(gt=0, description="Peak learning rate of the schedule.")
    weight_decay: float = Field(
        ge=0,
        description="Weight decay of matrices, decoupled (AdamW) or L2 (SGD); not applied to biases, gains and "
        "initial states.",
    )
    momentum: float = Field(ge=0, lt=1, description="Momentum factor of SGD; 0 for AdamW.")

    @model_validator(mode="after")
    def _used(self) -> OptimizerConfig:
        if self.momentum and self.name == "adamw":
            raise ValueError("training.optimizer.momentum applies to training.optimizer.name=sgd only")
        return self


class TrainingConfig(Section):
    """Settings of the training loop."""

    tokens: int = Field(
        ge=1,
        le=10**15,
        description="Training budget in tokens, padding excluded; it determines the number of epochs. Of a task "
        "that writes targets, such as transducer, the tokens of the targets count.",
    )
    batch_size: int = Field(
        ge=1, le=10**9, description="Batch size in sequences, or in parallel streams of a language model."
    )
    batch_tokens: int | None = Field(
        ge=1, le=10**9, description="Maximum number of time steps per batch, padding included; null for no limit."
    )
    truncation_length: int | None = Field(
        ge=1, description="Truncation length k of backpropagation through time, in steps; null for whole sequences."
    )
    truncation_stride: int | None = Field(
        ge=1, description="Stride between windows in steps, at most k; null for k, which means no overlap."
    )
    state_reset: Literal["document", "epoch", "never"] = Field(
        description="When to reset the state of a language model: at the start of each document and epoch, at the "
        "start of each epoch, or never.",
    )
    optimizer: OptimizerConfig = Field(description="The optimizer and its hyperparameters.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        description="Learning rate schedule over the budget, after the warm-up."
    )
    warmup: float = Field(
        ge=0, lt=1, description="Fraction of the budget over which the learning rate increases linearly from 0."
    )
    clip_norm: float | None = Field(description="Maximum norm of the gradient; null for no clipping.")
    clip_value: float | None = Field(description="Maximum absolute value of each gradient entry; null for no clipping.")
    clip_parameter_norm: float | None = Field(
        description="Maximum gradient norm of each parameter; null for no clipping."
    )
    recurrent_l1: float = Field(ge=0, description="Weight of the L1 penalty on the recurrent matrices.")
    recurrent_l2: float = Field(ge=0, description="Weight of the L2 penalty on the recurrent matrices.")
    activation_regularization: float = Field(
        ge=0, description="Weight of the mean squared outputs of the last layer (activation regularisation)."
    )
    temporal_activation_regularization: float = Field(
        ge=0, description="Weight of the mean squared difference between successive outputs of the last layer."
    )
    accumulate: int = Field(
        ge=1, le=10**9, description="Number of batches over which gradients are accumulated for each optimizer step."
    )
    dropped_steps: int = Field(ge=0, description="Consecutive non-finite steps to skip before stopping.")
    precision: Literal["32", "bf16-mixed", "16-mixed", "64", "auto"] = Field(
        description="Floating-point precision; auto for the fastest that the hardware supports."
    )
    devices: int = Field(
        ge=1,
        le=1024,
        description="Number of training processes on each machine, each on one GPU or on CPU threads.",
        json_schema_extra=NEUTRAL,
    )
    checkpoint_seconds: float = Field(
        gt=0, description="Interval between checkpoints in seconds.", json_schema_extra=NEUTRAL
    )
    validations: int = Field(
        ge=1, le=10**6, description="Number of validations over the budget, evenly spaced in tokens."
    )
    patience: int | None = Field(description="Validations without improvement before stopping early; null to disable.")
    evaluation_streams: int = Field(
        ge=1, description="Parallel streams of a language model in evaluation; 1 is exact, more are faster."
    )
    threads: int = Field(
        ge=1,
        le=1024,
        description="Number of CPU threads; part of the result, since the order of summation depends on it.",
    )

    @field_validator("precision", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value  # precision=32 on the command line is parsed as a number

    @model_validator(mode="after")
    def _positive(self) -> TrainingConfig:
        clips = ("clip_norm", "clip_value", "clip_parameter_norm")
        for key in (*clips, "patience"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ValueError(f"training.{key} must be positive, or null to disable it")
        if sum(getattr(self, key) is not None for key in clips) > 1:
            raise ValueError(f"set only one of {', '.join(f'training.{key}' for key in clips)}; the others to null")
        if self.devices > self.batch_size:
            raise ValueError("training.devices must be at most training.batch_size, which is divided among them")
        if self.truncation_stride is not None and self.truncation_stride > (self.truncation_length or 0):
            raise ValueError("training.truncation_stride must be at most training.truncation_length")
        return self


class TrackingConfig(Section):
    """Experiment tracking."""

    name: Literal["mlflow", "none"] = Field(description="The tracker.")
    uri: str | None = Field(description="MLflow's tracking URI.")
    system_metrics: bool = Field(description="Whether to log CPU and memory usage periodically.")
    log_model: bool = Field(description="Whether to log the model to MLflow, ready to be served.")

    @model_validator(mode="after")
    def _placed(self) -> TrackingConfig:
        if self.name == "mlflow" and not self.uri:
            raise ValueError("tracking=mlflow needs tracking.uri; for no tracking use tracking=none")
        return self


class Config(Section):
    """All settings of one run."""

    format: Literal[1] = Field(1, description="Version of the format of this file.", json_schema_extra=NEUTRAL)
    experiment: Name = Field(
        description="Name of the experiment: that of its file; without an experiment, that of the corpus."
    )
    solved: str | None = Field(
        None,
        description="Criterion for a solved problem, declared before training, such as loss <= 0.01; null if runs do "
        "not simply succeed or fail.",
        json_schema_extra=NEUTRAL,
    )
    judged_by: str | None = Field(
        None,
        description="Test metric that answers the question, declared before training, such as accuracy/36 of a "
        "probe; null for the headline metric of the task.",
        json_schema_extra=NEUTRAL,
    )
    seed: int = Field(
        ge=0, lt=2**32, description="Random seed of the initial weights, dropout and the order of the data."
    )
    data: DataConfig = Field(description="The corpus and how to read it.")
    task: SerializeAsAny[TaskConfig] = Field(description="The task to learn.")
    arch: ArchConfig = Field(description="The network architecture.")
    training: TrainingConfig = Field(description="Settings of the training loop.")
    tracking: TrackingConfig = Field(description="Experiment tracking.", json_schema_extra=NEUTRAL)

    @model_validator(mode="before")
    @classmethod
    def _decided(cls, content: Any) -> Any:
        return with_min_count(content) if isinstance(content, Mapping) else content

    @model_validator(mode="after")
    def _possible(self) -> Config:
        check_pairs(self)
        return self

    @property
    def role_fields(self) -> dict[str, FieldKind]:
        """The field of the corpus that fills each role of the task.

        Raises:
            BadInput: a role cannot be filled.
        """
        return self.data.role_fields(self.task.description)

    def fill_roles(self, kinds: Mapping[str, str]) -> dict[str, str]:
        """The name of the field that fills each role of the task.

        Args:
            kinds: field → kind, of the corpus.

        Raises:
            BadInput: a role cannot be filled.
        """
        return self.data.fill_roles(self.task.description, kinds)

    @property
    def parts(self) -> list[tuple[str, str]]:
        """Parts that a plug-in may provide, as pairs of kind and name."""
        networks = (self.arch.encoder, self.arch.decoder)
        found = (network.cell for network in networks if isinstance(network, RecurrentConfig | RecurrentDecoderConfig))
        cells = [("cells", cell) for cell in dict.fromkeys(found)]
        return [("tasks", self.task.name), ("readers", self.data.reader.name), *cells]

    def declared(self) -> dict[str, str]:
        """The metric of each declaration made before training, keyed by the declaration as written.

        Raises:
            BadInput: the task does not report the metric, or a solution is not of the form METRIC <= NUMBER.
        """
        task, named = self.task.description, {}
        if self.solved is not None:
            named[f"solved={self.solved!r}"] = task.solved(self.solved).metric.name
        if self.judged_by is not None:
            try:
                named[f"judged_by={self.judged_by!r}"] = task.metric(self.judged_by).name
            except BadInput as error:
                raise BadInput(f"judged_by={self.judged_by!r}: {str(error).rstrip('.')}") from None
        return named

    @property
    def name(self) -> str:
        """Name of the run: ``<experiment>/<arch>-<seed>``."""
        return f"{self.experiment}/{self.arch.name}-{self.seed}"

    def dump(self, shows_unicode: bool = True) -> str:
        """Plain YAML from which the same settings can be loaded; its own escapes replace what cannot be shown."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=shows_unicode, width=100)

    def decisive(self) -> Settings:
        """The settings that affect the result."""
        return decisive(self.model_dump(mode="json"))

    def digest(self) -> str:
        """SHA-256 of the settings that affect the result."""
        return hashlib.sha256(json.dumps(self.decisive(), sort_keys=True).encode()).hexdigest()


NEUTRAL_KEYS = frozenset(neutral_keys(Config))


def is_neutral(key: str) -> bool:
    """Whether a setting, given by its dotted name, does not affect the result."""
    return any(f"{key}.".startswith(f"{name}.") for name in NEUTRAL_KEYS)


def decisive(settings: Mapping[str, Any], prefix: str = "") -> Settings:
    """The settings that affect the result, from plain settings of a run."""
    return {
        key: decisive(value, f"{prefix}{key}.") if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if f"{prefix}{key}" not in NEUTRAL_KEYS
    }
