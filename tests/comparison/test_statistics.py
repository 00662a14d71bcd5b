import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from aetl.comparison.statistics import (
    holm,
    interval,
    paired_p_value,
    t_cdf,
    t_quantile,
)

DEGREES = [1, 2, 3, 4, 4.7, 9, 29.3, 100, 999, math.inf]


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("t", [-300.0, -12.7, -3.0, -1.0, -0.2, 0.0, 0.3, 1.0, 2.8, 40.0])
def test_t_distribution_equals_scipys(df: float, t: float) -> None:
    assert t_cdf(t, df) == pytest.approx(scipy.stats.t.cdf(t, df), rel=1e-10)


@pytest.mark.parametrize("t", [-1e6, -1e-8, 1e-8, 0.5, 1e6])
def test_one_degree_of_freedom_is_the_cauchy_distribution(t: float) -> None:
    assert t_cdf(t, 1) == pytest.approx(0.5 + math.atan(t) / math.pi, rel=1e-14)


def test_t_distribution_ends_at_zero_and_one() -> None:
    assert (t_cdf(-math.inf, 3), t_cdf(math.inf, 3)) == (0.0, 1.0)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("p", [1e-6, 0.005, 0.025, 0.2, 0.4999, 0.5, 0.6, 0.95, 0.975, 0.9999])
def test_t_quantile_equals_scipys(df: float, p: float) -> None:
    assert t_quantile(p, df) == pytest.approx(scipy.stats.t.ppf(p, df), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("p", [0.0, 1.0, -0.1])
def test_a_quantile_outside_the_open_unit_interval_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="0 < p < 1"):
        t_quantile(p, 3)


values = st.lists(st.floats(-1e3, 1e3).map(lambda v: round(v, 4)), min_size=2, max_size=12)


@given(values)
def test_interval_equals_scipys(sample: list[float]) -> None:
    found = interval(sample)
    assert found.low is not None
    assert found.high is not None
    assert found.mean == pytest.approx(np.mean(sample), rel=1e-12, abs=1e-12)
    if len(set(sample)) > 1:
        low, high = scipy.stats.t.interval(
            0.95, len(sample) - 1, loc=np.mean(sample), scale=scipy.stats.sem(sample)
        )
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-10, abs=1e-10)


@given(values)
def test_paired_p_value_equals_scipys(gains: list[float]) -> None:
    if len(set(gains)) > 1:
        expected = scipy.stats.ttest_1samp(gains, 0.0).pvalue
        assert paired_p_value(gains) == pytest.approx(expected, rel=1e-8, abs=1e-12)


def test_equal_gains_are_as_sure_as_their_signs_and_no_surer() -> None:
    found = interval([0.1, 0.1, 0.1])
    assert (found.mean, found.low, found.high) == (0.1, 0.1, 0.1)
    assert paired_p_value([0.1, 0.1, 0.1]) == scipy.stats.binomtest(3, 3).pvalue == 0.25
    assert paired_p_value([-0.1] * 6) == pytest.approx(scipy.stats.binomtest(0, 6).pvalue)
    assert paired_p_value([0.0, 0.0]) == 1.0


def test_one_value_has_no_interval_and_no_test() -> None:
    found = interval([0.5])
    assert (found.mean, found.low, found.high) == (0.5, None, None)
    assert paired_p_value([0.5]) is None


def test_a_mean_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        interval([])


def test_holm_equals_the_definition() -> None:
    p_values = [0.01, 0.04, 0.03, 0.005, 0.5]
    order = np.argsort(p_values)
    stepped = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
    expected = np.empty(len(p_values))
    expected[order] = np.minimum(1.0, np.maximum.accumulate(stepped))
    assert holm(p_values) == pytest.approx(list(expected))


def test_holm_leaves_out_what_was_not_tested() -> None:
    assert holm([None, 0.02, None, 0.01]) == [None, 0.02, None, 0.02]
