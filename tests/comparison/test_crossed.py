"""The interval over seeds and test examples, against sums over all entries and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aetl.comparison.crossed import Crossed, crossed
from tests.comparison.coverage import (
    GROUPED,
    NULL,
    Setting,
    holm_errors,
    levels,
    misses,
    over_both,
    trials_of,
)

LAYOUTS = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 6), st.integers(2, 9)),
    elements=st.floats(-2, 2).map(lambda v: round(v, 2)),
)


def mean_squares(d: np.ndarray) -> tuple[float, float, float]:
    """Of the two-way layout without replication, entry by entry (Scheffe 1959, table 4.3.1)."""
    seeds, examples = d.shape
    grand = sum(d[s, i] for s in range(seeds) for i in range(examples)) / (seeds * examples)
    row = [sum(d[s]) / examples for s in range(seeds)]
    column = [sum(d[:, i]) / seeds for i in range(examples)]
    of_seeds = sum((row[s] - grand) ** 2 for s in range(seeds) for _ in range(examples))
    of_examples = sum((column[i] - grand) ** 2 for i in range(examples) for _ in range(seeds))
    rest = sum(
        (d[s, i] - row[s] - column[i] + grand) ** 2 for s in range(seeds) for i in range(examples)
    )
    dof = seeds - 1, examples - 1
    return of_seeds / dof[0], of_examples / dof[1], rest / (dof[0] * dof[1])


@settings(max_examples=60, deadline=None)
@given(LAYOUTS)
def test_interval_and_p_value_are_the_contracts_formulas(d: np.ndarray) -> None:
    seeds, examples = d.shape
    ms_s, ms_i, ms_e = mean_squares(d)
    ms_s, excess = max(ms_s, ms_e), max(ms_i - ms_e, 0.0)
    if ms_s < 1e-9:
        return  # a layout of examples alone: below
    error = math.sqrt((ms_s + excess) / d.size)
    df = (ms_s + excess) ** 2 / (ms_s**2 / (seeds - 1))
    df = min(df, max(examples - 1, seeds - 1))
    found = crossed(d)
    interval = found.interval()
    reach = scipy.stats.t.ppf(0.975, df) * error
    assert found.mean == pytest.approx(d.mean(), abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx(
        (d.mean() - reach, d.mean() + reach), rel=1e-6, abs=1e-7
    )
    p_value = 2 * scipy.stats.t.sf(abs(d.mean()) / error, df)
    assert found.p_value() == pytest.approx(p_value, rel=1e-5, abs=1e-9)


def test_seeds_that_all_agree_leave_the_paired_t_interval_over_examples() -> None:
    line = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 50, p=[0.1, 0.6, 0.3])
    found = crossed(np.stack([line] * 4))
    expected = scipy.stats.ttest_1samp(line, 0.0)
    assert found.p_value() == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    assert (found.interval().low, found.interval().high) == pytest.approx((low, high))


def test_examples_that_all_agree_leave_the_t_interval_over_seeds() -> None:
    levels = np.array([0.1, 0.3, 0.2, 0.25])
    found = crossed(np.repeat(levels[:, None], 30, 1))
    expected = scipy.stats.ttest_1samp(levels, 0.0)
    assert found.p_value() == pytest.approx(expected.pvalue)


def test_gains_that_are_equal_by_rounding_are_no_certainty() -> None:
    """Three seeds with the same accuracy, right and wrong on different examples."""
    d = np.zeros((3, 300))
    for seed in range(3):
        d[seed, 20 * seed : 20 * seed + 10] = 1.0
        d[seed, 200 + seed : 206 + seed] = -1.0
    assert len(set(d.mean(1))) == 1
    assert 0.05 < crossed(d).p_value() < 1.0


def test_what_never_varies_is_as_sure_as_its_signs() -> None:
    assert crossed(np.zeros((3, 10))).p_value() == 1.0
    assert crossed(np.ones((3, 10))).p_value() == pytest.approx(2 * 0.5**10)


def test_components_are_those_that_were_drawn() -> None:
    random = np.random.default_rng(0)
    found = [
        crossed(
            0.3
            + random.normal(0, 0.2, (40, 1))
            + random.normal(0, 0.5, (1, 60))
            + random.normal(0, 0.7, (40, 60))
        )
        for _ in range(60)
    ]
    for name, expected in (("of_seeds", 0.04), ("of_units", 0.25), ("of_rest", 0.49)):
        values = [getattr(one, name) for one in found]
        error = np.std(values) / math.sqrt(len(values))
        assert abs(np.mean(values) - expected) < 4 * error


def test_a_foretold_error_is_that_of_as_many_seeds_and_examples() -> None:
    one = Crossed(0.1, 3, 100, of_seeds=0.01, of_units=0.2, of_rest=0.5)
    variance = 0.01 / 12 + 0.2 / 400 + 0.5 / 4800
    assert one.error(seeds=12, units=400)[0] == pytest.approx(math.sqrt(variance))
    assert one.least_error == pytest.approx(math.sqrt(0.2 / 100))


QUICK = [
    s for s in [*NULL, *GROUPED] if s.examples <= 360 and s.metric in ("accuracy", "nll", "mse")
]


@pytest.mark.parametrize("setting", QUICK, ids=str)
def test_a_gain_that_is_not_there_is_seldom_called(setting: Setting) -> None:
    outside, _ = misses(setting, 400)["seeds and examples"]
    # 5 % promised, and four standard errors of 400 trials.
    assert outside <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)


def test_the_interval_over_seeds_alone_is_the_surer_of_itself_the_more_seeds_there_are() -> None:
    outside, _ = misses(Setting("accuracy", 20, 360, 0.02, 0.6), 300)["seeds"]
    assert outside > 0.4


def test_examples_of_few_groups_are_no_units_of_their_own() -> None:
    """What a patient's pictures have in common is one observation."""
    setting = GROUPED[1]
    arm, twin, _ = levels(setting, 300, np.random.default_rng(0))
    gains = (arm > 0).astype(np.float64) - (twin > 0)
    alone = (np.abs(gains.mean((1, 2))) > over_both(gains)).mean()
    assert alone > 0.15
    assert misses(setting, 300)["seeds and examples"][0] < 0.09


@pytest.mark.slow
@pytest.mark.parametrize("setting", [*NULL, *GROUPED], ids=str)
def test_intervals_miss_the_truth_in_at_most_six_of_a_hundred(setting: Setting) -> None:
    trials = trials_of(setting)
    outside, _ = misses(setting, trials)["seeds and examples"]
    # Of few trials the count itself varies: two standard errors of 5 %, or 6 % of many.
    assert outside <= max(0.06, 0.05 + 2 * math.sqrt(0.05 * 0.95 / trials))


@pytest.mark.slow
def test_coverage_holds_where_there_is_a_gain() -> None:
    from tests.comparison.coverage import EFFECT

    for setting in EFFECT:
        outside, _ = misses(setting, 1000, seed=1)["seeds and examples"]
        assert outside <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 1000), setting


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_of_thirteen_arms_without_a_difference_seldom_one_stands(seeds: int) -> None:
    assert holm_errors(13, seeds, 360, 2000)["seeds and examples"] <= 0.06
