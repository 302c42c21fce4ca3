"""Settings of a study: the search space, the number of trials, and how they are chosen."""

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
MOST = 10_000  # trials; each is a row in a database and a training run


class ChoiceConfig(Section):
    """A choice between several values."""

    choices: list[Value] = Field(min_length=1, description="Values to choose from.")
    when: dict[str, Value | list[Value]] = Field(
        default={}, description="Other keys of the space and the value, or values, with which this one is searched."
    )

    @field_validator("choices")
    @classmethod
    def _distinct(cls, values: list[Value]) -> list[Value]:
        if any(value in values[:place] for place, value in enumerate(values)):  # Optuna does not distinguish 1 and 1.0
            raise ValueError("a value occurs twice")
        return values


class RangeConfig(Section):
    """A range of numbers."""

    low: int | float = Field(description="Lower bound, inclusive.")
    high: int | float = Field(description="Upper bound, inclusive.")
    log: bool = Field(default=False, description="Whether to search on a logarithmic scale.")
    step: int | float | None = Field(default=None, description="Step between values; null for a continuous range.")
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
            raise ValueError("step cannot be combined with log: true")
        if self.step is not None and self.step <= 0:
            raise ValueError(f"step={self.step} must be positive")
        if self.step is not None and (_exact(self.high) - _exact(self.low)) % _exact(self.step):
            raise ValueError(f"high={self.high} is not low={self.low} plus a multiple of step={self.step}")
        return self

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
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
    """The sampler, which chooses the values of each trial."""

    name: Literal["tpe", "random", "grid", "gp", "qmc"] = Field(
        description="Tree-structured Parzen estimator, random search, grid search, Gaussian process or "
        "quasi-Monte Carlo."
    )


class PrunerConfig(Section):
    """The pruner, which stops unpromising trials early."""

    name: Literal["median", "hyperband", "none"] = Field(
        description="Pruning rule: median stops trials worse than the median of the others at the same number of "
        "tokens, within the same choice of balanced if set; hyperband stops the worse trials of each bracket; none "
        "disables pruning."
    )
    startup_trials: int = Field(ge=0, description="Number of completed trials before median pruning starts.")
    warmup: float = Field(ge=0, lt=1, description="Fraction of the token budget before which median prunes no trial.")
    reduction: int = Field(
        ge=2, description="Reduction factor of Hyperband: 1 in this many trials is promoted at each rung."
    )


class ConstraintsConfig(Section):
    """Limits on the cost of a trial; a trial over a limit is not trained."""

    parameters: int | None = Field(ge=1, description="Maximum number of parameters; null for no limit.")
    memory: int | None = Field(
        ge=1, description="Maximum memory of training in megabytes, estimated; null for no limit."
    )


class RetrainConfig(Section):
    """Retraining of the best trial of each arch on seeds that the study has not used."""

    seeds: list[Annotated[int, Field(ge=0, lt=2**32)]] = Field(
        description="Seeds with which the best trial of each arch is retrained."
    )
    settings: dict[str, Value] = Field(
        description="Settings that override those of the trial, such as a larger budget."
    )

    @model_validator(mode="after")
    def _distinct(self) -> RetrainConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"retrain.seeds={self.seeds} contains a seed twice")
        if "seed" in self.settings:
            raise ValueError("retrain.settings has seed; list seeds in retrain.seeds")
        return self


class StudyConfig(Section):
    """All settings of one study."""

    name: Name = Field(description="Name of the study: that of its file.")
    question: str = Field(min_length=1, description="The question that the study answers.")
    experiment: Name | None = Field(
        description="Experiment from which trials take their settings; null if settings has data and task instead."
    )
    settings: dict[str, Value] = Field(description="Settings of all trials, as on the command line.")
    space: dict[str, Dimension] = Field(description="Search space: dotted keys with their choices or ranges.")
    trials: int | None = Field(description="Number of trials; null for all points of a grid.")
    balanced: str | None = Field(
        description="Key whose choices each get the same number of trials; null for none. If not given, arch, provided "
        "that archs are searched and the sampler is not grid."
    )
    match: Literal["parameters", "flops"] | None = Field(
        description="Resource to equalise across archs by solving for hidden_size; null to disable."
    )
    constraints: ConstraintsConfig = Field(description="Limits on the cost of a trial.")
    sampler: SamplerConfig = Field(description="The sampler, which chooses the values of each trial.")
    pruner: PrunerConfig = Field(description="The pruner, which stops unpromising trials early.")
    seed: int = Field(
        ge=0, lt=2**32, description="Random seed of the sampler; the setting seed is that of the networks."
    )
    storage: str = Field(description="URL of Optuna's database, such as sqlite:///studies/optuna.db.")
    heartbeat: int = Field(ge=1, description="Interval between heartbeats of a worker in seconds.")
    grace: int = Field(ge=2, description="Seconds without a heartbeat after which another worker takes over a trial.")
    retries: int = Field(ge=0, description="Number of times a trial is taken over before it counts as failed.")
    retrain: RetrainConfig = Field(description="Retraining of the best trial of each arch.")

    @field_validator("space", mode="before")
    @classmethod
    def _lists(cls, content: Any) -> Any:
        """Expand a list to its choices."""
        if not isinstance(content, dict):
            return content
        for key, value in content.items():
            if isinstance(value, dict) and value and not value.keys() & {"choices", "low", "high", "when"}:
                raise ValueError(f"space.{key} has neither choices nor low and high; if it is a section, write single "
                                 f"settings by their dotted names, such as {key}.{next(iter(value))}")  # fmt: skip
            if not isinstance(value, list | dict):
                raise ValueError(f"space.{key}={plain(value)} is a single value; write choices, such as [1, 2], or a "
                                 "range, such as {low: 1, high: 2}")  # fmt: skip
        return {key: {"choices": value} if isinstance(value, list) else value for key, value in content.items()}

    @model_validator(mode="after")
    def _possible(self) -> StudyConfig:
        if not self.space:
            raise ValueError("space is empty; add a key and its choices, such as arch: [lstm, gru]")
        if reason := refused(self.space):
            raise ValueError(reason)
        for key in self.space:
            if key in self.settings:
                raise ValueError(f"{key} is in both space and settings; remove it from one")
            self._check_when(key, (key,))
            if key in GROUPS and isinstance(self.space[key], RangeConfig):
                raise ValueError(f"{key} selects one of several files, so it needs choices, not a range")
            if key in GROUPS and self.space[key].when:
                raise ValueError(f"{key} has a condition, but every run has a {key}; remove its when")
        if self.match is not None and not isinstance(self.space.get("arch"), ChoiceConfig):
            raise ValueError(f"match={self.match} needs several archs; set space.arch to choices such as "
                             "[lstm, gru], or set match to null")  # fmt: skip
        self._check_number()
        if not re.fullmatch(r"(sqlite:///(?!:memory:|file:)|postgresql\+psycopg://).+", self.storage):
            raise ValueError(f"storage={without_secrets(self.storage)} must be sqlite:///FILE or "
                             "postgresql+psycopg://USER@HOST/DATABASE")  # fmt: skip
        if self.grace <= self.heartbeat:
            raise ValueError(f"grace={self.grace} must be longer than heartbeat={self.heartbeat}")
        return self

    def _check_when(self, key: str, path: tuple[str, ...]) -> None:
        """Refuse conditions that can never be met."""
        for other, wanted in self.space[key].when.items():
            if other in path:
                raise ValueError(f"the conditions of {' and '.join(path)} form a cycle; remove one")
            if other not in self.space:
                raise ValueError(
                    f"the condition of {key} names {other}, which is not a key of the space{nearest(other, self.space)}"
                )
            dimension = self.space[other]
            if wanted == []:
                raise ValueError(f"the condition of {key} on {other} has no values; add some, or remove the condition")
            if isinstance(dimension, RangeConfig):
                raise ValueError(f"the condition of {key} names {other}, which is a range; a condition needs choices")
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if value not in dimension.choices:
                    raise ValueError(
                        f"the condition of {key} is {other}={plain(value)}, which is not one of its choices"
                    )
            self._check_when(other, (*path, other))

    def _check_number(self) -> None:
        """Check the number of trials against the sampler and the balanced key."""
        if self.sampler.name == "grid":
            if any(isinstance(part, RangeConfig) and part.step is None for part in self.space.values()):
                raise ValueError("sampler=grid needs choices or ranges with a step")
            if self.trials is not None or self.balanced is not None:
                raise ValueError("sampler=grid tries each point once; set trials and balanced to null")
        elif self.trials is None or not 1 <= self.trials <= MOST:
            raise ValueError(f"trials must be a number from 1 to {MOST:,}")
        if self.balanced is None:
            return
        if self.pruner.name == "hyperband":
            raise ValueError(f"pruner=hyperband compares the choices of balanced={self.balanced} with each other; "
                             "choose median or none, which do not, or set balanced to null")  # fmt: skip
        dimension = self.space.get(self.balanced)
        if not isinstance(dimension, ChoiceConfig) or dimension.when:
            raise ValueError(
                f"balanced={self.balanced} must be a key of the space with choices and without a condition"
            )
        assert self.trials is not None
        if self.trials % len(dimension.choices):
            raise ValueError(f"trials={self.trials} cannot be divided evenly among the {len(dimension.choices)} "
                             f"choices of {self.balanced}")  # fmt: skip
