"""A weighted sum of means."""

from __future__ import annotations

import pytest

from unroll.analysis.verdict.contrast import contrast

GROUPS = [[1.0, 2.0, 4.0], [2.0, 5.0], [7.0]]


def test_of_two_groups_it_is_students_test() -> None:
    from scipy.stats import ttest_ind

    found, theirs = contrast(GROUPS[:2], [1, -1]), ttest_ind(*GROUPS[:2])
    low, high = theirs.confidence_interval(0.95)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.half_width is not None
    assert (found.mean - found.half_width, found.mean + found.half_width) == pytest.approx((low, high))


def test_of_several_groups_it_is_that_of_a_linear_model() -> None:
    import numpy as np
    from statsmodels.api import OLS

    weights = [0.5, -1.0, 0.5]
    design = np.array([[index == group for group in range(3)] for index, values in enumerate(GROUPS) for _ in values])
    theirs = OLS(np.array([value for values in GROUPS for value in values]), design.astype(float)).fit().t_test(weights)
    found = contrast(GROUPS, weights)
    assert found.mean == pytest.approx(float(theirs.effect[0]))
    assert found.p == pytest.approx(float(theirs.pvalue))


def test_single_values_and_values_that_do_not_vary_give_no_test() -> None:
    assert contrast([[1.0], [2.0], [4.0]], [-1, 1, 0]).half_width is None
    alike = contrast([[1.0, 1.0], [2.0]], [-1, 1])
    assert (alike.mean, alike.half_width, alike.p) == (1.0, 0.0, None)
