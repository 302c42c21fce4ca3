"""Every setting of a run, with its type, its range and its sentence, and the pairs that are impossible."""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
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
    reader: Literal["text", "conllu", "columns", "series", "brown", "vectors"] = Field(
        description="Format of the files; vectors is no corpus, but a file for data.vectors."
    )
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
    sentence_end: bool = Field(description="Whether [EOS] follows each sequence, for language models.")
    lowercase: bool = Field(description="Whether words are folded to lower case.")
    normalize: bool = Field(description="Whether numerals become [NUM], and URLs and e-mail addresses [URL].")
    vectors: str | None = Field(description="File of pretrained word vectors in GloVe's text format.")
    min_count: int = Field(ge=1, description="How often train must have a token for it to be in the vocabulary.")

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        if self.reader != "vectors" and (self.split is None) == (self.validation is None):
            raise ValueError("give either data.validation or data.split, not both and not neither")
        if self.split and self.split.train <= 1 and self.split.train + self.split.validation > 1 + 1e-9:
            raise ValueError("data.split: the shares of train and validation exceed 1")
        if (self.reader == "series") != (self.unit == "steps"):
            raise ValueError("data.unit=steps goes with data.reader=series, and only with it")
        if self.unit == "characters" and self.reader != "text":
            raise ValueError("data.unit=characters goes with data.reader=text only")
        if self.unit == "steps" and (self.sentence_end or self.lowercase):
            raise ValueError("data.sentence_end and data.lowercase go with words and characters, not with steps")
        if self.unit != "words" and (self.normalize or self.vectors):
            raise ValueError("data.normalize and data.vectors go with data.unit=words only")
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


class ClozeConfig(Section):
    """Tell each token from all others of its sequence."""

    name: Literal["cloze"] = Field(description="The task.")
    tied: bool = Field(description="Whether the output matrix is the embedding.")


class RegressorConfig(Section):
    """Tell one number for each sequence."""

    name: Literal["regressor"] = Field(description="The task.")


class LearnedConfig(Section):
    """What every network that learns by gradient has."""

    hidden_size: int = Field(ge=1, description="Width H of each direction of a layer.")
    embedding_size: int = Field(ge=1, description="Width of the embedding of a token.")
    embedding_scale: float = Field(gt=0, description="Standard deviation of the embedding's first values.")
    inputs: Literal["embedding", "one_hot", "vectors", "frozen_vectors"] = Field(
        description="What a token becomes: a learned embedding, one-hot, or data.vectors, tuned or frozen."
    )
    dropout: float = Field(ge=0, lt=1, description="Probability that a unit is dropped, around and between layers.")


class SharedConfig(LearnedConfig):
    """What architectures of an experiment share, each as far as it has it, unless the file of one differs."""

    layers: int = Field(ge=1, description="Number of layers L.")
    variational: bool = Field(description="Whether a sequence drops the same units at every step.")
    weight_dropout: float = Field(ge=0, lt=1, description="Probability that an entry of W is dropped.")
    layer_norm: bool = Field(description="Whether cells normalise their products (layer normalisation).")
    initializer: Literal["cell", "orthogonal"] = Field(description="First values of W: its cell's own, or orthogonal.")
    learned_state: bool = Field(description="Whether the state before the first step is learned instead of zero.")
    readout: Literal["final", "last", "mean", "max"] = Field(description="What stands for a whole sequence.")


class CharacterCNNConfig(Section):
    """Spelling of each word by a convolution."""

    name: Literal["cnn"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, description="Width of the embedding of a character.")
    size: int = Field(ge=1, description="Width of the vector of a word.")


class CharacterBiLSTMConfig(Section):
    """Spelling of each word by an LSTM from both ends."""

    name: Literal["bilstm"] = Field(description="The network that spells.")
    embedding_size: int = Field(ge=1, description="Width of the embedding of a character.")
    size: int = Field(ge=1, description="Width H of each direction.")


class SoftmaxConfig(Section):
    """Labels told one by one."""

    name: Literal["softmax"] = Field(description="How labels are told.")


class CRFConfig(Section):
    """Labels told together, by a linear-chain conditional random field."""

    name: Literal["crf"] = Field(description="How labels are told.")


class FeedbackConfig(Section):
    """Labels told from the label before, which is fed back: output connections."""

    name: Literal["feedback"] = Field(description="How labels are told.")
    embedding_size: int = Field(ge=1, description="Width of the embedding of the label before.")
    beam: int = Field(ge=1, description="Label sequences kept in prediction; 1 is greedy.")


Characters = Annotated[CharacterCNNConfig | CharacterBiLSTMConfig, Field(discriminator="name")]
Output = Annotated[SoftmaxConfig | CRFConfig | FeedbackConfig, Field(discriminator="name")]


class RecurrentConfig(SharedConfig):
    """A recurrent network."""

    name: str = Field(description="Name of the architecture: that of its file.")
    network: Literal["recurrent"] = Field(description="The kind of network.")
    cell: str = Field(description="The cell: a file of src/unroll/cells.")
    cell_arguments: dict[str, float | str] = Field(description="Arguments of the cell beside its widths.")
    bidirectional: bool = Field(description="Whether a second set of cells reads from the end.")
    characters: Characters | None = Field(description="How words are spelled to a tagger; null for not at all.")
    output: Output = Field(description="How a tagger tells labels.")

    @model_validator(mode="after")
    def _known_cell(self) -> RecurrentConfig:
        if self.cell not in cell_files():
            raise ValueError(f"there is no arch.cell={self.cell}; choose one of {', '.join(cell_files())}")
        allowed = cell_arguments(self.cell)
        for name in self.cell_arguments:
            if name not in allowed:
                choices = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
                raise ValueError(f"arch.cell={self.cell} has no argument {name!r}; {choices}")
        return self


class ConvolutionalConfig(LearnedConfig):
    """A network of convolutions over time."""

    name: str = Field(description="Name of the architecture: that of its file.")
    network: Literal["convolutional"] = Field(description="The kind of network.")
    layers: int = Field(ge=1, description="Number of layers L.")
    kernel_width: int = Field(ge=1, description="Steps that a filter sees, an odd number.")

    @field_validator("kernel_width")
    @classmethod
    def _odd(cls, value: int) -> int:
        if value % 2 == 0:
            raise ValueError(f"arch.kernel_width={value}: a filter of an even number of steps has no middle")
        return value


class FeedforwardConfig(LearnedConfig):
    """A feed-forward neural language model."""

    name: str = Field(description="Name of the architecture: that of its file.")
    network: Literal["feedforward"] = Field(description="The kind of network.")
    order: int = Field(ge=2, description="Length n of its n-grams: it reads the n - 1 tokens before the next one.")
    direct: bool = Field(description="Whether embeddings are connected with the output directly.")


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


Task = Annotated[LanguageModelConfig | ClozeConfig | TaggerConfig | RegressorConfig, Field(discriminator="name")]
Arch = Annotated[
    RecurrentConfig | ConvolutionalConfig | FeedforwardConfig | NgramConfig, Field(discriminator="network")
]
NETWORKS: dict[str, type[Section]] = {
    "recurrent": RecurrentConfig, "convolutional": ConvolutionalConfig, "feedforward": FeedforwardConfig,
    "ngram": NgramConfig,
}  # fmt: skip


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
        if data.reader == "vectors":
            raise ValueError(f"data={data.name} is no corpus; give its file as data.vectors={data.train}")
        self._possible_network()
        if task == "language_model" and isinstance(arch, RecurrentConfig) and arch.bidirectional:
            raise ValueError(
                f"arch={arch.name} reads the word that a language model is to predict; choose an arch of one "
                "direction, or task=cloze"
            )
        if isinstance(arch, NgramConfig | FeedforwardConfig) and task != "language_model":
            raise ValueError(f"arch={arch.name} is a language model and cannot do task={task}")
        if isinstance(arch, ConvolutionalConfig) and task not in ("tagger", "regressor"):
            raise ValueError(f"arch={arch.name} reads what comes after a word and cannot do task={task}")
        if (task == "regressor") != (data.unit == "steps"):
            raise ValueError(f"task={task} cannot be done on data={data.name}, whose steps are {data.unit}")
        if task == "tagger" and data.reader == "text":
            raise ValueError(f"task=tagger needs labels, and data={data.name} is plain text")
        if task == "tagger" and data.sentence_end:
            raise ValueError("data.sentence_end goes with language models only; a tagger has no label for [EOS]")
        if data.reader != "conllu" and (data.probe or data.contrast):
            raise ValueError("data.probe and data.contrast go with data.reader=conllu only; set them to null")
        return self

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
        if arch.characters and (task.name != "tagger" or data.unit != "words"):
            raise ValueError(f"arch={arch.name} spells words, which goes with task=tagger only")
        if arch.output.name != "softmax" and task.name != "tagger":
            raise ValueError(f"arch={arch.name} tells labels, which goes with task=tagger only")
        if arch.readout == "last" and arch.bidirectional and task.name == "regressor":
            raise ValueError("recurrent.readout=last sees one step of the direction from the end; choose final")
        if task.name == "cloze" and arch.bidirectional and arch.layers > 1:
            raise ValueError("task=cloze in two directions needs recurrent.layers=1: a second layer would read, "
                             "through the first, the word that is to be told")  # fmt: skip

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
        for key, field in fields(name, model):
            kind = re.sub(r"unroll\.config\.|typing\.|<class '|'>", "", str(field.annotation))
            if "Config" not in kind:
                lines.append(f"  {name + '.' if name else ''}{key} ({kind}): {field.description}")
    return "\n".join(lines)


def keys() -> Iterator[str]:
    """Dotted name of every setting."""
    for name, model in sections(Config, ""):
        yield from (f"{name}.{key}".lstrip(".") for key, _ in fields(name, model))
    yield from (f"recurrent.{key}" for key in SharedConfig.model_fields)


def fields(name: str, model: type[BaseModel]) -> list[tuple[str, Any]]:
    """Settings of a section, but for those of an architecture that the section ``recurrent`` has for all of them."""
    shared = SharedConfig.model_fields if name == "arch" else {}
    return [(key, field) for key, field in model.model_fields.items() if key not in shared]


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


CELLS = Path(__file__).parent.parent / "cells"  # read as text: importing a cell would import torch


def cell_files() -> list[str]:
    """Names of the cells: those of the files that define one."""
    return sorted(path.stem for path in CELLS.glob("*.py") if path.stem not in ("__init__", "base", "initializers"))


def cell_arguments(cell: str) -> list[str]:
    """Arguments that the cell of a file takes beside its two widths."""
    tree = ast.parse((CELLS / f"{cell}.py").read_text(encoding="utf-8"))
    for kind in (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.endswith("Cell")):
        for method in kind.body:
            if isinstance(method, ast.FunctionDef) and method.name == "__init__":
                names = [argument.arg for argument in method.args.args]
                if names[:3] == ["self", "input_size", "hidden_size"]:
                    return names[3:]
    return []
