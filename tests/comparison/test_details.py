"""What stands behind a row, and whether scores foretold the gains, from synthetic runs."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

from aetl.cli import main
from aetl.comparison.details import details
from aetl.comparison.foretold import bounds, correlations, kendall, permutation_p_value
from aetl.comparison.rows import CSV_KEYS, JSON_KEYS, rows
from aetl.comparison.run import find_runs
from aetl.report.formats import verdict_lines
from aetl.report.sweep_page import write_sweep_page
from aetl.report.table import render_table
from tests.comparison.synthetic import write_run


def noted(scores: dict[str, float]) -> dict[str, Any]:
    higher = {name: name != "distance" for name in scores}
    return {"layer": "latent", "labels": 10, "scores": scores, "higher_is_better": higher}


def encoders(
    folder: Path, gains: list[float], values: list[float], budget: int = 100, **more: Any
) -> None:
    """A run for each of three seeds of each source, whose score of the encoder is given."""
    for number, (gain, value) in enumerate(zip(gains, values, strict=True)):
        for seed in range(3):
            scores = noted({"logme": value + 0.001 * seed, "distance": -value})
            write_run(
                folder / f"{budget}-{number}-{seed}", source=f"s{number}", seed=seed,
                budget=budget, score=0.5 + gain, twin_score=0.5, transferability=scores, **more,
            )  # fmt: skip


def table(folder: Path) -> list[Any]:
    return rows(find_runs([folder]).done)


def test_tau_is_scipys_over_the_sources(tmp_path: Path) -> None:
    gains, values = [0.1, 0.3, 0.2, 0.2, -0.1], [1.0, 4.0, 2.0, 5.0, 0.0]
    encoders(tmp_path, gains, values)
    found = {one.score: one for one in correlations(table(tmp_path))}
    expected = scipy.stats.kendalltau(gains, values).statistic
    assert found["logme"].tau == pytest.approx(expected)
    assert found["distance"].tau == pytest.approx(expected), "turned so that more is better"
    assert found["logme"].encoders == 5


@pytest.mark.parametrize("sign, tau", [(1, 1.0), (-1, -1.0)])
def test_a_score_in_the_gains_order_has_tau_one(tmp_path: Path, sign: int, tau: float) -> None:
    encoders(tmp_path, [0.0, 0.1, 0.2, 0.3, 0.4], [sign * v for v in (1.0, 2.0, 3.0, 4.0, 5.0)])
    one = correlations(table(tmp_path))[0]
    assert (one.tau, one.ci_low, one.ci_high) == pytest.approx((tau, tau, tau))


def test_budgets_are_pooled_and_never_compared_with_each_other(tmp_path: Path) -> None:
    """Within each budget the order is right; across them it would be wrong."""
    encoders(tmp_path, [0.1, 0.2, 0.3], [11.0, 12.0, 13.0], budget=10)
    encoders(tmp_path, [0.4, 0.5, 0.6], [1.0, 2.0, 3.0], budget=1000)
    assert correlations(table(tmp_path))[0].tau == pytest.approx(1.0)


@pytest.mark.parametrize("number", [3, 4, 5, 6])
def test_the_p_value_is_scipys_exact_one(tmp_path: Path, number: int) -> None:
    draw = np.random.default_rng(number)
    gains, values = draw.normal(size=number), draw.normal(size=number)
    encoders(tmp_path, list(0.01 * gains), list(values))
    one = correlations(table(tmp_path))[0]
    expected = scipy.stats.kendalltau(gains, values, method="exact")
    assert one.p_value == pytest.approx(expected.pvalue)
    assert (one.ci_low is None) is (number < 5), "no interval of three or four encoders"


def test_many_encoders_are_permuted_at_random(tmp_path: Path) -> None:
    draw = np.random.default_rng(1)
    gains = draw.normal(size=12)
    values = gains + 1.5 * draw.normal(size=12)
    encoders(tmp_path, list(0.01 * gains), list(values))
    expected = scipy.stats.kendalltau(gains, values, method="exact").pvalue
    found = correlations(table(tmp_path))[0].p_value
    assert abs(found - expected) < 4 * np.sqrt(expected * (1 - expected) / 2000) + 1e-3


def test_budgets_of_one_encoder_are_permuted_together(tmp_path: Path) -> None:
    """Three encoders at four budgets are three, not twelve."""
    for budget in (10, 20, 50, 100):
        encoders(tmp_path, [0.1, 0.2, 0.3], [1.0, 2.0, 3.0], budget=budget)
    one = correlations(table(tmp_path))[0]
    assert (one.tau, one.encoders) == (pytest.approx(1.0), 3)
    assert one.p_value == pytest.approx(2 / 6)


@pytest.mark.slow
def test_nothing_is_seldom_called_something() -> None:
    draw = np.random.default_rng(0)
    called = np.zeros(2)
    for _ in range(200):
        first, second = draw.normal(size=(2, 5)).tolist()
        cell = dict(enumerate(zip(first, second, strict=True)))
        tau = kendall([cell], dict.fromkeys(cell, 1))
        assert tau is not None
        low, high = bounds([cell], list(cell), 10)
        assert low is not None
        p_value = permutation_p_value([cell], list(cell), tau, 1000)
        called += [low > 0 or high < 0, p_value < 0.05]
    assert called.max() <= 200 * 0.05 + 4 * np.sqrt(200 * 0.05 * 0.95)


def test_the_interval_is_a_bootstrap_over_encoders(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    gains = draw.normal(size=12)
    values = gains + draw.normal(size=12)
    encoders(tmp_path, list(0.01 * gains), list(values))
    taus = []
    for _ in range(3000):
        chosen = draw.integers(0, 12, 12)
        taus.append(scipy.stats.kendalltau(gains[chosen], values[chosen]).statistic)
    low, high = np.quantile(taus, [0.025, 0.975])
    one = correlations(table(tmp_path))[0]
    assert (one.ci_low, one.ci_high) == pytest.approx((low, high), abs=0.07)


def test_copies_weigh_pairs_and_make_none() -> None:
    cell = {"a": (1.0, 1.0), "b": (2.0, 3.0), "c": (3.0, 2.0)}
    copied = [cell["a"], cell["a"], cell["b"], cell["c"]]
    expected = scipy.stats.kendalltau(*zip(*copied, strict=True)).statistic
    assert kendall([cell], {"a": 2, "b": 1, "c": 1}) == pytest.approx(expected)
    assert kendall([cell], {"a": 3, "b": 0, "c": 0}) is None


def test_two_encoders_say_nothing(tmp_path: Path) -> None:
    encoders(tmp_path, [0.1, 0.2], [1.0, 2.0])
    assert correlations(table(tmp_path)) == []


def test_layers_of_one_encoder_are_told_apart(tmp_path: Path) -> None:
    for layer in range(3):
        write_run(
            tmp_path / str(layer), {"representation": {"layer": f"encoder.{layer}"}},
            settings=f"layer {layer}", score=0.5 + 0.1 * layer, twin_score=0.5,
            transferability=noted({"logme": float(layer)}),
        )  # fmt: skip
    (one,) = correlations(table(tmp_path))
    assert (one.encoders, one.tau) == (3, 1.0)
    assert one.transfer == "parameter/finetune"


DONE: dict[str, Any] = {
    "oracle": {"accuracy": 0.9},
    "cost": {"parameters_trained": 1234, "seconds": 2.5},
    "retention": {
        "changed": True,
        "reconstruction": {"before": 0.02, "after": 0.05},
        "score": {"metric": "accuracy", "before": 0.8, "after": 0.7},
    },
    "labels": 100,
    "transferability": noted({"logme": 0.3}),
}


def test_details_are_means_over_the_runs_that_note_them(tmp_path: Path) -> None:
    write_run(tmp_path / "0", seed=0, **DONE)
    other = {"oracle": {"accuracy": 0.8}, "retention": {"changed": False}}
    write_run(tmp_path / "1", seed=1, **other)
    write_run(tmp_path / "2", seed=2)
    (found,) = details(table(tmp_path))
    assert found.oracle == pytest.approx(0.85)
    assert found.source_error == pytest.approx((2.5 + 1.0) / 2)
    assert found.source_score == pytest.approx((-0.1 + 0.0) / 2)
    assert (found.parameters, found.seconds) == (1234, 2.5)


def test_details_stand_in_every_format(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for budget, score in ((100, 0.81), (1000, 0.95)):
        write_run(tmp_path / str(budget), budget=budget, score=score, twin_score=score - 0.05,
                  **(DONE | {"labels": budget}))  # fmt: skip
    text = render_table(table(tmp_path), 140)
    assert all(word in text for word in ("oracle", "×2.5", "-0.100", "1,234", "228", ">1000"))
    capsys.readouterr()
    assert main(["compare", str(tmp_path), "--json"]) == 0
    assert tuple(json.loads(capsys.readouterr().out)[0]) == JSON_KEYS
    assert main(["compare", str(tmp_path), "--details", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["correlations"] == []
    (first, second) = found["rows"]
    assert first["scratch_labels"] == pytest.approx(100 * 10 ** (0.05 / 0.14))
    assert second["scratch_labels"] == ">1000"
    assert (first["oracle"], first["transferability"]) == (0.9, {"logme": 0.3})
    assert main(["compare", str(tmp_path), "--details", "--csv"]) == 0
    line = next(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [*line][: len(CSV_KEYS)] == list(CSV_KEYS)
    assert (line["oracle"], line["score_logme"]) == ("0.9", "0.3")


@pytest.mark.parametrize("task, counted", [("classification", "labels"), ("anomaly", "examples")])
def test_verdicts_for_people_count_what_the_task_counts(
    tmp_path: Path, task: str, counted: str
) -> None:
    for budget in (100, 1000):
        write_run(tmp_path / str(budget), budget=budget, task=task, **(DONE | {"labels": budget}))
    lines = verdict_lines(table(tmp_path))
    assert [line["name"] for line in lines] == [
        f"parameter/finetune, {budget} {counted}" for budget in (100, 1000)
    ]
    assert {f"scratch_{counted}", f"{counted}_saved"} <= lines[0].keys()
    if counted != "labels":
        assert not any("label" in key for key in lines[0])


def test_details_and_foretold_gains_are_on_the_page(tmp_path: Path) -> None:
    encoders(tmp_path, [0.0, 0.1, 0.2], [1.0, 2.0, 3.0], oracle={"accuracy": 0.987})
    page = write_sweep_page([tmp_path]).read_text(encoding="utf-8")
    assert "What stands behind the rows" in page
    assert "0.987" in page
    assert "Did a score foretell it?" in page
    assert "+1.00 (too few)" in page, "three encoders"


def test_runs_that_note_nothing_get_no_empty_tables(tmp_path: Path) -> None:
    write_run(tmp_path / "0")
    assert "oracle" not in render_table(table(tmp_path))
    page = write_sweep_page([tmp_path]).read_text(encoding="utf-8")
    assert "What stands behind" not in page


def test_holm_counts_the_arms_of_a_budget_over_autoencoders_and_no_other_budgets(
    tmp_path: Path,
) -> None:
    """Three arms at 10 labels, one of them of another autoencoder, one with a single seed; two
    arms at 100. The smallest p is multiplied by the arms of its budget that have a test."""
    draw = np.random.default_rng(3)
    cells = [("a", "vae", 10, 3), ("b", "vae", 10, 3), ("a", "vq", 10, 3), ("c", "vae", 10, 1),
             ("a", "vae", 100, 3), ("b", "vae", 100, 3)]  # fmt: skip
    gains = {cell: draw.normal(0.05, 0.03, cell[3]) for cell in cells}
    for number, ((arm, autoencoder, budget, _), values) in enumerate(gains.items()):
        for seed, gain in enumerate(values):
            write_run(
                tmp_path / f"{number}-{seed}", transfer=f"parameter/{arm}", seed=seed,
                autoencoder=autoencoder, budget=budget, score=0.5 + gain, twin_score=0.5,
            )  # fmt: skip
    found = {(r.transfer[-1], r.autoencoder, r.budget, r.n): r.p_value for r in table(tmp_path)}
    for budget in (10, 100):
        tests = {
            cell: scipy.stats.ttest_1samp(values, 0.0).pvalue
            for cell, values in gains.items()
            if cell[2] == budget and cell[3] > 1
        }
        adjusted, largest = {}, 0.0
        for rank, cell in enumerate(sorted(tests, key=lambda cell: tests[cell])):
            largest = max(largest, min(1.0, tests[cell] * (len(tests) - rank)))
            adjusted[cell] = largest
        for cell, p_value in adjusted.items():
            assert found[cell] == pytest.approx(p_value, rel=1e-6)
    assert found["c", "vae", 10, 1] is None


def test_a_runs_own_page_says_what_it_cost(tmp_path: Path) -> None:
    from aetl.report.page import write_run_page

    page = write_run_page(write_run(tmp_path / "run", **DONE)).read_text(encoding="utf-8")
    for told in ("What it cost", "1,234", "0.020 before, 0.050 after", "0.900 accuracy"):
        assert told in page
    kept = write_run(tmp_path / "kept", retention={"changed": False})
    assert "is kept as it was" in write_run_page(kept).read_text(encoding="utf-8")


@pytest.mark.parametrize("at_end", [True, False])
def test_a_heads_strength_says_where_its_range_ends(tmp_path: Path, at_end: bool) -> None:
    told = {"head": "logistic", "strength": 0.01, "options": 12, "at_end": at_end}
    for seed in range(3):
        write_run(tmp_path / str(seed), seed=seed, head={"transfer": told})
    (one,) = details(table(tmp_path))
    assert one.head == "logistic, strength 0.01" + at_end * ", at an end of the strengths tried"
