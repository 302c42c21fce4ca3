"""Every setting of a run, with its type, its range and its sentence, and the pairs that are impossible."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator


class Section(BaseModel):
    """Frozen settings that know all of their keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _numbers(cls, content: Any) -> Any:
        """Refuse true and false where a number is due, which Python takes for 1 and 0."""
        for key, value in content.items() if isinstance(content, dict) else ():
            if isinstance(value, bool) and key in cls.model_fields and cls.model_fields[key].annotation is not bool:
                raise ValueError(f"{key}={str(value).lower()}: this is no number and no text")
        return content


class SourceFile(Section):
    """One file of a public corpus."""

    file: str = Field(description="Name of the file, below the corpus's folder.")
    url: str = Field(description="Its origin, pinned to a revision.")
    sha256: str = Field(description="SHA-256 of the unpacked file.", pattern="^[0-9a-f]{64}$")


class Cuts(Section):
    """Where one file is cut into splits."""

    train: float = Field(gt=0, description="Share (at most 1) or number of tokens that goes to training.")
    validation: float = Field(gt=0, description="The same for validation; what is left is the test split.")


class DataConfig(Section):
    """Which corpus, and how it is read."""

    name: str = Field(description="Name of the corpus, and of its folder.")
    title: str = Field(description="What it is, in one sentence.")
    generator: str | None = Field(description="Generator that writes it, for an embedded corpus.")
    sources: tuple[SourceFile, ...] = Field(description="Where a public corpus is fetched from.")
    licence: str | None = Field(description="Licence, shown when it is fetched.")
    citation: str | None = Field(description="What to cite when it is used.")
    reader: Literal["text", "conllu", "columns", "series", "brown"] = Field(description="Format of the files.")
    unit: Literal["words", "characters", "steps"] = Field(description="What one step of a sequence is.")
    train: str = Field(description="Training file; the only one if split is given.")
    validation: str | None = Field(description="Validation file.")
    test: str | None = Field(description="Test file; null if the corpus has none.")
    split: Cuts | None = Field(description="Where the training file is cut, if it is the only one.")
    token_column: int = Field(description="Reader columns: column of the token, from 0; negative from the last.")
    label_column: int = Field(description="Reader columns: column of the label, likewise.")
    scheme: Literal["bio"] | None = Field(description="Reader columns: bio checks that labels are O, B-… or I-….")
    probe: str | None = Field(description="Reader conllu: MISC key whose value groups tokens measured apart.")
    contrast: str | None = Field(description="Reader conllu: MISC key of the token that a probed one must beat.")
    sentence_end: bool = Field(description="Whether <eos> follows each sequence, for language models.")
    lowercase: bool = Field(description="Whether words are folded to lower case.")
    min_count: int = Field(ge=1, description="How often train must have a token for it to be in the vocabulary.")

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if (self.split is None) == (self.validation is None):
            raise ValueError("give either data.validation or data.split, not both and not neither")
        if self.split and self.split.train <= 1 and self.split.train + self.split.validation > 1 + 1e-9:
            raise ValueError("data.split: the shares of train and validation exceed 1")
        if (self.reader == "series") != (self.unit == "steps"):
            raise ValueError("data.unit=steps goes with data.reader=series, and only with it")
        if self.unit == "characters" and self.reader != "text":
            raise ValueError("data.unit=characters goes with data.reader=text only")
        if self.unit == "steps" and (self.sentence_end or self.lowercase):
            raise ValueError("data.sentence_end and data.lowercase go with words and characters, not with steps")
        if self.reader != "columns" and self.scheme:
            raise ValueError("data.scheme goes with data.reader=columns only; set it to null")
        return self

    @property
    def has_test(self) -> bool:
        """Whether there is a test split."""
        return self.test is not None or (self.split is not None and self.split.train + self.split.validation != 1)


class LanguageModelConfig(Section):
    """Predict each next token."""

    name: Literal["language_model"] = Field(description="The task.")
    tied: bool = Field(description="Whether the output matrix is the embedding.")


class TaggerConfig(Section):
    """Tell the label of each token."""

    name: Literal["tagger"] = Field(description="The task.")


class RegressorConfig(Section):
    """Tell one number for each sequence."""

    name: Literal["regressor"] = Field(description="The task.")


class SharedConfig(Section):
    """What every recurrent architecture of an experiment shares; an n-gram model has none of it."""

    layers: int = Field(ge=1, description="Number of layers L.")
    hidden_size: int = Field(ge=1, description="Width H of each direction of a layer.")
    embedding_size: int = Field(ge=1, description="Width of the embedding of a token.")
    embedding_scale: float = Field(gt=0, description="Standard deviation of the embedding's first values.")
    dropout: float = Field(ge=0, lt=1, description="Probability that a unit is dropped, around and between layers.")


class RecurrentConfig(SharedConfig):
    """A recurrent network."""

    name: str = Field(description="Name of the architecture: that of its file.")
    network: Literal["recurrent"] = Field(description="The kind of network.")
    cell: Literal["vanilla", "lstm", "gru"] = Field(description="The cell.")
    bidirectional: bool = Field(description="Whether a second set of cells reads from the end.")


class NgramConfig(Section):
    """An n-gram language model."""

    name: str = Field(description="Name of the architecture: that of its file.")
    network: Literal["ngram"] = Field(description="The kind of network.")
    order: int = Field(ge=1, le=9, description="Length n of the longest n-gram.")


class OptimizerConfig(Section):
    """How weights move."""

    name: Literal["adamw", "sgd"] = Field(description="The optimizer.")
    learning_rate: float = Field(gt=0, description="Step size at the peak of the schedule.")
    weight_decay: float = Field(ge=0, description="Decoupled (AdamW) or L2 (SGD) weight decay.")
    momentum: float = Field(ge=0, lt=1, description="Momentum of SGD; 0 for AdamW, which has its own.")

    @model_validator(mode="after")
    def _used(self) -> OptimizerConfig:
        if self.momentum and self.name == "adamw":
            raise ValueError("training.optimizer.momentum goes with training.optimizer.name=sgd only")
        return self


class TrainingConfig(Section):
    """How a network is trained."""

    tokens: int = Field(ge=1, description="Budget: real tokens read in training; epochs follow from it.")
    batch_size: int = Field(ge=1, description="Sequences, or parallel streams of a language model, per step.")
    truncation_length: int = Field(ge=1, description="Steps k of a language model's window.")
    optimizer: OptimizerConfig = Field(description="How weights move.")
    schedule: Literal["constant", "linear", "cosine"] = Field(
        description="Course of the learning rate over the budget, after the warm-up."
    )
    warmup: float = Field(ge=0, lt=1, description="Share of the budget over which the rate rises from 0.")
    clip_norm: float | None = Field(description="Largest global norm of the gradient; null for none.")
    precision: Literal["32", "bf16-mixed"] = Field(description="Numbers of the arithmetic.")
    validations: int = Field(ge=1, description="Validations over the budget, evenly spaced in tokens.")
    patience: int | None = Field(description="Validations without improvement before stopping; null for never.")
    evaluation_streams: int = Field(
        ge=1, description="Streams of a language model in evaluation: 1 is exact, more are faster."
    )
    threads: int = Field(ge=1, description="CPU threads; fixed, since sums depend on it.")

    @field_validator("precision", mode="before")
    @classmethod
    def _text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value  # precision=32 on the command line is a number

    @model_validator(mode="after")
    def _positive(self) -> TrainingConfig:
        for key in ("clip_norm", "patience"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ValueError(f"training.{key} must be positive, or null for none")
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


Task = Annotated[LanguageModelConfig | TaggerConfig | RegressorConfig, Field(discriminator="name")]
Arch = Annotated[RecurrentConfig | NgramConfig, Field(discriminator="network")]


class Config(Section):
    """All settings of one run."""

    experiment: str = Field(description="Name of the experiment: that of its file.")
    seed: int = Field(ge=0, lt=2**32, description="Seed of weights, dropout and order.")
    data: DataConfig = Field(description="Which corpus, and how it is read.")
    task: Task = Field(description="What is learned.")
    arch: Arch = Field(description="What learns it.")
    training: TrainingConfig = Field(description="How it is trained.")
    tracking: TrackingConfig = Field(description="Where runs are logged.")

    @model_validator(mode="after")
    def _possible(self) -> Config:
        task, arch, data = self.task.name, self.arch, self.data
        if task == "language_model" and isinstance(arch, RecurrentConfig) and arch.bidirectional:
            raise ValueError(
                f"arch={arch.name} reads the word that a language model is to predict; choose an arch of one direction"
            )
        if isinstance(arch, NgramConfig) and task != "language_model":
            raise ValueError(f"arch={arch.name} is a language model and cannot do task={task}")
        if (task == "regressor") != (data.unit == "steps"):
            raise ValueError(f"task={task} cannot be done on data={data.name}, whose steps are {data.unit}")
        if task == "tagger" and data.reader == "text":
            raise ValueError(f"task=tagger needs labels, and data={data.name} is plain text")
        if task == "tagger" and data.sentence_end:
            raise ValueError("data.sentence_end goes with language models only; a tagger has no label for <eos>")
        if data.reader != "conllu" and (data.probe or data.contrast):
            raise ValueError("data.probe and data.contrast go with data.reader=conllu only; set them to null")
        return self

    @property
    def name(self) -> str:
        """Name of the run: ``<experiment>/<arch>-<seed>``."""
        return f"{self.experiment}/{self.arch.name}-{self.seed}"

    def dump(self) -> str:
        """Plain YAML from which the same settings are read again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=100)

    def digest(self) -> str:
        """SHA-256 of what decides the result: everything but the tracking."""
        content = self.model_dump(mode="json", exclude={"tracking"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def explain() -> str:
    """Every field with its type and its sentence, a line each."""
    lines = []
    shared: tuple[str, type[BaseModel]] = ("recurrent", SharedConfig)
    for name, model in [*sections(Config, ""), shared]:
        lines.append(f"{name or 'top level'}: {(model.__doc__ or '').strip().splitlines()[0]}")
        for key, field in model.model_fields.items():
            kind = re.sub(r"unroll\.config\.|typing\.|<class '|'>", "", str(field.annotation))
            if "Config" not in kind:
                lines.append(f"  {name + '.' if name else ''}{key} ({kind}): {field.description}")
    return "\n".join(lines)


def keys() -> Iterator[str]:
    """Dotted name of every setting."""
    for name, model in sections(Config, ""):
        yield from (f"{name}.{key}".lstrip(".") for key in model.model_fields)
    yield from (f"recurrent.{key}" for key in SharedConfig.model_fields)


def sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    """A section and all below it, each with its dotted name."""
    yield name, model
    for key, field in model.model_fields.items():
        for part in _models(field.annotation):
            yield from sections(part, f"{name}.{key}".lstrip("."))


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in getattr(annotation, "__args__", ()) for model in _models(part)]
