"""Statistics: the difference of two samples, its size and significance, and a sentence that reports it.

``difference`` has intervals, tests and Holm's correction; ``effect`` has effect sizes and the number of seeds needed;
``judgement`` combines them; ``wording`` writes the result as a sentence. All of them work on the scale of a metric
(:mod:`unroll.metrics`).
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
    Terms,
    decimals,
    factor,
    figure,
    p_value,
    plain,
    reported,
    sentence,
    share,
    significant,
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
    "Terms",
    "Test",
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
    "share",
    "significant",
    "smallest_p",
    "welch",
]
