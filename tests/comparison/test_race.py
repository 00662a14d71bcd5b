"""Boundaries of a race against references, and its errors by simulation."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from omegaconf import OmegaConf
from scipy import stats

from aetl.comparison.crossed import Crossed, crossed
from aetl.comparison.gain import Gain
from aetl.comparison.race import Arm, Plan, boundaries, is_futile, judge, rejected
from aetl.comparison.statistics import Interval, t_cdf
from aetl.config import conf_dir
from tests.comparison.race_simulation import races

PLAN = Plan((3, 5, 8, 12), rho=2.0, futility=0.05)


@pytest.mark.parametrize("rho", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("looks", [(1, 2), (3, 5, 8, 12), (4, 8, 12, 16, 20)])
def test_boundaries_spend_the_level_as_the_normal_distribution_of_all_looks_says(
    looks: tuple[int, ...], rho: float
) -> None:
    """The looks' statistics have correlations sqrt(t_j / t_k): SciPy's multivariate normal."""
    share = np.array(looks) / looks[-1]
    correlation = np.sqrt(np.minimum.outer(share, share) / np.maximum.outer(share, share))
    bounds = boundaries(looks, rho, 0.05)
    critical = stats.norm.isf(np.array(bounds) / 2)
    for k in range(1, len(looks) + 1):
        normal = stats.multivariate_normal(np.zeros(k), correlation[:k, :k], seed=0)
        inside = normal.cdf(critical[:k], lower_limit=-critical[:k])
        assert 1 - inside == pytest.approx(0.05 * share[k - 1] ** rho, abs=2e-4)


def test_one_look_is_the_plain_test() -> None:
    assert boundaries((12,), 2.0, 0.05) == pytest.approx((0.05,))


def test_a_smaller_level_has_smaller_boundaries_at_every_look() -> None:
    by_level = np.array([boundaries(PLAN.looks, 2.0, 0.05 / m) for m in range(1, 8)])
    assert (np.diff(by_level, axis=0) < 0).all()


def test_rejections_are_holms_where_there_is_one_look() -> None:
    plan = Plan((3,), 2.0, 0.0)
    random = np.random.default_rng(0)
    for _ in range(50):
        p = random.random(6) ** 4
        order = np.argsort(p)
        adjusted = np.maximum.accumulate(p[order] * np.arange(6, 0, -1))
        expected = {str(order[i]) for i in range(6) if adjusted[i] <= 0.05}
        assert rejected({str(i): [p[i]] for i in range(6)}, plan) == expected


def gain(mean: float, seeds: int = 3, units: int = 400, rope: float | None = 0.01,
         **variances: float) -> Gain:  # fmt: skip
    given = {"of_seeds": 1e-5, "of_units": 0.01, "of_rest": 0.02} | variances
    found = Crossed(mean, seeds, units, **given)
    interval = found.interval()
    return Gain(mean, seeds, Interval(mean, None, None), interval, found.p_value(), "undecided",
                rope, found.seed_deviation, found, None)  # fmt: skip


def test_decided_arms_keep_their_look_and_the_others_go_on() -> None:
    arms = {"good": Arm(), "bad": Arm(), "null": Arm()}
    first = judge(arms, {"good": gain(0.3), "bad": gain(-0.3), "null": gain(0.012)}, 0, PLAN)
    assert (first["good"].outcome, first["good"].look) == ("positive", 0)
    assert (first["bad"].outcome, first["bad"].look) == ("negative", 0)
    assert first["null"].outcome is None
    second = judge(first, {"null": gain(0.014, seeds=5)}, 1, PLAN)
    assert second["good"] == first["good"]
    assert len(second["null"].p_values) == 2


def test_an_arm_whose_whole_interval_is_small_is_equivalent() -> None:
    tight = gain(0.0, units=20_000, seeds=5, of_units=0.001, of_seeds=1e-7)
    assert judge({"a": Arm()}, {"a": tight}, 1, PLAN)["a"].outcome == "equivalent"


def test_what_no_seed_can_decide_is_given_up_and_what_more_seeds_can_is_not() -> None:
    small = gain(0.012, units=100, of_units=0.2)
    assert is_futile(small, 0, 3, PLAN)
    assert not is_futile(small, 0, 3, Plan(PLAN.looks, 2.0, futility=0.0))
    assert not is_futile(gain(0.05), 0, 3, PLAN)
    assert judge({"a": Arm()}, {"a": small}, 0, PLAN)["a"].outcome == "futile"
    last = len(PLAN.looks) - 1
    assert judge({"a": Arm()}, {"a": small}, last, PLAN)["a"].outcome is None


def test_the_simulation_decides_as_the_race_does() -> None:
    lifts = np.array([0.0, 0.0, 0.6, 0.3])
    raced = races(20, 4, PLAN, lifts=lifts)
    arms: dict[str, Any]
    again = races(20, 4, PLAN, lifts=lifts)
    assert (raced.decided == again.decided).all()
    assert (raced.decided[:, 2] < 4).mean() > 0.8
    # One repetition, by way of gains and the judge.
    random = np.random.default_rng(3)
    d = random.choice([-1.0, 0.0, 1.0], (12, 200), p=[0.05, 0.7, 0.25])
    arms = {"a": Arm(), "b": Arm()}
    for look, seeds in enumerate(PLAN.looks):
        found = crossed(d[:seeds])
        mean = float(d[:seeds].mean())
        error, df = found.error()
        p = 2 * t_cdf(-abs(mean) / error, df)
        one = Gain(mean, seeds, Interval(mean, None, None), found.interval(), p, "undecided", None,
                   None, found, None)  # fmt: skip
        arms = judge(arms, {"a": one} if arms["a"].outcome is None else {}, look, PLAN)
        if p <= PLAN.bounds(2)[look]:
            assert arms["a"].outcome == "positive"
            assert arms["a"].look == look
            return
    pytest.fail("so large a gain is decided")


def test_null_arms_are_seldom_decided_by_any_look() -> None:
    raced = races(500, 4, Plan((3, 5, 8), 1.0, 0.0), examples=60)
    assert raced.family_wise <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / 500)


@pytest.mark.slow
@pytest.mark.parametrize(
    "looks, rho",
    [((3, 5, 8, 12), 1.0), ((3, 5, 8, 12), 2.0), ((3, 5, 8, 12), 3.0), (None, None)],
    ids=["1", "2", "3", "default"],
)
@pytest.mark.parametrize("seed_sd, example_sd", [(0.05, 0.3), (0.3, 0.05), (0.02, 0.6)])
def test_the_family_wise_error_is_at_most_six_of_a_hundred(
    looks: tuple[int, ...] | None, rho: float | None, seed_sd: float, example_sd: float
) -> None:
    default = OmegaConf.load(conf_dir() / "hydra" / "sweeper" / "race.yaml")
    plan = Plan(looks or tuple(default.looks), rho or default.rho, 0.0)
    raced = races(2000, 6, plan, seed_sd=seed_sd, example_sd=example_sd)
    print(f"{plan}, seeds {seed_sd}, examples {example_sd}: {raced.family_wise:.4f}")
    assert raced.family_wise <= 0.06
