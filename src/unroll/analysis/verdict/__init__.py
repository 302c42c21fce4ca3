"""All statistics: the difference of two samples, how large and how sure it is, and one sentence that says so.

``difference`` has intervals, tests and Holm's correction, ``effect`` sizes and numbers of seeds; ``judgement`` joins
them, and ``wording`` puts the result in words. All of it works on the scale of a metric (:mod:`unroll.metrics`).
"""

from unroll.analysis.verdict.difference import (
    CLAIM,
    FEWEST,
    Difference,
    Interval,
    Method,
    Test,
    boschloo,
    constant,
    equivalence,
    holm,
    interval,
    paired,
    permutation,
    smallest_p,
    welch,
)
from unroll.analysis.verdict.effect import POWER, Effect, expected_best, hedges, improvement, seeds_needed
from unroll.analysis.verdict.judgement import Judgement, Sample, judge, judge_against, mixed
from unroll.analysis.verdict.wording import (
    QUALITY,
    SPEED,
    Words,
    decimals,
    factor,
    figure,
    p_value,
    plain,
    reported,
    sentence,
)

__all__ = [
    "CLAIM",
    "FEWEST",
    "POWER",
    "QUALITY",
    "SPEED",
    "Difference",
    "Effect",
    "Interval",
    "Judgement",
    "Method",
    "Sample",
    "Test",
    "Words",
    "boschloo",
    "constant",
    "decimals",
    "equivalence",
    "expected_best",
    "factor",
    "figure",
    "hedges",
    "holm",
    "improvement",
    "interval",
    "judge",
    "judge_against",
    "mixed",
    "p_value",
    "paired",
    "permutation",
    "plain",
    "reported",
    "seeds_needed",
    "sentence",
    "smallest_p",
    "welch",
]  # fmt: skip
