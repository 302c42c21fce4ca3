"""Settings of a study: which runs it may try, how many, and by which means it chooses them."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator, model_validator

from unroll.config.messages import GROUPS
from unroll.config.searchable import refused
from unroll.config.section import Name, Section, plain
from unroll.credentials import without_secrets
from unroll.errors import nearest

Value = str | int | float | bool | None
MOST = 10_000  # trials, each of which is a row in a database and a training


class ChoiceConfig(Section):
    """One of several values."""

    choices: list[Value] = Field(min_length=1, description="The values.")
    when: dict[str, Value | list[Value]] = Field(
        default={}, description="Other keys of the space and the value, or values, with which this one is searched."
    )

    @field_validator("choices")
    @classmethod
    def _distinct(cls, values: list[Value]) -> list[Value]:
        if any(value in values[:place] for place, value in enumerate(values)):  # to Optuna, 1 and 1.0 are one
            raise ValueError("a value is there twice")
        return values


class RangeConfig(Section):
    """A number between two others."""

    low: int | float = Field(description="The least.")
    high: int | float = Field(description="The greatest.")
    log: bool = Field(default=False, description="Whether it is searched by its logarithm.")
    step: int | float | None = Field(default=None, description="Between neighbours; null for any number.")
    when: dict[str, Value | list[Value]] = Field(
        default={}, description="Other keys of the space and the value, or values, with which this one is searched."
    )

    @model_validator(mode="after")
    def _not_empty(self) -> RangeConfig:
        if self.low > self.high:
            raise ValueError(f"low={self.low} is above high={self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"log: true needs a positive low, not {self.low}")
        if self.log and self.step is not None:
            raise ValueError("step does not go with log: true")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step={self.step} must be positive")
        if self.step is not None and (_exact(self.high) - _exact(self.low)) % _exact(self.step):
            raise ValueError(f"high={self.high} is not reached from low={self.low} by step={self.step}")
        return self

    @property
    def whole(self) -> bool:
        """Whether its values are whole numbers."""
        return all(isinstance(value, int) for value in (self.low, self.high, self.step or 1))


def _exact(number: float) -> Decimal:
    return Decimal(str(number))


def _kind(content: Any) -> str:
    return "choices" if isinstance(content, ChoiceConfig) or (isinstance(content, dict) and "choices" in content) else (
        "range")  # fmt: skip


Dimension = Annotated[
    Annotated[ChoiceConfig, Tag("choices")] | Annotated[RangeConfig, Tag("range")], Discriminator(_kind)
]


class SamplerConfig(Section):
    """How the next trial is chosen."""

    name: Literal["tpe", "random", "grid", "gp", "qmc"] = Field(
        description="Tree-structured Parzen estimator, at random, every point once, Gaussian process, or quasi-random."
    )


class PrunerConfig(Section):
    """Which trials end before their budget is spent."""

    name: Literal["median", "hyperband", "none"] = Field(
        description="Those below the median of the others at as many tokens, of the same choice of balanced where "
        "there is one; the worse ones of brackets; or none."
    )
    startup_trials: int = Field(ge=0, description="Trials that the median waits for.")
    warmup: float = Field(ge=0, lt=1, description="Share of the budget of tokens before which the median ends none.")
    reduction: int = Field(ge=2, description="Of how many trials Hyperband lets one go on.")


class ConstraintsConfig(Section):
    """What a trial may cost; one that costs more is not trained."""

    parameters: int | None = Field(ge=1, description="Most parameters of a network; null for any.")
    memory: int | None = Field(ge=1, description="Most megabytes that training holds, about; null for any.")


class RetrainConfig(Section):
    """What is trained again, on seeds that the study has not seen."""

    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(description="Seeds of the best run of each arch.")
    settings: dict[str, Value] = Field(
        description="Settings that differ from those of a trial, such as a longer budget."
    )

    @model_validator(mode="after")
    def _distinct(self) -> RetrainConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"retrain.seeds={self.seeds} has a seed twice")
        if "seed" in self.settings:
            raise ValueError("retrain.settings has seed; name seeds in retrain.seeds")
        return self


class StudyConfig(Section):
    """All settings of one study."""

    name: Name = Field(description="Name of the study: that of its file.")
    question: str = Field(min_length=1, description="What it asks, in words.")
    experiment: Name = Field(description="The experiment whose settings its trials begin with.")
    settings: dict[str, Value] = Field(description="Settings of every trial, as on the command line.")
    space: dict[str, Dimension] = Field(description="Keys that are searched, with their choices or range.")
    trials: int | None = Field(description="Number of trials; null for all points of a grid.")
    balanced: str | None = Field(
        description="Key each of whose choices gets the same number of trials; null for none. Where it is not given, "
        "that is arch, if archs are searched and the sampler is not grid."
    )
    match: Literal["parameters", "flops"] | None = Field(
        description="In what all archs cost as much as the first one, by their hidden sizes; null for nothing."
    )
    constraints: ConstraintsConfig = Field(description="What a trial may cost.")
    sampler: SamplerConfig = Field(description="How the next trial is chosen.")
    pruner: PrunerConfig = Field(description="Which trials end early.")
    seed: int = Field(ge=0, lt=2**32, description="Seed of the choices; that of the networks is the setting seed.")
    storage: str = Field(description="Optuna's database, such as sqlite:///studies/optuna.db.")
    heartbeat: int = Field(ge=1, description="Seconds after which a worker says again that it is at its trial.")
    grace: int = Field(ge=2, description="Seconds without a word after which a trial is taken over by another worker.")
    retries: int = Field(ge=0, description="Times that a trial is taken over before it is given up.")
    retrain: RetrainConfig = Field(description="What is trained again.")

    @field_validator("space", mode="before")
    @classmethod
    def _lists(cls, content: Any) -> Any:
        """A list is short for its choices."""
        if not isinstance(content, dict):
            return content
        for key, value in content.items():
            if isinstance(value, dict) and value and not value.keys() & {"choices", "low", "high", "when"}:
                raise ValueError(f"space.{key} has neither choices nor low and high; if it is several settings, name "
                                 f"each with its dots, such as {key}.{next(iter(value))}")  # fmt: skip
            if not isinstance(value, list | dict):
                raise ValueError(f"space.{key}={plain(value)} is one value; give it choices, such as [1, 2], or a "
                                 "range, such as {low: 1, high: 2}")  # fmt: skip
        return {key: {"choices": value} if isinstance(value, list) else value for key, value in content.items()}

    @model_validator(mode="after")
    def _possible(self) -> StudyConfig:
        if not self.space:
            raise ValueError("space is empty; name a key and its choices, such as arch: [lstm, gru]")
        if reason := refused(self.space):
            raise ValueError(reason)
        for key in self.space:
            if key in self.settings:
                raise ValueError(f"{key} is in space and in settings; leave it out of one")
            self._check_when(key, (key,))
            if key in GROUPS and isinstance(self.space[key], RangeConfig):
                raise ValueError(f"{key} is searched over a range, but it is one of several files; give it choices")
            if key in GROUPS and self.space[key].when:
                raise ValueError(f"{key} is searched under a condition, but every run has one; drop its when")
        if self.match is not None and not isinstance(self.space.get("arch"), ChoiceConfig):
            raise ValueError(f"match={self.match} needs archs to match to the first of them; give space.arch its "
                             "choices, such as [lstm, gru], or set match to null")  # fmt: skip
        self._check_number()
        if not re.fullmatch(r"(sqlite:///(?!:memory:|file:)|postgresql\+psycopg://).+", self.storage):
            raise ValueError(f"storage={without_secrets(self.storage)} must be sqlite:///FILE or "
                             "postgresql+psycopg://USER@HOST/DATABASE")  # fmt: skip
        if self.grace <= self.heartbeat:
            raise ValueError(f"grace={self.grace} must be longer than heartbeat={self.heartbeat}")
        return self

    def _check_when(self, key: str, path: tuple[str, ...]) -> None:
        """Refuse conditions that can never hold."""
        for other, wanted in self.space[key].when.items():
            if other in path:
                raise ValueError(f"{' and '.join(path)} are searched when each other; drop a condition")
            if other not in self.space:
                raise ValueError(f"{key} is searched when {other}, which is not a key of the space"
                                 f"{nearest(other, self.space)}")  # fmt: skip
            dimension = self.space[other]
            if wanted == []:
                raise ValueError(
                    f"{key} is searched when {other} is one of no values; name some, or drop the condition"
                )
            if isinstance(dimension, RangeConfig):
                raise ValueError(f"{key} is searched when {other}, which is a range; a condition needs choices")
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if value not in dimension.choices:
                    raise ValueError(f"{key} is searched when {other}={plain(value)}, which is not one of its choices")
            self._check_when(other, (*path, other))

    def _check_number(self) -> None:
        """Refuse a number of trials that does not go with the rest."""
        if self.sampler.name == "grid":
            if any(isinstance(part, RangeConfig) and part.step is None for part in self.space.values()):
                raise ValueError("sampler=grid needs choices, or ranges with a step")
            if self.trials is not None or self.balanced is not None:
                raise ValueError("sampler=grid tries every point once; set trials and balanced to null")
        elif self.trials is None or not 1 <= self.trials <= MOST:
            raise ValueError(f"trials must be a number from 1 to {MOST:,}")
        if self.balanced is None:
            return
        if self.pruner.name == "hyperband":
            raise ValueError(f"pruner=hyperband compares the choices of balanced={self.balanced} with each other; "
                             "choose median or none, which do not, or set balanced to null")  # fmt: skip
        dimension = self.space.get(self.balanced)
        if not isinstance(dimension, ChoiceConfig) or dimension.when:
            raise ValueError(f"balanced={self.balanced} is not a key of the space that always has choices")
        assert self.trials is not None
        if self.trials % len(dimension.choices):
            raise ValueError(f"trials={self.trials} cannot be shared out evenly among the {len(dimension.choices)} "
                             f"choices of {self.balanced}")  # fmt: skip
