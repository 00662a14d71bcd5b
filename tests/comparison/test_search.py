"""Hyper-parameter searches: what was tried, what mattered, and their pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from aetl.comparison.run import find_runs
from aetl.comparison.search import importance, searches
from aetl.report.search_figures import importance_bars, parallel_coordinates
from aetl.report.sweep_page import write_sweep_page
from tests.comparison.synthetic import write_run


def search_runs(folder: Path, n: int = 60) -> Path:
    """The score follows the rate strongly, the depth a little, the name not at all."""
    random = np.random.default_rng(0)
    for i in range(n):
        rate, depth = 10 ** random.uniform(-4, -1), int(random.integers(1, 5))
        name = ("relu", "tanh")[int(random.integers(2))]
        score = 0.8 - 0.1 * (np.log10(rate) + 2.5) ** 2 + 0.02 * depth
        overrides = ["autoencoder=vae", f"optimizer.lr={rate}", f"depth={depth}"]
        overrides += [f"+backbone.activation={name}", "seed=0", "hydra.launcher.jobs=2"]
        config = {"optimizer": {"lr": rate}, "depth": depth, "backbone": {"activation": name}}
        write_run(folder / str(i), config, score=score, overrides=overrides, settings=f"{i:016x}")
    return folder


def test_a_search_is_what_differs_on_the_command_lines(tmp_path: Path) -> None:
    (found,) = searches(find_runs([search_runs(tmp_path)]).done)
    assert found.parameters == ["optimizer.lr", "depth", "backbone.activation"]
    assert len(found.trials) == 60
    values, score = found.trials[0]
    assert isinstance(values["optimizer.lr"], float)
    assert isinstance(values["depth"], int)
    expected = 0.8 - 0.1 * (np.log10(values["optimizer.lr"]) + 2.5) ** 2 + 0.02 * values["depth"]
    assert score == pytest.approx(expected)


def test_importance_is_ordered_as_the_score_was_made(tmp_path: Path) -> None:
    (found,) = searches(find_runs([search_runs(tmp_path)]).done)
    mattered = importance(found)
    assert list(mattered.shares) == ["optimizer.lr", "depth", "backbone.activation"]
    assert mattered.shares["optimizer.lr"] > 5 * mattered.shares["depth"]
    assert mattered.shares["backbone.activation"] < 0.02
    assert mattered.r2 > 0.7


def test_scores_without_a_cause_have_no_r2(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(60):
        overrides = [f"a={random.random()}", f"b={random.random()}"]
        write_run(tmp_path / str(i), overrides=overrides, score=random.random())
    (found,) = searches(find_runs([tmp_path]).done)
    assert importance(found).r2 < 0.2
    assert not importance(found).tells


def test_seeds_of_a_trial_are_averaged(tmp_path: Path) -> None:
    for i in range(8):
        for seed in range(2):
            overrides = [f"optimizer.lr={10.0**-i}", f"seed={seed}"]
            score = i / 10 + seed / 100
            write_run(tmp_path / f"{i}-{seed}", overrides=overrides, score=score, seed=seed)
    (found,) = searches(find_runs([tmp_path]).done)
    assert sorted(score for _, score in found.trials) == pytest.approx(
        [i / 10 + 0.005 for i in range(8)]
    )


def test_a_search_is_told_by_the_scores_that_it_went_by(tmp_path: Path) -> None:
    """Held-out labels chose; the test set is not to choose, nor to look as if it had."""
    for i in range(8):
        chosen = {"metric": "accuracy", "score": i / 10, "labels": 10,
                  "higher_is_better": True}  # fmt: skip
        overrides = [f"optimizer.lr={10.0**-i}"]
        write_run(tmp_path / str(i), overrides=overrides, score=0.9, selection=chosen)
    (found,) = searches(find_runs([tmp_path]).done)
    assert found.metric == "accuracy on held-out labels"
    assert sorted(score for _, score in found.trials) == [i / 10 for i in range(8)]


def test_arms_and_budgets_alone_are_no_search(tmp_path: Path) -> None:
    number = 0
    for arm in ("parameter/finetune", "parameter/lora", "feature/knn"):
        for budget in (10, 100, 1000):
            overrides = [f"transfer={arm}", f"target.budget={budget}", f"seed={number}"]
            write_run(tmp_path / str(number), overrides=overrides, transfer=arm, budget=budget)
            number += 1
    assert searches(find_runs([tmp_path]).done) == []


def test_the_axes_carry_the_values_and_the_best_trial_is_thick(tmp_path: Path) -> None:
    (found,) = searches(find_runs([search_runs(tmp_path)]).done)
    ax = parallel_coordinates(found).axes[0]
    texts = [text.get_text().replace("\n", " ") for text in ax.texts]
    for text in ("optimizer.lr", "depth", "backbone.activation", found.metric, "relu", "tanh", "4"):
        assert text in texts
    (thick,) = [line for line in ax.lines if line.get_linewidth() == 3.0]
    assert thick.get_ydata()[-1] == pytest.approx(1.0)  # the highest score
    lr = [values["optimizer.lr"] for values, _ in found.trials]
    best = max(found.trials, key=lambda trial: trial[1])[0]["optimizer.lr"]
    share = np.log(best / min(lr)) / np.log(max(lr) / min(lr))
    assert thick.get_ydata()[0] == pytest.approx(share)  # the axis is logarithmic


def test_bars_are_those_of_the_shares(tmp_path: Path) -> None:
    (found,) = searches(find_runs([search_runs(tmp_path)]).done)
    mattered = importance(found)
    ax = importance_bars(mattered).axes[0]
    assert [bar.get_width() for bar in ax.patches] == list(mattered.shares.values())


def test_a_forest_that_tells_nothing_makes_no_bars(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for i in range(30):
        overrides = [f"a={random.random()}", f"b={random.random()}"]
        write_run(tmp_path / str(i), overrides=overrides, score=random.random())
    page = write_sweep_page([tmp_path]).read_text()
    assert "Which hyper-parameter mattered cannot be said" in page
    assert "drop of R" not in page


def test_the_page_shows_a_search(tmp_path: Path) -> None:
    page = write_sweep_page([search_runs(tmp_path, 12)]).read_text()
    assert "Search on digits → digits (rotation=45), by accuracy on the test set" in page
    assert "12 trials." in page
