"""Verdicts, and how many seeds or examples would decide: brute force over the formulas."""

from __future__ import annotations

import math

import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from aetl.comparison.crossed import Crossed
from aetl.comparison.statistics import Interval, interval
from aetl.comparison.verdict import (
    MOST_SEEDS,
    better_on_a_new_seed,
    effect_size,
    more_examples,
    more_seeds,
    verdict,
)


@pytest.mark.parametrize(
    "low, high, rope, expected",
    [
        (0.02, 0.05, 0.01, "positive"),
        (-0.05, -0.02, 0.01, "negative"),
        (-0.02, 0.03, 0.01, "undecided"),
        (-0.009, 0.008, 0.01, "equivalent"),
        (0.002, 0.008, 0.01, "equivalent"),  # there, but of no practical worth
        (0.002, 0.012, 0.01, "positive"),
        (-0.009, 0.008, None, "undecided"),
        (0.002, 0.008, None, "positive"),
        (0.0, 0.0, 0.0, "equivalent"),
        (0.0, 0.02, 0.01, "undecided"),  # zero itself is not left out
    ],
)
def test_verdict_follows_the_interval(
    low: float, high: float, rope: float | None, expected: str
) -> None:
    found = Interval(0.5 * (low + high), low, high)
    assert verdict(found, 3, rope) == expected
    assert verdict(found, 2, rope) == "unknown"
    turned = {"positive": "negative", "negative": "positive"}.get(expected, expected)
    assert verdict(Interval(-found.mean, -high, -low), 3, rope) == turned


def test_without_bounds_nothing_is_decided() -> None:
    assert verdict(Interval(0.1, None, None), 3, 0.01) == "undecided"
    assert verdict(None, 5, 0.01) == "unknown"


def decided(found: Crossed, mean: float, rope: float | None, **numbers: int) -> bool:
    error, df = found.error(**numbers)
    reach = scipy.stats.t.ppf(0.975, df) * error
    return abs(mean) > reach or (rope is not None and abs(mean) + reach <= rope)


VARIANCES = st.floats(0.0001, 0.3)


@settings(max_examples=40, deadline=None)
@given(st.floats(-0.05, 0.05), VARIANCES, VARIANCES, st.sampled_from([None, 0.01, 0.04]))
def test_the_seeds_that_would_decide_are_the_fewest_that_do(
    mean: float, of_seeds: float, of_units: float, rope: float | None
) -> None:
    found = Crossed(mean, 3, 400, 0.01 * of_seeds, 0.1 * of_units, 0.3)
    if decided(found, mean, rope):
        return
    more = more_seeds(found, mean, rope)
    first = next((s for s in range(4, 200) if decided(found, mean, rope, seeds=s)), None)
    if more is None:
        assert not decided(found, mean, rope, seeds=MOST_SEEDS)
    elif 3 + more < 200:
        assert first == 3 + more
    else:
        assert first is None


def test_where_the_test_set_is_too_small_examples_are_asked_for_and_no_seeds() -> None:
    found = Crossed(0.004, 5, 300, 0.0, 0.04, 0.2)
    assert more_seeds(found, found.mean, 0.01) is None
    more = more_examples(found, found.mean, 0.01)
    assert more is not None
    assert decided(found, found.mean, 0.01, units=300 + more)
    assert not decided(found, found.mean, 0.01, units=300 + more - 1)


def test_where_training_varies_too_much_no_number_of_examples_decides() -> None:
    found = Crossed(0.01, 3, 300, 0.01, 0.001, 0.2)
    assert more_examples(found, found.mean, None) is None
    assert more_seeds(found, found.mean, None) is not None


def test_the_probability_of_a_better_seed_is_the_predictive_one_by_simulation() -> None:
    """Under a flat prior: draw variance and mean from the posterior, then a further seed."""
    import numpy as np

    gains = np.array([0.02, -0.01, 0.03, 0.015])
    random = np.random.default_rng(0)
    n, mean, deviation = len(gains), gains.mean(), gains.std(ddof=1)
    variance = (n - 1) * deviation**2 / random.chisquare(n - 1, 400_000)
    centre = random.normal(mean, np.sqrt(variance / n))
    expected = (random.normal(centre, np.sqrt(variance)) > 0).mean()
    assert better_on_a_new_seed(mean, deviation, n) == pytest.approx(expected, abs=3e-3)


def test_effect_size_is_hedges_unbiased_one() -> None:
    exact = math.gamma(2.0) / (math.sqrt(2.0) * math.gamma(1.5))
    assert effect_size(0.3, 0.2, 5) == pytest.approx(1.5 * exact)
    assert effect_size(0.3, 0.0, 5) is None
    assert interval([0.1, 0.2]).reach is not None
