"""Labels that scratch needs to match an arm, on curves with a known answer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from aetl.comparison.details import details
from aetl.comparison.label_efficiency import (
    Curve,
    LabelsNeeded,
    crossing,
    isotonic,
    labels_needed,
    learning_curves,
)
from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from tests.comparison.synthetic import write_run

BUDGETS = (10, 100, 1000)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-5, 5), st.floats(0.5, 3)), min_size=1, max_size=12))
def test_isotonic_regression_is_scikit_learns(points: list[tuple[float, float]]) -> None:
    values, weights = zip(*points, strict=True)
    places = np.arange(len(points))
    expected = IsotonicRegression().fit(places, values, sample_weight=weights).predict(places)
    assert isotonic(values, weights) == pytest.approx(list(expected), abs=1e-9)


def test_the_crossing_is_linear_in_the_logarithm_of_the_labels() -> None:
    curve = [0.5, 0.6, 0.8]
    assert crossing(BUDGETS, curve, 0.7) == pytest.approx(math.sqrt(100 * 1000))
    assert crossing(BUDGETS, curve, 0.55) == pytest.approx(math.sqrt(10 * 100))
    assert crossing(BUDGETS, curve, 0.6) == pytest.approx(100)
    assert crossing(BUDGETS, curve, 0.5) == 10
    assert crossing(BUDGETS, curve, 0.49) == 0.0
    assert crossing(BUDGETS, curve, 0.81) == math.inf
    assert crossing(BUDGETS, [0.5, 0.6, 0.6], 0.6) == pytest.approx(100), "the fewest"


def sweep(folder: Path, gain: float, metric: str = "accuracy", noise: float = 0.0) -> None:
    """Scratch scores 0.2 log10(labels) + 0.1, the arm ``gain`` more; three seeds."""
    sign = -1 if metric == "mae" else 1
    draw = np.random.default_rng(0)
    for budget in BUDGETS:
        for seed in range(5):
            twin = 0.2 * math.log10(budget) + 0.1 + noise * draw.normal()
            scores = {"score": sign * (twin + gain), "twin_score": sign * twin}
            changes: dict[str, Any] = {"budget": budget, "seed": seed, "metric": metric}
            write_run(folder / f"{budget}-{seed}", **changes, **scores)


def needed(folder: Path) -> dict[Any, LabelsNeeded]:
    table = rows(find_runs([folder]).done)
    return {table[place].budget: found for place, found in labels_needed(table).items()}


@pytest.mark.parametrize("metric", ["accuracy", "mae"])
def test_a_constant_gain_is_a_constant_factor_of_labels(tmp_path: Path, metric: str) -> None:
    """0.1 more is half a decade: scratch needs 3.16 times the labels."""
    sweep(tmp_path, 0.1, metric)
    found = needed(tmp_path)
    assert found[10].value == pytest.approx(10**1.5)
    assert found[100].value == pytest.approx(10**2.5)
    assert (found[10].low, found[10].high) == pytest.approx((10**1.5, 10**1.5))
    assert found[1000].value == math.inf
    assert found[1000].text() == ">1000 [>1000, >1000]"
    assert found[100].text() == "316 [316, 316]"


def test_an_arm_below_scratchs_start_needs_fewer_than_the_least_budget(tmp_path: Path) -> None:
    sweep(tmp_path, -0.05)
    found = needed(tmp_path)
    assert found[10].told(found[10].value) == "<10"
    assert found[100].value == pytest.approx(10**1.75)


def test_the_interval_is_a_bootstrap_over_seeds(tmp_path: Path) -> None:
    """Independent route: NumPy's resampling of the seeds, interpolation by np.interp."""
    sweep(tmp_path, 0.1, noise=0.02)
    table = rows(find_runs([tmp_path]).done)
    twin = np.array([[run.twin["accuracy"] for run in row.runs] for row in table])
    own = np.array([run.scores["accuracy"] for run in table[0].runs])
    draw = np.random.default_rng(1)
    values = []
    for _ in range(4000):
        seeds = draw.integers(0, 5, 5)
        curve = IsotonicRegression().fit_transform(np.arange(3), twin[:, seeds].mean(1))
        values.append(10 ** np.interp(own[seeds].mean(), curve, np.log10(BUDGETS)))
    found = needed(tmp_path)[10]
    low, high = np.quantile(values, [0.025, 0.975])
    assert found.low is not None
    assert found.high is not None
    assert found.low < found.value < found.high
    assert math.log(found.low) == pytest.approx(math.log(low), abs=0.1 * math.log(high / low))
    assert math.log(found.high) == pytest.approx(math.log(high), abs=0.1 * math.log(high / low))


def test_one_budget_is_no_curve_and_two_seeds_are_no_interval(tmp_path: Path) -> None:
    for seed in (0, 1):
        write_run(tmp_path / f"a{seed}", seed=seed, budget=10, score=0.6, twin_score=0.5)
    assert needed(tmp_path) == {}
    for seed in (0, 1):
        write_run(tmp_path / f"b{seed}", seed=seed, budget=1000, score=0.8, twin_score=0.7)
    found = needed(tmp_path)[10]
    assert found.value == pytest.approx(100.0)
    assert (found.low, found.high) == (None, None)
    assert found.text() == "100"


def test_budgets_that_are_words_count_by_their_labels(tmp_path: Path) -> None:
    for budget, labels, twin in (("1 per class", 10, 0.5), ("all", 1000, 0.7)):
        changes = {"budget": budget, "labels": labels, "score": twin + 0.1, "twin_score": twin}
        write_run(tmp_path / budget, **changes)
    assert needed(tmp_path)["1 per class"].value == pytest.approx(100.0)


def falling(folder: Path, at: float, noise: float = 0.0, seeds: int = 5) -> Curve:
    """A gain of 0.1 for each decade below ``at`` labels, and as much of a loss above."""
    draw = np.random.default_rng(0)
    for budget in BUDGETS:
        for seed in range(seeds):
            gain = 0.1 * (math.log10(at) - math.log10(budget)) + noise * draw.normal()
            write_run(folder / f"{budget}-{seed}", budget=budget, seed=seed, score=0.5 + gain,
                      twin_score=0.5)  # fmt: skip
    (curve,) = learning_curves(rows(find_runs([folder]).done)).values()
    return curve


@pytest.mark.parametrize(
    "at, text", [(300, "300 [300, 300]"), (3, "<10 [<10, <10]"), (9000, ">1000 [>1000, >1000]")]
)
def test_transfer_stops_to_pay_where_the_gain_comes_down_to_zero(
    tmp_path: Path, at: float, text: str
) -> None:
    found = falling(tmp_path, at).ends
    assert found is not None
    assert found.text() == text


def test_the_end_of_the_gain_has_an_interval_of_resampled_seeds(tmp_path: Path) -> None:
    ends = falling(tmp_path, 100, noise=0.02, seeds=12).ends
    assert ends is not None
    assert ends.low is not None
    assert ends.high is not None
    assert ends.low < ends.value < ends.high
    # The gain's standard error is 0.02 / sqrt(12), and a decade is worth 0.1.
    spread = 0.02 / math.sqrt(12) / 0.1
    assert math.log10(ends.high / ends.low) == pytest.approx(2 * 1.96 * spread, rel=0.5)


def test_a_curve_is_of_the_seeds_that_every_budget_has(tmp_path: Path) -> None:
    falling(tmp_path, 100)
    for seed in (5, 6):  # very good ones, at one budget alone
        write_run(tmp_path / f"more-{seed}", budget=1000, seed=seed, score=0.99, twin_score=0.5)
    table = rows(find_runs([tmp_path]).done)
    (curve,) = learning_curves(table).values()
    assert (curve.labels, curve.seeds, curve.left_out) == (BUDGETS, (0, 1, 2, 3, 4), 2)
    assert [score.mean for score in curve.scores] == pytest.approx([0.6, 0.5, 0.4])
    assert [gain.mean for gain in curve.gains] == pytest.approx([0.1, 0.0, -0.1], abs=1e-12)
    assert table[-1].mean > 0.5, "the row counts them all"


def test_labels_saved_are_those_that_scratch_needs_more(tmp_path: Path) -> None:
    sweep(tmp_path, 0.1)
    found = {d.row.budget: d for d in details(rows(find_runs([tmp_path]).done))}
    assert found[10].values()["labels_saved"] == pytest.approx(10**1.5 - 10)
    assert found[1000].values()["labels_saved"] is None
    assert found[10].values()["gain_ends"] == ">1000"


def test_folds_of_a_seed_are_one_point_of_a_curve(tmp_path: Path) -> None:
    for budget in (10, 100):
        for seed in range(3):
            for fold in range(2):
                write_run(tmp_path / f"{budget}-{seed}-{fold}", budget=budget, seed=seed, fold=fold,
                          score=0.5 + 0.1 * fold, twin_score=0.4 + 0.1 * fold)  # fmt: skip
    (curve,) = learning_curves(rows(find_runs([tmp_path]).done)).values()
    assert [score.mean for score in curve.scores] == pytest.approx([0.55, 0.55])
    assert [gain.mean for gain in curve.gains] == pytest.approx([0.1, 0.1])
