"""All statistics: the difference of two samples, how large and how sure it is, and one sentence that says so.

``difference`` has intervals, tests and Holm's correction, ``effect`` sizes and numbers of seeds; ``judgement`` joins
them.
"""

from unroll.analysis.verdict.difference import (
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
from unroll.analysis.verdict.effect import POWER, Effect, expected_best, hedges, improvement, seeds_needed
from unroll.analysis.verdict.judgement import (
    QUALITY,
    SPEED,
    Judgement,
    Words,
    decimals,
    judge,
    judge_against,
    p_value,
    sentence,
)

__all__ = [
    "FEWEST", "POWER", "QUALITY", "SPEED", "Difference", "Effect", "Interval", "Judgement", "Test", "Words",
    "decimals", "equivalence", "expected_best", "hedges", "holm", "improvement", "judge", "judge_against", "p_value",
    "paired", "permutation", "seeds_needed", "sentence", "smallest_p", "t_interval", "welch",
]  # fmt: skip
