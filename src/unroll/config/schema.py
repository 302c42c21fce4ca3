"""Every setting of a run, with its type, its range and its sentence, and the pairs that are impossible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Literal

import yaml
from pydantic import Field, SerializeAsAny, field_validator, model_validator

from unroll.config.architectures import Arch, RecurrentConfig
from unroll.config.corpus import DataConfig
from unroll.config.pairs import check_pairs
from unroll.config.section import Name, Named, Section, section_of
from unroll.data.fields import Field as FieldKind
from unroll.errors import BadInput
from unroll.tasks.description import Description
from unroll.tasks.registry import description_of, descriptions


class TaskConfig(Named):
    """What is learned."""

    @classmethod
    def kinds(cls) -> Mapping[str, type[Named]]:
        return {name: _section(name) for name in descriptions()}

    @property
    def description(self) -> Description:
        """What the task reads and reports, and which networks go with it."""
        return description_of(self.name)

    @property
    def options(self) -> dict[str, Any]:
        """The settings beside the name."""
        return self.model_dump(exclude={"name"})


@cache
def _section(name: str) -> type[Named]:
    return section_of(description_of(name).options, TaskConfig, name, "The task.")


class OptimizerConfig(Section):
    """How weights move."""

    name: Literal["adamw", "sgd"] = Field(description="The optimizer.")
    learning_rate: float = Field(gt=0, description="Step size at the peak of the schedule.")
    weight_decay: float = Field(
        ge=0, description="Decoupled (AdamW) or L2 (SGD) decay of matrices; biases, gains and first states have none."
    )
    momentum: float = Field(ge=0, lt=1, description="Momentum of SGD; 0 for AdamW, which has its own.")

    @model_validator(mode="after")
    def _used(self) -> OptimizerConfig:
        if self.momentum and self.name == "adamw":
            raise ValueError("training.optimizer.momentum goes with training.optimizer.name=sgd only")
        return self


class TrainingConfig(Section):
    """How a network is trained."""

    tokens: int = Field(ge=1, le=10**15, description="Budget: real tokens read in training; epochs follow from it.")
    batch_size: int = Field(ge=1, le=10**9, description="Sequences, or parallel streams of a language model, per step.")
    batch_tokens: int | None = Field(
        ge=1, le=10**9, description="Most steps per batch, padding included; null for no limit but batch_size."
    )
    truncation_length: int | None = Field(
        ge=1, description="Steps k of a window, through which the gradient flows back; null for all there are."
    )
    truncation_stride: int | None = Field(
        ge=1, description="New steps of each window, at most k; null for k of them, so that windows do not overlap."
    )
    state_reset: Literal["document", "epoch", "never"] = Field(
        description="Where a language model forgets: where a document or an epoch begins, just the latter, or nowhere."
    )
    optimizer: OptimizerConfig = Field(description="How weights move.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        description="Course of the learning rate over the budget, after the warm-up."
    )
    warmup: float = Field(ge=0, lt=1, description="Share of the budget over which the rate rises from 0.")
    clip_norm: float | None = Field(description="Largest norm of the whole gradient; null for any.")
    clip_value: float | None = Field(description="Largest absolute value of an entry of it; null for any.")
    clip_parameter_norm: float | None = Field(description="Largest norm of each parameter's part of it; null for any.")
    recurrent_l1: float = Field(ge=0, description="Weight of the L1 penalty on the recurrent matrices.")
    recurrent_l2: float = Field(ge=0, description="Weight of the L2 penalty on the recurrent matrices.")
    activation_regularization: float = Field(ge=0, description="Weight of the mean square of the last layer's outputs.")
    temporal_activation_regularization: float = Field(
        ge=0, description="Weight of the mean square of their change from step to step."
    )
    accumulate: int = Field(
        ge=1, le=10**9, description="Batches whose gradients are summed for one step of the optimizer."
    )
    dropped_steps: int = Field(
        ge=0, description="Steps in a row that may be left out, since loss or gradient are not finite, before it stops."
    )
    precision: Literal["32", "bf16-mixed", "16-mixed", "64", "auto"] = Field(
        description="Numbers of the arithmetic; auto for the fastest that the machine has instructions for."
    )
    devices: int = Field(
        ge=1, le=1024, description="Processes on each machine that train together, each with a GPU or threads."
    )
    checkpoint_seconds: float = Field(gt=0, description="Seconds between two checkpoints, from which a run goes on.")
    validations: int = Field(ge=1, le=10**6, description="Validations over the budget, evenly spaced in tokens.")
    patience: int | None = Field(description="Validations without improvement before stopping; null for never.")
    evaluation_streams: int = Field(
        ge=1, description="Streams of a language model in evaluation: 1 is exact, more are faster."
    )
    threads: int = Field(ge=1, le=1024, description="CPU threads; fixed, since sums depend on it.")

    @field_validator("precision", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value  # precision=32 on the command line is a number

    @model_validator(mode="after")
    def _positive(self) -> TrainingConfig:
        clips = ("clip_norm", "clip_value", "clip_parameter_norm")
        for key in (*clips, "patience"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ValueError(f"training.{key} must be positive, or null for none")
        if sum(getattr(self, key) is not None for key in clips) > 1:
            raise ValueError(f"give one of {', '.join(f'training.{key}' for key in clips)}, and set the others to null")
        if self.devices > self.batch_size:
            raise ValueError("training.devices must be at most training.batch_size, which they share")
        if self.truncation_stride is not None and self.truncation_stride > (self.truncation_length or 0):
            raise ValueError("training.truncation_stride must be at most training.truncation_length")
        return self


class TrackingConfig(Section):
    """Where runs are logged."""

    name: Literal["mlflow", "none"] = Field(description="The tracker.")
    uri: str | None = Field(description="MLflow's tracking URI.")
    system_metrics: bool = Field(description="Whether processor and memory are logged every few seconds.")
    log_model: bool = Field(description="Whether the model goes to MLflow too, ready to be served.")

    @model_validator(mode="after")
    def _placed(self) -> TrackingConfig:
        if self.name == "mlflow" and not self.uri:
            raise ValueError("tracking=mlflow needs tracking.uri; for no tracking use tracking=none")
        return self


class Config(Section):
    """All settings of one run."""

    experiment: Name = Field(description="Name of the experiment: that of its file.")
    solved: str | None = Field(
        None,
        description="What counts as a solution, declared before training, such as loss <= 0.01; null where runs do not "
        "either solve the problem or fail.",
    )
    judged_by: str | None = Field(
        None,
        description="The test figure that answers the question, declared before training, such as accuracy/36 of a "
        "probe; null for the headline figure of the task.",
    )
    seed: int = Field(ge=0, lt=2**32, description="Seed of weights, dropout and order.")
    data: DataConfig = Field(description="Which corpus, and how it is read.")
    task: SerializeAsAny[TaskConfig] = Field(description="What is learned.")
    arch: Arch = Field(description="What learns it.")
    training: TrainingConfig = Field(description="How it is trained.")
    tracking: TrackingConfig = Field(description="Where runs are logged.")

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
        """What a plug-in may have brought: room and name."""
        cells = [("cells", self.arch.cell)] if isinstance(self.arch, RecurrentConfig) else []
        return [("tasks", self.task.name), ("readers", self.data.reader.name), *cells]

    def declared(self) -> dict[str, str]:
        """The metric of each declaration that is made before training, by the declaration as it is written.

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

    def dump(self) -> str:
        """Plain YAML from which the same settings are read again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)

    def decisive(self) -> dict[str, Any]:
        """What decides the result: not how it is tracked or judged, nor how a stopped run may continue."""
        free = {"devices", "checkpoint_seconds"}
        return self.model_dump(
            mode="json", exclude={"solved": True, "judged_by": True, "tracking": True, "training": free}
        )

    def digest(self) -> str:
        """SHA-256 of what decides the result."""
        return hashlib.sha256(json.dumps(self.decisive(), sort_keys=True).encode()).hexdigest()
