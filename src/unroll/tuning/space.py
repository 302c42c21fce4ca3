"""The search space of a study, and the runs that its values define."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from typing import Any, Protocol

from unroll.config import Config, StudyConfig, StudySettings
from unroll.config.studies import as_words
from unroll.config.study import MOST, ChoiceConfig, RangeConfig
from unroll.data.batch import DataSpec
from unroll.errors import BadInput

Values = dict[str, Any]
MANY = 4_096  # maximum number of corners to check; beyond it, only pairs of keys are combined
MEGABYTE = 10**6


class Suggests(Protocol):
    """The part of Optuna's trial that the space uses."""

    def suggest_categorical(self, name: str, choices: Sequence[Any]) -> Any: ...
    def suggest_int(self, name: str, low: int, high: int, *, step: int, log: bool) -> int: ...
    def suggest_float(self, name: str, low: float, high: float, *, step: float | None, log: bool) -> float: ...


class Space:
    """The searched keys and the runs that their values define.

    Args:
        settings: settings of the study.
        spec: returns the sizes of the data of a run, for costs.
        longest: returns the number of steps of its longest sequence.
    """

    def __init__(
        self, settings: StudySettings, spec: Callable[[Config], DataSpec], longest: Callable[[Config], int]
    ) -> None:
        self.settings, self.study, self.spec, self.longest = settings, settings.study, spec, longest
        self.order = _ordered(self.study)

    def is_active(self, key: str, values: Values) -> bool:
        """Whether a key is searched, given the values of other keys."""
        return all(
            other in values and values[other] in (wanted if isinstance(wanted, list) else [wanted])
            for other, wanted in self.study.space[key].when.items()
        )

    def suggested(self, trial: Suggests) -> Values:
        """Suggest the values of a trial."""
        values: Values = {}
        for key in self.order:
            if self.is_active(key, values):
                values[key] = _suggest(trial, key, self.study.space[key])
        return values

    def slots(self) -> list[Values]:
        """The fixed values of each trial: a whole point of a grid, or the balanced choice."""
        study = self.study
        if study.sampler.name == "grid":
            points = {key: grid_points(study.space[key]) for key in self.order}
            found = list(itertools.islice(self._combinations(points), MOST + 1))
            if len(found) > MOST:
                raise BadInput(
                    f"study={study.name} has a grid of more than {MOST:,} points; reduce it, or choose another sampler."
                )
            return found
        assert study.trials is not None
        if study.balanced is None:
            return [{}] * study.trials
        dimension = study.space[study.balanced]
        assert isinstance(dimension, ChoiceConfig)
        return [{study.balanced: value} for _, value in zip(range(study.trials), itertools.cycle(dimension.choices))]

    def corners(self) -> Iterator[Values]:
        """Yield all combinations of choices and ends of ranges; if too many, only those of each pair of keys."""
        ends = {key: _ends(self.study.space[key]) for key in self.order}
        if _count(ends) <= MANY:
            yield from self._combinations(ends)
            return
        for pair in itertools.combinations(self.order, 2):
            yield from self._combinations({key: ends[key] if key in pair else ends[key][:1] for key in self.order})

    def _combinations(self, points: dict[str, list[Any]], values: Values | None = None) -> Iterator[Values]:
        values = values or {}
        rest = [key for key in self.order if key not in values and self.is_active(key, values)]
        if not rest:
            yield values
            return
        for value in points[rest[0]]:
            yield from self._combinations(points, {**values, rest[0]: value})

    def check(self) -> None:
        """Compose and check each corner, as a trial and, unless it is over a limit, as a retrained run.

        Raises:
            BadInput: a corner is invalid, all are over the limits, or a grid has too many points.
        """
        self.slots()  # refuses a grid with too many points
        excesses = []
        for corner in self.corners():
            with self._named(f"try {as_words(corner)}"):
                excesses.append(self.excess(self.run(corner)))
            if excesses[-1] is None and (self.study.retrain.seeds or self.study.retrain.settings):
                with self._named(f"train {as_words(corner)} again"):
                    self.run(corner, retrained=True)
        if all(excesses):
            raise BadInput(f"study={self.study.name} has no corner within its constraints (the last one has "
                           f"{excesses[-1]}); relax them, or search smaller networks.")  # fmt: skip

    @contextlib.contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Prefix errors with what cannot be done."""
        try:
            yield
        except BadInput as error:
            raise BadInput(f"study={self.study.name} cannot {what}: {error}") from None

    def run(self, values: Values, retrained: bool = False) -> Config:
        """Settings of the run of a trial, with the hidden size that matches the cost of the first arch.

        Args:
            values: values of the trial.
            retrained: whether the run retrains the best trial.

        Raises:
            BadInput: a value or a combination is invalid.
        """
        config = self.settings.run(values, retrained)
        if self.study.match is None:
            return config
        archs = self.study.space["arch"]
        assert isinstance(archs, ChoiceConfig)  # checked with the settings
        if values["arch"] == archs.choices[0]:
            return config
        kept = {key: value for key, value in values.items() if "arch" not in self.study.space[key].when}
        reference = self.settings.run({**kept, "arch": archs.choices[0]}, retrained)
        from unroll.tuning.matching import QUANTITIES, matched  # imports torch, which takes seconds

        target = QUANTITIES[self.study.match](reference, self.spec(reference))
        return matched(config, self.spec(config), self.study.match, target)

    def excess(self, config: Config) -> str | None:
        """Description of the limit that a run exceeds; None if it exceeds none."""
        limits = self.study.constraints
        if limits.parameters is None and limits.memory is None:
            return None
        from unroll.tuning.cost import memory, parameters  # as above

        spec = self.spec(config)
        if limits.parameters is not None and (count := parameters(config, spec)) > limits.parameters:
            return f"{count:,} parameters, {limits.parameters:,} allowed"
        if limits.memory is None:
            return None
        size = memory(config, spec, self.longest(config)) / MEGABYTE
        return f"{size:,.0f} MB of memory, {limits.memory:,} allowed" if size > limits.memory else None


def _ordered(study: StudyConfig) -> list[str]:
    """Keys sorted such that each follows the keys of its conditions, which have no cycle."""
    order: list[str] = []
    while len(order) < len(study.space):
        order += [key for key, part in study.space.items() if key not in order and set(part.when) <= set(order)]
    return order


def _suggest(trial: Suggests, key: str, dimension: ChoiceConfig | RangeConfig) -> Any:
    if isinstance(dimension, ChoiceConfig):
        return trial.suggest_categorical(key, dimension.choices)
    if dimension.whole:
        low = int(dimension.low)
        high = int(dimension.high)
        step = int(dimension.step or 1)
        return trial.suggest_int(key, low, high, step=step, log=dimension.log)
    return trial.suggest_float(key, dimension.low, dimension.high, step=dimension.step, log=dimension.log)


def _ends(dimension: ChoiceConfig | RangeConfig) -> list[Any]:
    if isinstance(dimension, ChoiceConfig):
        return list(dimension.choices)
    return [dimension.low] if dimension.low == dimension.high else [dimension.low, dimension.high]


def grid_points(dimension: ChoiceConfig | RangeConfig) -> list[Any]:
    """All values of a key on a grid."""
    if isinstance(dimension, ChoiceConfig):
        return list(dimension.choices)
    assert dimension.step is not None  # checked with the settings
    low, high, step = (Decimal(str(number)) for number in (dimension.low, dimension.high, dimension.step))
    kind = int if dimension.whole else float
    # in decimal arithmetic, as in Optuna: 3 * 0.1 exceeds 0.3 in floating point, and Optuna refuses it
    return [kind(low + index * step) for index in range(int((high - low) / step) + 1)]


def _count(points: dict[str, list[Any]]) -> int:
    count = 1
    for values in points.values():
        count *= len(values)
    return count
