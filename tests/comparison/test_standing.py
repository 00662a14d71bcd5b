"""Ranks over cells, Friedman's test, critical differences, and their pictures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from aetl.comparison.rows import rows
from aetl.comparison.run import find_runs
from aetl.comparison.standing import (
    Standing,
    critical_difference,
    friedman_p_value,
    standing_text,
    standings,
)
from aetl.report.standing_figures import gain_map, rank_diagram
from aetl.report.table import render_table
from tests.comparison.synthetic import write_run

ARMS = ("control/scratch", "feature/linear_probe", "parameter/finetune", "parameter/lora")


def sweep(folder: Path, scores: np.ndarray, metric: str = "accuracy") -> Standing:
    """Runs with ``scores`` [cell, arm]; three seeds around each."""
    for cell, line in enumerate(scores):
        for place, (arm, score) in enumerate(zip(ARMS, line, strict=False)):
            for seed in range(3):
                named = {"source": f"s{cell % 2}", "target": f"t{cell}", "seed": seed}
                off = (seed - 1) * 1e-4
                write_run(
                    folder / f"{cell}-{arm.replace('/', '-')}-{seed}",
                    **{**named, "transfer": arm, "metric": metric},
                    score=score + off * (2 + place),  # gains differ between seeds
                    twin_score=line[0] + off,
                )
    (standing,) = standings(rows(find_runs([folder]).done))
    return standing


def test_mean_ranks_are_those_of_scipy(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((8, 4)).round(2)
    standing = sweep(tmp_path, scores)
    expected = stats.rankdata(-scores, axis=1).mean(0)
    assert {p.arm[0]: p.rank for p in standing.places} == pytest.approx(
        dict(zip(ARMS, expected, strict=True))
    )
    assert [p.rank for p in standing.places] == sorted(expected)
    assert standing.cells == 8


def test_ranks_of_errors_run_the_other_way(tmp_path: Path) -> None:
    scores = np.random.default_rng(0).random((8, 4)).round(2)
    standing = sweep(tmp_path, scores, metric="mae")
    expected = stats.rankdata(scores, axis=1).mean(0)
    assert {p.arm[0]: p.rank for p in standing.places} == pytest.approx(
        dict(zip(ARMS, expected, strict=True))
    )


@pytest.mark.parametrize("ties", [False, True])
def test_friedmans_p_value_is_scipys_statistic_in_iman_and_davenports_form(ties: bool) -> None:
    random = np.random.default_rng(1)
    scores = random.random((9, 5)) + np.arange(5) * 0.1
    scores = scores.round(1) if ties else scores
    n, k = scores.shape
    chi = stats.friedmanchisquare(*scores.T).statistic  # corrected for ties
    expected = stats.f.sf((n - 1) * chi / (n * (k - 1) - chi), k - 1, (k - 1) * (n - 1))
    assert friedman_p_value(stats.rankdata(scores, axis=1).tolist()) == pytest.approx(expected)


def test_friedmans_p_value_at_its_ends() -> None:
    assert friedman_p_value([[1.0, 2.0, 3.0]] * 5) == 0.0
    assert friedman_p_value([[2.0, 2.0, 2.0]] * 5) == 1.0


@pytest.mark.parametrize(
    ("arms", "q"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (7, 2.949), (10, 3.164)],
)
def test_critical_difference_is_that_of_demsars_table(arms: int, q: float) -> None:
    """Demsar (2006), table 5a: q at 5 %."""
    found = critical_difference(arms, 14) / math.sqrt(arms * (arms + 1) / (6 * 14))
    assert found == pytest.approx(
        q, abs=1.5e-3
    )  # his table has three decimals and errs in the last


def test_critical_difference_of_demsars_example() -> None:
    """Four classifiers on fourteen data sets: 1.25 (section 3.2.3)."""
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=5e-3)


def test_an_arm_that_lacks_a_cell_is_named_and_not_ranked(tmp_path: Path) -> None:
    sweep(tmp_path / "a", np.random.default_rng(0).random((8, 4)))
    write_run(tmp_path / "b", transfer="parameter/bitfit", source="s0", target="t0")
    (standing,) = standings(rows(find_runs([tmp_path]).done))
    assert len(standing.places) == 4
    assert standing.left_out == ["parameter/bitfit"]
    assert "without a result everywhere: parameter/bitfit" in standing_text(standing)


def test_verdicts_are_counted_over_the_cells(tmp_path: Path) -> None:
    scores = np.array([[0.5, 0.6, 0.4, 0.5]] * 5 + [[0.5, 0.4, 0.6, 0.5]] * 3)
    places = {p.arm[0]: p for p in sweep(tmp_path, scores).places}
    assert places["feature/linear_probe"].outcomes == {"positive": 5, "negative": 3}
    assert places["parameter/finetune"].outcomes == {"positive": 3, "negative": 5}
    assert places["control/scratch"].outcomes == {}
    assert places["feature/linear_probe"].beaten == 3


def test_bars_join_what_does_not_differ_and_nothing_else() -> None:
    def place(rank: float) -> object:
        from collections import Counter

        from aetl.comparison.standing import Place

        return Place(("a", "", "", ""), "a", rank, Counter(), 0)

    ranks = [1.0, 1.9, 2.5, 6.0]
    standing = Standing("accuracy", 9, 9, [place(r) for r in ranks], 0.01, 3, 1.0, [])  # type: ignore[misc]
    assert standing.tied == [(0, 1), (1, 2)]


def test_cells_of_one_target_are_one_data_set(tmp_path: Path) -> None:
    """Three targets with four cells each: an arm's rank in a target is that of its mean rank."""
    scores = np.random.default_rng(2).random((12, 4)).round(2)
    for cell, line in enumerate(scores):
        for arm, score in zip(ARMS, line, strict=True):
            named = {"source": f"s{cell % 4}", "target": f"t{cell // 4}", "transfer": arm}
            for seed in range(2):
                where = tmp_path / f"{cell}-{arm.replace('/', '-')}-{seed}"
                write_run(where, score=score, seed=seed, **named)
    (standing,) = standings(rows(find_runs([tmp_path]).done))
    of_cells = stats.rankdata(-scores, axis=1).reshape(3, 4, 4)
    expected = stats.rankdata(of_cells.mean(1), axis=1)
    assert {p.arm[0]: p.rank for p in standing.places} == pytest.approx(
        dict(zip(ARMS, expected.mean(0), strict=True))
    )
    assert standing.p_value == pytest.approx(friedman_p_value(expected.tolist()))
    assert standing.critical_difference == pytest.approx(critical_difference(4, 3))
    assert "4 arms over 3 targets (12 pairs and budgets)" in standing_text(standing)


def test_one_seed_makes_no_test(tmp_path: Path) -> None:
    """The chance of a seed is the same for all arms of a cell, and would be taken for theirs."""
    for cell, line in enumerate(np.random.default_rng(2).random((4, 4))):
        for arm, score in zip(ARMS, line, strict=True):
            named = {"source": "s", "target": f"t{cell}", "transfer": arm}
            write_run(tmp_path / f"{cell}-{arm.replace('/', '-')}", score=score, **named)
    (standing,) = standings(rows(find_runs([tmp_path]).done))
    assert (standing.p_value, standing.critical_difference) == (None, None)
    assert "no test of the ranks from one seed" in standing_text(standing)


def test_fewer_than_three_targets_make_no_test(tmp_path: Path) -> None:
    for cell, line in enumerate(np.random.default_rng(3).random((6, 4))):
        for arm, score in zip(ARMS, line, strict=True):
            named = {"source": f"s{cell // 2}", "target": f"t{cell % 2}", "transfer": arm}
            write_run(tmp_path / f"{cell}-{arm.replace('/', '-')}", score=score, **named)
    (standing,) = standings(rows(find_runs([tmp_path]).done))
    assert (standing.p_value, standing.critical_difference, standing.tied) == (None, None, [])
    assert "no test of the ranks" in standing_text(standing)
    assert rank_diagram(standing) is not None


def test_null_arms_that_share_test_sets_are_seldom_told_apart() -> None:
    """Effects of a target's test sample half as large as a cell's noise; nine cells a target."""
    from aetl.comparison.standing import ranked

    random, called = np.random.default_rng(0), 0
    for _ in range(400):
        scores = random.normal(0, 0.5, (4, 1, 6)) + random.normal(0, 1.0, (4, 9, 6))
        of_cells = stats.rankdata(-scores, axis=2)
        called += friedman_p_value([ranked(list(t.sum(0))) for t in of_cells]) < 0.05
    assert called / 400 < 0.05 + 4 * math.sqrt(0.05 * 0.95 / 400)


def test_few_cells_have_no_ranks(tmp_path: Path) -> None:
    for target in ("t0", "t1"):
        for arm in ARMS:
            write_run(tmp_path / f"{target}{arm.replace('/', '-')}", transfer=arm, target=target)
    assert standings(rows(find_runs([tmp_path]).done)) == []


def test_the_map_shows_each_gain_and_marks_the_sure_ones(tmp_path: Path) -> None:
    scores = np.array([[0.5, 0.62, 0.4, 0.5]] * 4)
    sweep(tmp_path, scores)
    figure = gain_map(rows(find_runs([tmp_path]).done))
    assert figure is not None
    texts = {t.get_text(): t.get_weight() for t in figure.axes[0].texts}
    assert texts == {"+.12": "bold", "-.10": "bold", ".00": "normal"}
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == [
        "s0 → t0", "s0 → t2", "s1 → t1", "s1 → t3",
    ]  # fmt: skip


def test_one_pair_has_no_map(tmp_path: Path) -> None:
    for arm in ARMS:
        write_run(tmp_path / arm.replace("/", "-"), transfer=arm)
    assert gain_map(rows(find_runs([tmp_path]).done)) is None


def test_the_diagram_names_every_arm_with_its_rank(tmp_path: Path) -> None:
    standing = sweep(tmp_path, np.random.default_rng(0).random((8, 4)))
    figure = rank_diagram(standing)
    assert figure is not None
    texts = " ".join(t.get_text() for t in figure.axes[0].texts)
    for place in standing.places:
        assert f"{place.label}  {place.rank:.2f}" in texts


def test_the_terminal_and_the_page_tell_the_ranks(tmp_path: Path) -> None:
    from aetl.report.sweep_page import write_sweep_page

    standing = sweep(tmp_path, np.random.default_rng(0).random((8, 4)))
    text = render_table(rows(find_runs([tmp_path]).done))
    assert standing_text(standing).split("(")[0] in " ".join(text.split())
    page = write_sweep_page([tmp_path]).read_text()
    for heading in ("Ranks by accuracy", "Gain in accuracy over scratch"):
        assert f"<h2>{heading}</h2>" in page
