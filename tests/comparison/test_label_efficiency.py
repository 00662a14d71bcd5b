"""Labels that scratch needs to match an arm, on curves with a known answer."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.isotonic import IsotonicRegression

from aetl.comparison.label_efficiency import LabelsNeeded, crossing, isotonic, labels_needed
from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from tests.comparison.synthetic import write_run

BUDGETS = (10, 100, 1000)


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
