"""The verdict on two samples as one sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from unroll.analysis.verdict.difference import CLAIM, FEWEST, Interval, boschloo, smallest_p
from unroll.analysis.verdict.effect import MOST
from unroll.analysis.verdict.judgement import LEVEL, Judgement, Sample
from unroll.metrics import DECIMALS, Metric, Scale, exp

Names = tuple[str, str]
NOWHERE: dict[Scale, str] = {  # why a figure at the end of its range has no place
    "ratio": "which has no logarithm (solved: in the experiment's file compares counts instead)",
    "log-odds": "which has no odds without the number of items (run unroll evaluate again, which writes it)",
}
HUGE = 1e9  # from here on, numbers are written with an exponent


@dataclass(frozen=True)
class Terms:
    """Terms for a better side, for one value, and for the compared quantity (None for the name of the metric)."""

    better: str
    value: str
    compared: str | None


QUALITY = Terms("better", "seed", None)
SPEED = Terms("faster", "measurement", "speed")


def sentence(a: str, b: str, judged: Judgement, digits: int, words: Terms = QUALITY) -> str:
    """The verdict on two sides.

    Args:
        a, b: names of the sides.
        judged: their comparison.
        digits: decimals of a figure; more are used if an interval would otherwise round to 0.
        words: vocabulary of the sentence.
    """
    names = a, b
    if obstacle := _obstacle(names, judged, words):
        return obstacle
    if judged.p is None:
        return f"{_full(names, judged, digits, words)}{_untested(names, judged, words)}."
    size = _size(names, judged, digits, words, "they")
    p = _corrected(judged, judged.p)
    if judged.better is not None:
        winner, loser = names[judged.better], names[1 - judged.better]
        by = size.removeprefix("they differ") if size.startswith("they differ") else f": {size}"
        return f"{winner} is {words.better} than {loser}{by} ({p}){_yet(judged)}."
    if judged.is_different and judged.method == "permutation":  # may be a difference in spread only
        return (f"{a} and {b} do not come from one distribution, by a permutation test ({p}); their means may differ, "
                f"or only their spread: {size}.")  # fmt: skip
    if judged.is_different:
        return f"{_full(names, judged, digits, words)} ({p}), but {_missing(names, judged, words)}."
    if judged.equivalence is not None and judged.equivalence < LEVEL:
        return f"{a} and {b} are {_within(judged)} ({_p(judged.equivalence)}): {size}."
    nor = "" if judged.equivalence is None else f", nor that they are {_within(judged)} ({_p(judged.equivalence)})"
    is_short = any(judged.missing) and judged.method != "permutation"  # a permutation test never calls a side better
    more = _missing(names, judged, words) if is_short else _needed(judged, words)
    return f"No evidence of a difference between {a} and {b}: {size} ({p}){nor}{more and '; '}{more}."


def figure(span: Interval, scale: Scale, digits: int) -> str:
    """A mean with its interval: as ± half-width if it is symmetric, otherwise with its limits."""
    if not math.isfinite(span.mean):
        return "not a number"
    if span.low is None or span.high is None:
        return plain(span.mean, digits)
    digits = decimals(digits, max(span.high - span.mean, span.mean - span.low))
    if scale == "difference" and math.isclose(span.high - span.mean, span.mean - span.low):
        return f"{plain(span.mean, digits)} ± {plain(span.high - span.mean, digits)}"
    low = plain(span.low, significant(span.low, digits))
    return f"{plain(span.mean, digits)} ({low} to {plain(span.high, digits)})"


def significant(value: float, digits: int) -> int:
    """Decimals of a figure that may be much smaller than those beside it: enough for two significant digits."""
    return max(digits, 1 - math.floor(math.log10(abs(value)))) if 0 < abs(value) < 1 else digits


def plain(value: float, digits: int) -> str:
    """A number with the given decimals, or with an exponent if it would be very long."""
    return f"{value:,.{digits}f}" if abs(value) < HUGE and digits <= DECIMALS else f"{value:.3g}"


def reported(metric: Metric, place: float) -> float:
    """A difference of places as reported: for a ratio as a factor, for a proportion as a factor of its odds."""
    return place if metric.scale == "difference" else exp(place)


def decimals(digits: int, half_width: float | None) -> int:
    """Decimals of a figure: the given number, or more if its interval would otherwise round to 0."""
    return max(digits, -math.floor(math.log10(half_width))) if half_width and math.isfinite(half_width) else digits


def p_value(p: float | None) -> str:
    """A p-value as printed in a table; empty if there was no test."""
    if p is None:
        return ""
    text = f"{p:.3f}"
    return "< 0.001" if p < 0.001 else f"{p:.5f}" if text == f"{LEVEL:.3f}" else text  # show on which side it is


def factor(mean: float, half_width: float | None, of: str = "") -> str:
    """A factor with its interval, such as 3.10 times (2.20 to 4.40).

    Args:
        mean: logarithm of the factor.
        half_width: half-width of the interval of the logarithm; None or 0 for no interval.
        of: what is multiplied, if the context does not make it clear: 3.10 times the odds.
    """
    middle, low, high = (exp(mean + end) for end in (0, -(half_width or 0), half_width or 0))
    times = f"times {of}".rstrip()
    if math.isinf(middle) or not middle:  # overflow or underflow
        return f"10 to the power of {mean / math.log(10):,.0f} {times}"
    places = decimals(2 if middle < 10 else 1 if middle < 100 else 0, max(high - middle, middle - low))
    places = significant(middle, places)
    limits = f" ({plain(low, significant(low, places))} to {plain(high, places)})" if half_width else ""
    return f"{plain(middle, places)} {times}{limits}"


def share(value: float) -> str:
    """A probability with two decimals, or more if it would otherwise round to 0 or 1."""
    return f"{value:.{max(2, *(significant(end, 2) - 1 for end in (value, 1 - value)))}f}"


def _size(names: Names, judged: Judgement, digits: int, words: Terms, who: str) -> str:
    """The size of the difference, as a clause."""
    if judged.method == "boschloo":
        return _counted(judged, words)
    difference, metric, compared = judged.difference, judged.metric, words.compared or judged.metric.name
    is_alike = difference.half_width == 0 and not all(side.is_constant for side in judged.sides)
    if difference.mean == difference.half_width == 0:
        return f"{who} have the same {compared}{f' on every {words.value}' if is_alike else ''}"
    alike = f" on every {words.value} alike" if is_alike else ""
    if metric.scale == "difference":
        digits = decimals(digits, difference.half_width)
        spread = f" ± {difference.half_width:,.{digits}f}" if difference.half_width else ""
        return f"{who} differ by {abs(difference.mean):,.{digits}f}{spread}{alike}"
    more, less = (0, 1) if difference.mean >= 0 else (1, 0)
    times = factor(abs(difference.mean), difference.half_width)
    if metric.scale == "ratio":
        return f"the {compared} of {names[more]} is {times} that of {names[less]}{alike}"
    means = [f"{plain(side.mean, significant(side.mean, digits))} for {name}"
             for side, name in zip((judged.a, judged.b), names, strict=True)]  # fmt: skip
    return f"{compared} is {means[more]} and {means[less]}, odds {times} as high{alike}"


def _full(names: Names, judged: Judgement, digits: int, words: Terms) -> str:
    """The size of the difference, as the start of a sentence; a name is not capitalized."""
    both = " and ".join(names)
    size = _size(names, judged, digits, words, both)
    if judged.method == "boschloo":
        return f"{names[0]} against {names[1]}: {size}"
    return size if size.startswith(both) else size[0].upper() + size[1:]


def _counted(judged: Judgement, words: Terms) -> str:
    """The number of seeds of each side that solve the problem, the better side first."""
    first, second = judged.sides if judged.better != 1 else judged.sides[::-1]
    lost = sum(not math.isfinite(value) for side in judged.sides for value in side.values)
    diverged = f" ({lost} diverged)" if lost else ""
    return (f"solved by {first.solved} of {len(first.values)} {words.value}s against {second.solved} of "
            f"{len(second.values)}{diverged}")  # fmt: skip


def _obstacle(names: Names, judged: Judgement, words: Terms) -> str | None:
    """Why two sides are not compared; None if they are."""
    if judged.method == "boschloo":
        fixed = [name for name, side in zip(names, judged.sides, strict=True) if side.is_constant]
        if not fixed:
            return None
        return (f"{names[0]} and {names[1]} are not compared: {_counted(judged, words)}, and {fixed[0]} has no "
                "randomness, so that its count is one measurement.")  # fmt: skip
    for name, side in zip(names, judged.sides, strict=True):
        if lost := _lost(name, side, judged.metric, words):
            return f"{lost}, so {names[0]} and {names[1]} are not compared by their means."
    return None


def _lost(name: str, side: Sample, metric: Metric, words: Terms) -> str | None:
    """Why the figures of a side have no mean on their scale; None if they have one."""
    places = [metric.onto(value) for value in side.values]
    count = f"of {len(places)} {words.value}s"
    if diverged := sum(not math.isfinite(value) for value in side.values):
        return f"A run of {name} diverged ({diverged} {count})"
    if outside := sum(map(math.isnan, places)):
        return f"The {metric.name} of {name} is out of its range on {outside} {count}"
    if ends := sum(map(math.isinf, places)):
        return (
            f"The {metric.name} of {name} is {_listed(side.values, places)} on {ends} {count}, {NOWHERE[metric.scale]}"
        )
    return None


def _listed(values: Sequence[float], places: Sequence[float]) -> str:
    return " or ".join(sorted({f"{value:g}" for value, place in zip(values, places, strict=True) if math.isinf(place)}))


def _untested(names: Names, judged: Judgement, words: Terms) -> str:
    """The reason why there is no test, as the end of a sentence."""
    if all(side.is_constant for side in judged.sides):
        return "; neither has any randomness, so there is nothing to test"
    if judged.difference.half_width == 0:
        return ", which leaves nothing to test"
    return f"; {_missing(names, judged, words)}"


def _missing(names: Names, judged: Judgement, words: Terms) -> str:
    """The number of missing seeds, as a clause."""
    fewest = FEWEST[judged.method]
    lacking = [(count, name) for count, name in zip(judged.missing, names, strict=True) if count]
    if judged.method == "paired":
        return f"a paired t test needs {fewest} pairs: {lacking[0][0]} more are needed"
    each = "" if any(side.is_constant for side in judged.sides) else " of each"
    few = f"below {fewest} {words.value}s{each} there is no test, and " if judged.p is None else ""
    if len(lacking) == 2 and lacking[0][0] == lacking[1][0]:
        lacking = [(lacking[0][0], "each")]
    (count, name), *others = lacking
    more = "".join(f" and {other} of {which}" for other, which in others)
    unit = words.value if count == 1 else f"{words.value}s"
    verb = "is" if count == 1 and not others else "are"
    return (f"{few}below {CLAIM} {words.value}s{each} neither is called {words.better}: {count} more {unit} of "
            f"{name}{more} {verb} needed")  # fmt: skip


def _within(judged: Judgement) -> str:
    margin = f"{judged.margin:g}"
    form = {"difference": margin, "ratio": f"a factor of {margin}", "log-odds": f"a factor of {margin} in odds"}
    return f"equivalent within {form[judged.metric.scale]}"


def _yet(judged: Judgement) -> str:
    if judged.equivalence is None or judged.equivalence >= LEVEL:
        return ""
    return f", yet {_within(judged)} ({_p(judged.equivalence)})"


def _needed(judged: Judgement, words: Terms) -> str:
    """The number of values needed, as a clause."""
    a, b = judged.counts
    if judged.method == "boschloo":
        least = min(1.0, judged.comparisons * boschloo(a, a, 0, b))
        all_against_none = f"over {judged.comparisons} comparisons even {a} of {a} against 0 of {b} has p = {least:.3f}"
        return "" if least < LEVEL else f"{all_against_none}, so that more {words.value}s are needed"
    if judged.method == "permutation" and smallest_p(a, b) >= LEVEL:
        return f"with {a} and {b} {words.value}s a permutation test has no p below {smallest_p(a, b):.3f}"
    if not judged.difference.half_width or (judged.needed or MOST) <= min(a, b):
        return ""
    count = f"more than {MOST:,}" if judged.needed is None else f"about {judged.needed:,}"
    what = (
        "pairs"
        if judged.method == "paired"
        else f"{words.value}s" + ("" if judged.method == "constant" else " of each")
    )
    by = " by Welch's test" if judged.method == "permutation" else ""
    return f"{count} {what} would be needed{by}"


def _corrected(judged: Judgement, p: float) -> str:
    """The corrected p-value; also the uncorrected one, which the interval matches, if only that is significant."""
    alone = judged.difference.p
    if alone is None or not alone < LEVEL <= p:
        return _p(p)
    both = "like the interval, " if judged.difference.half_width else ""
    return f"{_p(p)} corrected for {judged.comparisons} comparisons; {both}{_p(alone)} for this pair alone"


def _p(p: float) -> str:
    text = p_value(p)
    return f"p {text}" if text.startswith("<") else f"p = {text}"
