"""Two samples judged: everything that is told of them, and the one sentence at the end."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from unroll.analysis.verdict.difference import (
    CONFIDENCE,
    FEWEST,
    Difference,
    Interval,
    Test,
    equivalence,
    holm,
    paired,
    permutation,
    smallest_p,
    t_interval,
    welch,
)
from unroll.analysis.verdict.effect import MOST, Effect, hedges, improvement, seeds_needed

LEVEL = 1 - CONFIDENCE
TESTS: dict[Test, tuple[str, Callable[[Sequence[float], Sequence[float]], Difference]]] = {
    "welch": ("Welch's test", welch),
    "permutation": ("a permutation test", permutation),
    "paired": ("a paired t test", paired),
}


@dataclass(frozen=True)
class Judgement:
    """What is known of two samples, a and b.

    Args:
        a, b: mean and interval of each side.
        counts: values of each side.
        lower: whether a lower figure is the better one.
        test: by which it was judged.
        difference: of a to b, with the p of this test alone.
        p: corrected for all that was compared; None where there was no test.
        effect: in standard deviations, positive where a is better; None where neither varies, or there are too few.
        improvement: probability that a run of a is better than one of b; None where there are too few.
        needed: seeds of each side that would show such a difference; None for too many to say.
        margin: by which the means may differ and still be called equivalent; None for none.
        equivalence: the p that they do not differ by more; None where that was not tested.
    """

    a: Interval
    b: Interval
    counts: tuple[int, int]
    lower: bool
    test: Test
    difference: Difference
    p: float | None
    effect: Effect | None
    improvement: float | None
    needed: int | None
    margin: float | None
    equivalence: float | None


@dataclass(frozen=True)
class Words:
    """How a judgement is told: what a better side is called, what one value is, and its unit."""

    better: str
    value: str
    unit: str


QUALITY, SPEED = Words("better", "seed", ""), Words("faster", "measurement", " tokens/s")


def judge(
    a: Sequence[float],
    b: Sequence[float],
    lower: bool,
    test: Test = "welch",
    margin: float | None = None,
    comparisons: int = 1,
) -> Judgement:
    """Judge two samples.

    Args:
        a, b: one value per seed; for ``paired`` in the same order.
        lower: whether a lower figure is the better one.
        test: ``welch``, ``permutation`` or ``paired``.
        margin: see :class:`Judgement`.
        comparisons: how many are made at once; the number of seeds needed is for a level that holds over all of them.
    """
    difference = TESTS[test][1](a, b)
    told = math.isfinite(difference.mean) and min(len(a), len(b)) >= 2
    scores = [[-value if lower else value for value in side] for side in (a, b)]  # the higher, the better
    return Judgement(
        a=t_interval(a), b=t_interval(b), counts=(len(a), len(b)), lower=lower, test=test,
        difference=difference, p=difference.p,
        effect=hedges(*scores) if told else None,
        improvement=improvement(*scores) if told else None,
        needed=seeds_needed(a, b, test, LEVEL / comparisons) if told else None,
        margin=margin, equivalence=equivalence(a, b, margin, test) if told and margin else None,
    )  # fmt: skip


def judge_against(best: str, samples: Mapping[str, Sequence[float]], lower: bool) -> dict[str, Judgement]:
    """The best of several architectures against each other one, by Welch's test.

    Args:
        best: the one with the best mean.
        samples: of each architecture one value per seed.
        lower: whether a lower figure is the better one.

    The correction is Holm's over all pairs, not just those with the best: which one is the best was read off the same
    figures, and the luckiest of several equals would too often seem better than the unluckiest.
    """
    pairs = list(combinations(samples, 2))
    corrected = holm([welch(samples[a], samples[b]).p for a, b in pairs])
    judged = {}
    for pair, p in zip(pairs, corrected, strict=True):
        if best in pair:
            other = pair[0] if pair[1] == best else pair[1]
            judged[other] = replace(judge(samples[best], samples[other], lower, comparisons=len(pairs)), p=p)
    return judged


def sentence(a: str, b: str, judged: Judgement, digits: int, words: Words = QUALITY) -> str:
    """What may be said of two sides, in one sentence.

    Args:
        a, b: names of the sides.
        judged: what is known of them.
        digits: decimals of the difference, of which there are more where its interval would else be told as 0.
        words: how it is told.
    """
    difference = judged.difference
    digits = decimals(digits, difference.half_width)
    size = f"{abs(difference.mean):,.{digits}f}"
    if math.isnan(difference.mean):
        return f"A run of {a} or {b} diverged, so there is no difference to tell."
    if difference.half_width is None:
        return (f"{a} and {b} differ by {size}{words.unit}; too few {words.value}s for {TESTS[judged.test][0]}, "
                f"which needs {FEWEST[judged.test]} of each.")  # fmt: skip
    if judged.p is None:
        return f"{a} and {b} differ by {size}{words.unit} on every {words.value} alike, which leaves nothing to test."
    size += f" ± {difference.half_width:,.{digits}f}{words.unit}"
    within = f"equivalent within {judged.margin:g}{words.unit}" if judged.margin else ""
    equivalent = judged.equivalence is not None and judged.equivalence < LEVEL
    if judged.p < LEVEL:
        winner, loser = (a, b) if (difference.mean < 0) == judged.lower else (b, a)
        yet = f", yet {within} ({_p(judged.equivalence)})" if equivalent else ""
        return f"{winner} is {words.better} than {loser} by {size} ({_p(judged.p)}){yet}."
    if equivalent:
        return f"{a} and {b} are {within} ({_p(judged.equivalence)}): they differ by {size}."
    nor = f", nor that they are {within} ({_p(judged.equivalence)})" if within else ""
    return f"No evidence of a difference between {a} and {b} ({size}, {_p(judged.p)}){nor}; {_needed(judged, words)}."


def decimals(digits: int, half_width: float | None) -> int:
    """Decimals of a figure: as many as are asked for, and more where its interval would else be told as 0."""
    return max(digits, -math.floor(math.log10(half_width))) if half_width else digits


def _needed(judged: Judgement, words: Words) -> str:
    """What more values would be needed, as a clause."""
    least = smallest_p(*judged.counts)
    if judged.test == "permutation" and least >= LEVEL:
        few = " and ".join(str(count) for count in judged.counts)
        return f"with {few} {words.value}s a permutation test has no p below {least:.3f}"
    count = f"more than {MOST:,}" if judged.needed is None else f"about {judged.needed:,}"
    what = "pairs" if judged.test == "paired" else f"{words.value}s of each"
    by = " by Welch's test" if judged.test == "permutation" else ""
    return f"{count} {what} would be needed{by}"


def p_value(p: float | None) -> str:
    """A p as it is written in a table; nothing where there was no test."""
    return "" if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _p(p: float | None) -> str:
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
