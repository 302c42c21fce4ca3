"""How often ``unroll compare`` calls one of several equal architectures better, and how often a better one.

Whole tables go through :func:`unroll.analysis.comparison.compare`, from figures as ``evaluate`` writes them to the
sentences that are read: an error is a table of equal architectures with any "is better than". Effect sizes and numbers
of seeds that would be needed are left out, since they take most of the time and decide nothing.

    python benchmarks/calibration.py errors --tables 1000    # a line for each kind of outcome
    python benchmarks/calibration.py power --tables 1000
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from unroll.analysis.comparison import compare
from unroll.analysis.verdict import difference, judgement

LEVEL = 0.05
ARCHS = (2, 3, 7, 12)
SEEDS: tuple[tuple[int, ...], ...] = ((5,), (8,), (10,), (5, 10))  # of each architecture in turn
SOLVED = "loss <= 0.01"
Draw = Callable[[np.random.Generator, int], np.ndarray]  # one value per seed


@dataclass(frozen=True)
class Outcome:
    """How figures of equal architectures are distributed.

    Args:
        name: for the table.
        task, headline: of which they are, and so their scale.
        draw: what varies from seed to seed.
        figures: made of it.
        spread: by which factor every other architecture varies more.
        solved: what the experiment declares.
        items: over which a proportion is counted.
        is_promised: whether the share of errors must hold; otherwise the line shows where it does not.
    """

    name: str
    task: str
    headline: str
    draw: Draw
    figures: Callable[[np.ndarray], np.ndarray] = np.asarray
    spread: float = 1.0
    solved: str | None = None
    items: int | None = None
    is_promised: bool = True

    def of_arch(self, random: np.random.Generator, place: int, count: int) -> np.ndarray:
        """Figures of one architecture."""
        return self.figures((self.spread if place % 2 else 1.0) * self.draw(random, count))


def normal(random: np.random.Generator, count: int) -> np.ndarray:
    """Normal values."""
    return random.normal(size=count)


def heavy(random: np.random.Generator, count: int) -> np.ndarray:
    """Student's t with three degrees of freedom."""
    return random.standard_t(3, count)


def skewed(random: np.random.Generator, count: int) -> np.ndarray:
    """Lognormal values around their mean."""
    return random.lognormal(size=count) - math.exp(0.5)


def two_kinds(p: float) -> Draw:
    """A network solves the problem with probability p, and otherwise does as well as one that always predicts 1."""

    def draw(random: np.random.Generator, count: int) -> np.ndarray:
        solved = random.random(count) < p
        return np.where(solved, 0.001 * random.lognormal(0, 0.5, count), 0.167 * random.lognormal(0, 0.02, count))

    return draw


def proportions(items: int, odds: float) -> Draw:
    """k of n items, whose log-odds vary from seed to seed."""

    def draw(random: np.random.Generator, count: int) -> np.ndarray:
        return random.binomial(items, 1 / (1 + np.exp(-random.normal(odds, 0.3, count)))) / items

    return draw


NATS, PERPLEXITY = ("language_model", "loss"), ("language_model", "perplexity")
SQUARES, ACCURACY = ("regressor", "loss"), ("tagger", "accuracy")
OUTCOMES = [
    Outcome("nats: normal", *NATS, normal),
    Outcome("nats: normal, spread 1 and 3", *NATS, normal, spread=3),
    Outcome("nats: normal, spread 1 and 10", *NATS, normal, spread=10),
    Outcome("nats: heavy-tailed (t, 3 degrees of freedom)", *NATS, heavy),
    Outcome("nats: heavy-tailed, spread 1 and 3", *NATS, heavy, spread=3),
    Outcome("nats: lognormal", *NATS, skewed),
    Outcome("perplexity: lognormal, spread 0.02 and 0.06 nats", *PERPLEXITY, normal, lambda z: 150 * np.exp(z / 50), 3),
    Outcome("squared error: lognormal", *SQUARES, normal, np.exp),
    Outcome("squared error: lognormal, spread of the logarithm 0.3 and 1", *SQUARES, normal,
            lambda z: np.exp(0.3 * z - 3), 3.3),
    Outcome("accuracy near 0.95 of 1,000 items", *ACCURACY, proportions(1000, 3), items=1000),
    Outcome("accuracy near 0.98 of 50 items", *ACCURACY, proportions(50, 4), items=50),
    *(Outcome(f"squared error: two kinds, p = {p:g}, `solved` declared", *SQUARES, two_kinds(p), solved=SOLVED)
      for p in (0.2, 0.35, 0.5, 0.65, 0.8)),
    Outcome("squared error: two kinds, p = 0.5, not declared", *SQUARES, two_kinds(0.5), is_promised=False),
    Outcome("nats: lognormal, spread 1 and 3", *NATS, skewed, spread=3, is_promised=False),
]  # fmt: skip


def table(outcome: Outcome, figures: Iterable[np.ndarray]) -> dict[str, dict[str, Any]]:
    """Figures of architectures as ``evaluate`` writes them."""
    return {
        f"{place}-{seed}": {
            "arch": f"arch{place}", "seed": seed, "split": "test", "parameters": 1, "tokens": 1, "order": {},
            "test": {outcome.headline: value}, "validation": {}, "headline": outcome.headline, "mode": "min",
            "task": outcome.task, "solved": outcome.solved,
            "items": {outcome.headline: outcome.items} if outcome.items else {},
        }
        for place, values in enumerate(figures) for seed, value in enumerate(values.tolist())
    }  # fmt: skip


def winners(outcome: Outcome, figures: Iterable[np.ndarray]) -> list[tuple[str, str]]:
    """Who is called better than whom, read from the sentences."""
    verdicts = [row["verdict"] for row in compare("calibration", table(outcome, figures)) if row["verdict"]]
    found = [verdict.split(" is better than ") for verdict in verdicts if " is better than " in verdict]
    return [(better, rest.replace(":", " ").split()[0]) for better, rest in found]


def errors(outcome: Outcome, archs: int, seeds: Sequence[int], tables: int, random: np.random.Generator) -> float:
    """Share of tables of equal architectures in which any is called better."""
    counts = [seeds[place % len(seeds)] for place in range(archs)]
    return sum(
        bool(winners(outcome, (outcome.of_arch(random, place, count) for place, count in enumerate(counts))))
        for _ in range(tables)
    ) / tables  # fmt: skip


def power(deviations: float, archs: int, seeds: int, tables: int, random: np.random.Generator) -> float:
    """Share of comparisons in which an architecture that is better by so many standard deviations is called so."""
    found = 0
    for _ in range(tables):
        figures = [random.normal(30 if place else 30 - deviations, 1, seeds) for place in range(archs)]
        found += sum(better == "arch0" for better, _ in winners(OUTCOMES[0], figures))
    return found / tables / (archs - 1)


def power_of_counts(archs: int, seeds: int, tables: int, random: np.random.Generator) -> float:
    """Share of comparisons in which an architecture whose every seed solves the problem is called better than others.

    No seed of the others does.
    """
    outcome = Outcome("all against none", *SQUARES, two_kinds(1), solved=SOLVED)
    found = 0
    for _ in range(tables):
        figures = [two_kinds(float(place == 0))(random, seeds) for place in range(archs)]
        found += sum(better == "arch0" for better, _ in winners(outcome, figures))
    return found / tables / (archs - 1)


def allowed(tables: int) -> float:
    """The level, and two standard errors of a share of so many tables."""
    return LEVEL + 2 * math.sqrt(LEVEL * (1 - LEVEL) / tables)


@contextmanager
def quick() -> Iterator[None]:
    """Leave out what takes time and decides nothing, and sum in floating point, where ``statistics`` sums fractions."""
    left_out = {name: lambda *_: None for name in ("hedges", "improvement", "seeds_needed")}
    with patch.multiple(judgement, **left_out), patch.object(difference, "variance", _variance):
        yield


def _variance(values: Sequence[float]) -> float:
    gaps = [value - values[0] for value in values]
    mean = math.fsum(gaps) / len(gaps)
    return math.fsum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1)


def show_errors(tables: int) -> None:
    """A line of shares for each outcome: for each number of seeds those of 2, 3, 7 and 12 architectures."""
    heads = [" and ".join(map(str, seeds)) for seeds in SEEDS]
    print(f"| Outcome | {' | '.join(f'{head} seeds' for head in heads)} |\n|{'---|' * (len(SEEDS) + 1)}")
    for outcome in OUTCOMES:
        random = np.random.default_rng(0)
        cells = []
        for seeds in SEEDS:
            shares = [errors(outcome, archs, seeds, tables, random) for archs in ARCHS]
            marks = ("!" if outcome.is_promised and share > allowed(tables) else "" for share in shares)
            cells.append(" · ".join(f"{100 * share:.1f}{mark}" for share, mark in zip(shares, marks, strict=True)))
        print(f"| {outcome.name} | {' | '.join(cells)} |", flush=True)


def show_power(tables: int) -> None:
    """The promises on power, a line each."""
    random = np.random.default_rng(1)
    for deviations, archs, seeds, promised in ((4, 7, 5, 0.85), (3, 7, 8, 0.95), (2, 7, 10, 0.0), (1, 7, 10, 0.0)):
        share = power(deviations, archs, seeds, tables, random)
        print(f"| {deviations} s.d., {seeds} seeds, {archs} architectures | {100 * share:.1f} % | "
              f"{f'at least {100 * promised:.0f} %' if promised else ''} |", flush=True)  # fmt: skip
    for archs, seeds, promised in ((2, 5, True), (7, 5, True), (8, 5, False), (12, 6, True)):
        share = power_of_counts(archs, seeds, min(tables, 200), random)
        print(f"| {seeds} of {seeds} against 0 of {seeds}, {archs} architectures | {100 * share:.1f} % | "
              f"{'100 %' if promised else ''} |", flush=True)  # fmt: skip


def main() -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("errors", "power"))
    parser.add_argument("--tables", type=int, default=1000)
    options = parser.parse_args()
    print(f"{options.tables} tables, level {LEVEL}, allowed {100 * allowed(options.tables):.2f} %\n")
    with quick():
        (show_errors if options.what == "errors" else show_power)(options.tables)


if __name__ == "__main__":
    main()
