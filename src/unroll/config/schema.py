"""Every setting of a run, with its type, its range and its sentence, and the pairs that are impossible."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from unroll.config.architectures import Arch, ConvolutionalConfig, FeedforwardConfig, NgramConfig, RecurrentConfig
from unroll.config.corpus import DataConfig
from unroll.config.declarations import check_figures, declared
from unroll.config.section import Name, Section
from unroll.data.roles import ROLES, fill
from unroll.errors import BadInput


class LanguageModelConfig(Section):
    """Predict each next token; training starts at the frequencies of the tokens."""

    predicts_inputs: ClassVar[bool] = True
    name: Literal["language_model"] = Field(description="The task.")
    tied: bool = Field(description="Whether the output matrix is the embedding.")


class TaggerConfig(Section):
    """Predict the label of each token."""

    predicts_inputs: ClassVar[bool] = False
    name: Literal["tagger"] = Field(description="The task.")


class ClozeConfig(Section):
    """Predict each token from all others of its sequence; training starts at the frequencies of the tokens."""

    predicts_inputs: ClassVar[bool] = True
    name: Literal["cloze"] = Field(description="The task.")
    tied: bool = Field(description="Whether the output matrix is the embedding.")


class RegressorConfig(Section):
    """Predict one number for each sequence."""

    predicts_inputs: ClassVar[bool] = False
    name: Literal["regressor"] = Field(description="The task.")


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


Task = Annotated[LanguageModelConfig | ClozeConfig | TaggerConfig | RegressorConfig, Field(discriminator="name")]


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
    task: Task = Field(description="What is learned.")
    arch: Arch = Field(description="What learns it.")
    training: TrainingConfig = Field(description="How it is trained.")
    tracking: TrackingConfig = Field(description="Where runs are logged.")

    @model_validator(mode="after")
    def _possible(self) -> Config:
        task, arch, data = self.task.name, self.arch, self.data
        if data.reader.name == "vectors":
            raise ValueError(f"data={data.name} is no corpus; give its file as data.vectors={data.train}")
        self._possible_network()
        self._possible_windows()
        self._possible_penalties()
        if task == "language_model" and isinstance(arch, RecurrentConfig) and arch.bidirectional:
            raise ValueError(
                f"arch={arch.name} reads the word that a language model is to predict; choose an arch of one "
                "direction, or task=cloze"
            )
        if isinstance(arch, NgramConfig) and self.training.devices > 1:
            raise ValueError(f"arch={arch.name} is counted in one process; set training.devices=1")
        if isinstance(arch, NgramConfig | FeedforwardConfig) and task != "language_model":
            raise ValueError(f"arch={arch.name} is a language model and cannot do task={task}")
        if isinstance(arch, ConvolutionalConfig) and task not in ("tagger", "regressor"):
            raise ValueError(f"arch={arch.name} reads what comes after a word and cannot do task={task}")
        self.fill_roles({name: field.kind for name, field in data.build_reader().fields.items()})
        check_figures(self.declared(), data)
        if task == "tagger" and data.sentence_end:
            raise ValueError("data.sentence_end goes with language models only; a tagger has no label for [EOS]")
        return self

    def fill_roles(self, kinds: Mapping[str, str]) -> dict[str, str]:
        """The field that fills each role of the task.

        Args:
            kinds: field → kind, of the corpus.

        Raises:
            ValueError: a role cannot be filled.
        """
        place = f"task={self.task.name} on data={self.data.name}"
        try:
            return fill(ROLES[self.task.name], kinds, self.data.roles, place)
        except BadInput as error:
            raise ValueError(str(error).rstrip(".")) from None

    def declared(self) -> dict[str, str]:
        """See :func:`unroll.config.declarations.declared`."""
        return declared(self.solved, self.judged_by, self.task.name)

    def _possible_windows(self) -> None:
        """Refuse windows of what must be read whole."""
        task, arch, settings = self.task.name, self.arch, self.training
        if task == "language_model":
            if settings.batch_tokens is not None:
                raise ValueError("training.batch_tokens goes with sequences in batches, not with the parallel streams "
                                 "of task=language_model; set it to null")  # fmt: skip
            return
        if settings.state_reset != "epoch":
            raise ValueError("training.state_reset goes with task=language_model only; in other tasks every sequence "
                             "begins with a state of its own")  # fmt: skip
        if settings.truncation_length is None:
            return
        reads_on = isinstance(arch, RecurrentConfig) and not arch.bidirectional and arch.output.name == "softmax"
        if not reads_on or task == "cloze" or self.data.option("scheme"):
            raise ValueError(f"training.truncation_length cuts sequences into windows, but arch={arch.name} with "
                             f"task={task} must read them whole; set it to null")  # fmt: skip
        assert isinstance(arch, RecurrentConfig)
        if task == "regressor" and arch.readout not in ("final", "last"):
            raise ValueError(f"recurrent.readout={arch.readout} needs the whole sequence; set "
                             "training.truncation_length to null, or choose final")  # fmt: skip

    def _possible_penalties(self) -> None:
        """Refuse penalties on what is not there, or not seen whole."""
        settings, recurrent = self.training, isinstance(self.arch, RecurrentConfig)
        if (settings.recurrent_l1 or settings.recurrent_l2) and not recurrent:
            raise ValueError(f"training.recurrent_l1 and recurrent_l2 need a recurrent network; arch={self.arch.name} "
                             "is not one; set them to 0")  # fmt: skip
        if not (settings.activation_regularization or settings.temporal_activation_regularization):
            return
        if not recurrent or self.task.name == "cloze":
            raise ValueError(f"training.activation_regularization and its temporal kind do not go with "
                             f"arch={self.arch.name} and task={self.task.name}; set them to 0")  # fmt: skip
        if self.task.name == "regressor" and settings.truncation_length is not None:
            raise ValueError("training.activation_regularization of task=regressor is a mean over whole sequences; set "
                             "training.truncation_length to null")  # fmt: skip

    def _possible_network(self) -> None:
        """Refuse parts of a network that do not go with the task, the data or each other."""
        task, arch, data = self.task, self.arch, self.data
        if isinstance(arch, NgramConfig):
            return
        if arch.inputs in ("vectors", "frozen_vectors") and not data.vectors:
            raise ValueError(f"recurrent.inputs={arch.inputs} needs data.vectors, a file in GloVe's format")
        if arch.inputs == "one_hot" and (isinstance(arch, FeedforwardConfig) or getattr(task, "tied", False)):
            raise ValueError("recurrent.inputs=one_hot leaves no embedding to share; set task.tied=false, and "
                             "choose no feed-forward network")  # fmt: skip
        if not isinstance(arch, RecurrentConfig):
            return
        if arch.characters and (task.name != "tagger" or "words" not in data.units):
            raise ValueError(f"arch={arch.name} spells words, which goes with task=tagger only")
        if arch.output.name != "softmax" and task.name != "tagger":
            raise ValueError(f"arch={arch.name} predicts labels, which goes with task=tagger only")
        if arch.readout == "last" and arch.bidirectional and task.name == "regressor":
            raise ValueError("recurrent.readout=last sees one step of the direction from the end; choose final")
        if task.name == "cloze" and arch.bidirectional and arch.layers > 1:
            raise ValueError("task=cloze in two directions needs recurrent.layers=1: a second layer would read, "
                             "through the first, the word that is to be predicted")  # fmt: skip

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
