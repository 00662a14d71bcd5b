"""Aggregates over pairs and budgets against SciPy and rliable's definitions, recomputed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from aetl.comparison.aggregate import (
    aggregates,
    bootstrapped,
    interquartile_mean,
    probability_of_improvement,
)
from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from aetl.report.sweep_page import write_sweep_page
from aetl.report.table import render_table
from tests.comparison.synthetic import write_run

RANDOM = np.random.default_rng(0)
CELLS = [RANDOM.normal(0.6 + 0.1 * i, 0.05, (3 + i % 2, 2)) for i in range(5)]
"""Scores of arm and twin [seeds, 2] in five cells, two of them with a seed more."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("cells")
    for number, cell in enumerate(CELLS):
        for seed, (arm, twin) in enumerate(cell):
            named = {"source": f"s{number % 2}", "target": f"t{number}", "seed": seed}
            write_run(top / f"{number}-{seed}", score=arm, twin_score=twin, **named)
    return top


@pytest.mark.parametrize("n", [3, 4, 7, 16, 101])
def test_the_interquartile_mean_is_scipys_trimmed_one(n: int) -> None:
    values = RANDOM.normal(size=(2, n))
    expected = scipy.stats.trim_mean(values, 0.25, axis=-1)
    np.testing.assert_allclose(interquartile_mean(values), expected)


def test_the_probability_of_improvement_is_mann_whitneys_u_over_cells() -> None:
    expected = np.mean(
        [
            scipy.stats.mannwhitneyu(cell[:, 0], cell[:, 1]).statistic / len(cell) ** 2
            for cell in CELLS
        ]
    )
    assert probability_of_improvement(CELLS) == pytest.approx(expected)
    tied = np.array([[1.0, 1.0], [2.0, 2.0]])
    assert probability_of_improvement([tied]) == 0.5


def test_aggregates_of_runs_are_those_of_their_numbers(folder: Path) -> None:
    (found,) = aggregates(rows(find_runs([folder]).done))["accuracy"]
    gains = np.concatenate([cell[:, 0] - cell[:, 1] for cell in CELLS])
    assert (found.cells, found.runs) == (5, 17)
    assert found.gain.mean == pytest.approx(scipy.stats.trim_mean(gains, 0.25))
    assert found.improvement.mean == pytest.approx(float(probability_of_improvement(CELLS)))
    for at, share in found.profile:
        assert share == pytest.approx((gains > at).mean())


def test_the_bootstrap_is_stratified() -> None:
    """A cell's seeds are drawn within the cell: levels of cells add nothing to the interval."""
    cells = [np.array([10.0 * i, 10.0 * i + 1.0]) for i in range(4)]
    found = bootstrapped(cells, lambda drawn: np.concatenate(drawn, -1).mean(-1))
    random, means = np.random.default_rng(1), []
    for _ in range(4000):
        means.append(np.mean([random.choice(cell, 2) for cell in cells]))
    assert (found.low, found.high) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.13)
    assert found.mean == pytest.approx(15.5)


def test_one_cell_has_no_aggregate_and_one_seed_no_interval(tmp_path: Path) -> None:
    write_run(tmp_path / "a", target="t0")
    assert aggregates(rows(find_runs([tmp_path]).done)) == {}
    write_run(tmp_path / "b", target="t1")
    (found,) = aggregates(rows(find_runs([tmp_path]).done))["accuracy"]
    assert found.gain.low is None


def test_aggregates_are_in_the_table_and_on_the_page(folder: Path) -> None:
    table = rows(find_runs([folder]).done)
    text = render_table(table)
    assert "over all pairs and budgets, by accuracy" in text
    assert "better than its twin" in text
    page = write_sweep_page([folder]).read_text(encoding="utf-8")
    assert "Over all pairs and budgets, by accuracy" in page
    assert "share of runs that gain more" in page
